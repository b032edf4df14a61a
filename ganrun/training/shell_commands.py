"""The commands that ganrun prints, quoted for a shell."""

from __future__ import annotations

import shlex
from pathlib import Path

from ganrun.config.user_plugins import chosen
from ganrun.storage.run_directory import relative

TENSORBOARD_IMAGES = 10  # images per tag that TensorBoard keeps by default


def command(name: str, *words: str) -> str:
    """Return the command line that runs ``ganrun name`` with the arguments ``words``, with the plugins named here."""
    plugins = [f"plugins=[{','.join(chosen())}]"] if chosen() else []
    return shlex.join(["ganrun", name, *words, *plugins])


def resume_command(folder: Path) -> str:
    """Return the command line that resumes the run or sweep in ``folder``."""
    return command("train", f"resume={relative(folder)}")


def tensorboard_command(folder: Path, pictures: int) -> str:
    """Return the command line that shows ``folder`` in TensorBoard.

    Args:
        folder: the directory of a run or a sweep.
        pictures: number of pictures per run. If it exceeds :data:`TENSORBOARD_IMAGES`, the command sets
            ``--samples_per_plugin images=0``, which keeps all of them: TensorBoard would show a random subset.
    """
    words = ["tensorboard", "--logdir", relative(folder)]
    return shlex.join(words + ["--samples_per_plugin", "images=0"] * (pictures > TENSORBOARD_IMAGES))
