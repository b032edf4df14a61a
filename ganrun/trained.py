"""What a run has learnt, for commands that only read it, perhaps while it is still training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ganrun import datasets
from ganrun.checkpoints import Checkpoints
from ganrun.config import Train
from ganrun.errors import GanrunError
from ganrun.game.method import Gan
from ganrun.game.state import State
from ganrun.rundir import relative
from ganrun.writers.jsonl import rows_of


def trained(folder: Path, config: Train, checkpoint: str = "latest", density: Any = None) -> tuple[Gan, State]:
    """Return the method of the run in ``folder`` without its data, and its state at ``checkpoint``.

    That is a step, the ``latest`` one that can be read, or the ``best`` (where the run keeps that). The shape of the
    data, with its ``density`` where that is wanted, is all that a generator needs of them. What is damaged and passed
    over is told on standard error.

    Raises:
        GanrunError: there is no such checkpoint, or it cannot be read.
    """
    method = Gan(config, datasets.Data(train=None, held_out=None, shape=config.dataset.shape, density=density))
    if not (folder / "checkpoints").is_dir():
        raise GanrunError(f"{relative(folder)} has no checkpoint yet.")
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    state, _ = checkpoints.restore(method.abstract(), _step(folder, config, checkpoints, checkpoint))
    method.numbers = state.numbers  # with what only the data say, as how frequent their classes are
    for line in checkpoints.damaged:
        print(f"ganrun: {line} Using the one before.", file=sys.stderr)
    return method, state


def _step(folder: Path, config: Train, checkpoints: Checkpoints, asked: str) -> int | None:
    if asked == "latest":
        return None
    steps = checkpoints.steps()
    step = best_step(folder, config, steps) if asked == "best" else int(asked)
    if step not in steps:
        there = ", ".join(map(str, steps)) or "none"
        raise GanrunError(f"{relative(folder)} has no checkpoint of step {step} (it has {there}).")
    return step


def best_step(folder: Path, config: Train, steps: list[int]) -> int:
    """Return which of the ``steps`` was best by the metric that the run in ``folder`` keeps the best of.

    Raises:
        GanrunError: it keeps none, or has not measured it yet at any of them.
    """
    asked = config.checkpoint
    if asked.best is None:
        raise GanrunError(f"{relative(folder)} keeps no best checkpoint: train with checkpoint.best=METRIC.")
    values = {int(row["step"]): row[asked.best] for row in rows_of(folder) if asked.best in row}
    found = {step: values[step] for step in steps if step in values}
    if not found:
        raise GanrunError(f"{relative(folder)} has no checkpoint of which {asked.best} is known.")
    return min(found, key=lambda step: (asked.rating(found[step]), -step))
