"""Warnings that a run gives as it starts or continues: about its settings, not about its metrics."""

from __future__ import annotations

from pathlib import Path

from ganrun.config.settings import Train
from ganrun.errors import ConfigError
from ganrun.methods.experiment import Experiment
from ganrun.storage.run_directory import load_config


def cautions(experiment: Experiment, config: Train, folder: Path, step: int) -> list[str]:
    """Return the warnings of a run that starts at ``step``, a sentence each.

    Args:
        experiment: the method, hyperparameters and data of the run.
        config: of the run, which the config in ``folder`` has not been replaced by.
        folder: the run directory.
        step: 0 for a new run.
    """
    return [*config.method.cautions(experiment), *_not_streamed(experiment, config), *_jumps(config, folder, step)]


def _not_streamed(experiment: Experiment, config: Train) -> list[str]:
    """Return a warning if the data were to be streamed, and cannot be: they are generated, on the device."""
    if config.feed != "streamed" or experiment.streams:
        return []
    return [f"feed=streamed has no effect: dataset={config.dataset.name} is generated, so nothing is streamed"]


def _jumps(config: Train, folder: Path, step: int) -> list[str]:
    """Return a warning if a schedule jumps because the run is resumed with a different number of steps."""
    if not step:
        return []
    try:
        line = config.method.jumps(load_config(folder), config, step)
    except ConfigError:  # a damaged config is about to be rewritten
        return []
    return [] if line is None else [line]
