"""The commands that ganrun prints, such that a shell reads them as they are meant."""

from __future__ import annotations

import shlex
from pathlib import Path

from ganrun.rundir import relative

TENSORBOARD_IMAGES = 10  # of one tag, that TensorBoard keeps unless it is told otherwise


def command(name: str, *words: str) -> str:
    """Return the line that runs ganrun's command ``name`` with ``words``."""
    return shlex.join(["ganrun", name, *words])


def resume_command(folder: Path) -> str:
    """Return the line that continues the run or sweep in ``folder``."""
    return command("train", f"resume={relative(folder)}")


def tensorboard_command(folder: Path, pictures: int) -> str:
    """Return the line that shows ``folder``.

    Args:
        folder: a run's directory or a sweep's.
        pictures: how many a run makes. Of more than :data:`TENSORBOARD_IMAGES` TensorBoard shows a random choice,
            unless it is told to keep all of them, for which it takes 0.
    """
    words = ["tensorboard", "--logdir", relative(folder)]
    return shlex.join(words + ["--samples_per_plugin", "images=0"] * (pictures > TENSORBOARD_IMAGES))
