"""Hands all jobs of a sweep to ganrun at once, which trains those of one program together."""

# No `from __future__ import annotations` here: Hydra reads the dataclass's types as they stand.
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.ganrun_population.jobs import Jobs
from omegaconf import DictConfig

from ganrun.errors import ConfigError, tell


@dataclass
class PopulationConf:
    """The launcher's own settings: it has none, a population's are under ``population``."""

    _target_: str = "hydra_plugins.ganrun_population.launcher.PopulationLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="population", node=PopulationConf, provider="ganrun")


# As ganrun's own judge, with jobs by their place in the launch.
JobJudge = Callable[[int, dict[int, dict[str, float]]], dict[int, str]]


def _by_folder(
    judge: JobJudge, numbers: dict[Path, int], step: int, seen: dict[Path, dict[str, float]]
) -> dict[Path, str]:
    ended = judge(step, {numbers[folder]: metrics for folder, metrics in seen.items()})
    return {folder: ended[i] for folder, i in numbers.items() if i in ended}


class PopulationLauncher(Launcher):
    """One process, and one program for all jobs that can share it.

    ``judge`` may end some of them early; ``whole``: what is launched is the whole sweep, to be compared at its end;
    ``names``: the directories of jobs by their numbers, where a sweeper has named them.
    """

    def __init__(self) -> None:
        self.config: DictConfig | None = None
        self.judge: JobJudge | None = None
        self.whole = True
        self.names: dict[int, str] = {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run every job; the task's ``together`` gets their configs and folders and returns their exit codes."""
        assert self.config is not None
        together: Any = getattr(self.task, "together", None)
        if together is None:
            wrong = ConfigError("hydra/launcher=population is for `ganrun train` alone: choose hydra/launcher=basic.")
            raise SystemExit(tell(wrong))  # Hydra would print a traceback
        setup_globals()
        try:
            jobs = Jobs(self.context, self.config).whole(job_overrides, initial_job_idx, self.names)
        except ConfigError as error:
            raise SystemExit(tell(error)) from error
        numbers = {folder.resolve(): i for i, (_, folder) in enumerate(jobs)}
        judge = None if self.judge is None else partial(_by_folder, self.judge, numbers)
        codes = together(jobs, Path(str(self.config.hydra.sweep.dir)), judge=judge, whole=self.whole)
        return [
            JobReturn(overrides=one, working_dir=str(folder), _return_value=code, status=JobStatus.COMPLETED)
            for one, (_, folder), code in zip(job_overrides, jobs, codes, strict=True)
        ]
