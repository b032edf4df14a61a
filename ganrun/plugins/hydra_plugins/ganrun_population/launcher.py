"""The launcher that passes all jobs of a sweep to ganrun at once, which trains those with a common program together."""

# No `from __future__ import annotations` here: Hydra needs the dataclass's types unquoted.
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.ganrun_population.jobs import Jobs
from omegaconf import DictConfig

from ganrun.config.hydra_internals import job_return
from ganrun.errors import ConfigError, tell


@dataclass
class PopulationConf:
    """The launcher's config. It has no settings; those of a population are under ``population``."""

    _target_: str = "hydra_plugins.ganrun_population.launcher.PopulationLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="population", node=PopulationConf, provider="ganrun")


# Like ganrun.training.loop.Pruner, with jobs by their index in the launch.
JobPruner = Callable[[int, dict[int, dict[str, float]]], dict[int, str]]


def _by_folder(
    pruner: JobPruner, numbers: dict[Path, int], step: int, metrics: dict[Path, dict[str, float]]
) -> dict[Path, str]:
    ended = pruner(step, {numbers[folder]: values for folder, values in metrics.items()})
    return {folder: ended[i] for folder, i in numbers.items() if i in ended}


class PopulationLauncher(Launcher):
    """Runs all jobs in one process, with one program for all that can share it.

    Attributes:
        pruner: may end some jobs early.
        whole: whether a launch is the whole sweep, to be compared at its end.
        names: the directories of jobs by number, if the sweeper has named them.
        part: the subdirectory of the sweep's that is a sweep of its own with all jobs; usually empty.
        again: whether the jobs may have begun, in another process.
    """

    def __init__(self) -> None:
        self.config: DictConfig | None = None
        self.pruner: JobPruner | None = None
        self.whole = True
        self.names: dict[int, str] = {}
        self.part, self.again = "", False

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs by calling the task's ``together`` with their configs and folders."""
        assert self.config is not None
        together: Any = getattr(self.task, "together", None)
        if together is None:
            error = ConfigError("hydra/launcher=population is for `ganrun train` alone: choose hydra/launcher=basic.")
            raise SystemExit(tell(error))  # Hydra would print a traceback
        setup_globals()
        try:
            jobs = Jobs(self.context, self.config).whole(job_overrides, initial_job_idx, self.names)
        except ConfigError as error:
            raise SystemExit(tell(error)) from error
        numbers = {folder.resolve(): i for i, (_, folder) in enumerate(jobs)}
        pruner = None if self.pruner is None else partial(_by_folder, self.pruner, numbers)
        folder = Path(str(self.config.hydra.sweep.dir)) / self.part
        codes = together(jobs, folder, pruner=pruner, whole=self.whole, resumed=self.again)
        return [
            job_return(overrides, folder, code)
            for overrides, (_, folder), code in zip(job_overrides, jobs, codes, strict=True)
        ]
