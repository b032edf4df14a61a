"""Loads the networks of a run for commands that only read it, also while it is training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ganrun import datasets
from ganrun.config.settings import Train
from ganrun.errors import GanrunError, instead
from ganrun.evaluation.metrics.spec import rating
from ganrun.methods.experiment import Experiment
from ganrun.methods.run_state import RunState
from ganrun.storage.checkpoints import Checkpoints
from ganrun.storage.metrics_file import rows_of
from ganrun.storage.run_directory import relative


def load_run(
    folder: Path, config: Train, checkpoint: str = "latest", density: Any = None
) -> tuple[Experiment, RunState]:
    """Return the experiment of the run in ``folder``, without its data, and its state at ``checkpoint``.

    Damaged checkpoints that are skipped are reported on standard error.

    Args:
        folder: the run directory.
        config: of the run.
        checkpoint: a step, ``latest`` (the latest readable one), or ``best`` (if the run keeps its best).
        density: of the data, if known; a model needs nothing else of the data but their shape.

    Raises:
        GanrunError: there is no such checkpoint, or it cannot be read.
    """
    experiment = Experiment(
        config, datasets.Data(train=None, held_out=None, shape=config.dataset.shape, density=density)
    )
    if not (folder / "checkpoints").is_dir():
        raise GanrunError(f"{relative(folder)} has no checkpoint yet.")
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    state, _ = checkpoints.restore(experiment.abstract(), _step(folder, config, checkpoints, checkpoint))
    experiment.hparams = state.hparams  # includes values derived from the data, such as class frequencies
    for line in checkpoints.damaged:
        print(f"ganrun: {line} Using the one before.", file=sys.stderr)
    return experiment, state


def _step(folder: Path, config: Train, checkpoints: Checkpoints, checkpoint: str) -> int | None:
    if checkpoint == "latest":
        return None
    steps = checkpoints.steps()
    step = best_step(folder, config, steps) if checkpoint == "best" else int(checkpoint)
    if step not in steps:
        others = instead("", map(str, steps), "It has")
        raise GanrunError(f"{relative(folder)} has no checkpoint of step {step}.{others}")
    return step


def best_step(folder: Path, config: Train, steps: list[int]) -> int:
    """Return the one of ``steps`` with the best value of ``checkpoint.best``, the metric of the run in ``folder``.

    Raises:
        GanrunError: the run has no such metric, or has not logged it yet at any of the steps.
    """
    tag, best_is = config.checkpoint.best, config.checkpoint.best_is
    if tag is None:
        raise GanrunError(f"{relative(folder)} keeps no best checkpoint: train with checkpoint.best=METRIC.")
    logged = {int(row["step"]): row[tag] for row in rows_of(folder) if tag in row}
    values = {step: logged[step] for step in steps if step in logged}
    if not values:
        raise GanrunError(f"{relative(folder)} has no checkpoint at a step where {tag} was logged.")
    return min(values, key=lambda step: (rating(tag, values[step], best_is), -step))
