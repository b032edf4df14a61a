"""Trains a sweep by ``ganrun train -m`` for the scripts that count the runs that fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from ganrun.config.hydra_bridge import quoted
from ganrun.errors import ConfigError


def train_sweep(words: Iterable[str], folder: Path) -> None:
    """Train the sweep of ``words`` in ``folder``. Runs that fail are results; a command that ganrun refuses is none.

    Raises:
        SystemExit: ganrun refused the command.
    """
    command = [sys.executable, "-m", "ganrun", "train", "-m", *words, f"hydra.sweep.dir={quoted(str(folder))}"]
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    if done.returncode == ConfigError.exit_code:
        sys.exit(f"ganrun refused: {' '.join(command[2:])}")
