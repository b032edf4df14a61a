"""Hands all jobs of a sweep to ganrun at once, which trains those of one program together."""

# No `from __future__ import annotations` here: Hydra reads the dataclass's types as they stand.
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from ganrun.composing import Composer
from ganrun.errors import ConfigError, tell
from ganrun.hydra_app import groups


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

    ``judge`` may end some of them early; ``whole``: what is launched is the whole sweep, to be compared at its end.
    """

    def __init__(self) -> None:
        self.config: DictConfig | None = None
        self.judge: JobJudge | None = None
        self.whole = True
        self._compose: Callable[[list[str]], DictConfig] | None = None

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
        jobs = [self._job(i, list(one)) for i, one in enumerate(job_overrides, initial_job_idx)]
        numbers = {folder.resolve(): i for i, (_, folder) in enumerate(jobs)}
        judge = None if self.judge is None else partial(_by_folder, self.judge, numbers)
        codes = together(jobs, Path(str(self.config.hydra.sweep.dir)), judge=judge, whole=self.whole)
        return [
            JobReturn(overrides=one, working_dir=str(folder), _return_value=code, status=JobStatus.COMPLETED)
            for one, (_, folder), code in zip(job_overrides, jobs, codes, strict=True)
        ]

    def _job(self, i: int, overrides: list[str]) -> tuple[dict[str, Any], Path]:
        """Return the config of job ``i`` and the folder that Hydra would give to it."""
        config = self._whole(overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = i
        HydraConfig.instance().set_config(config)
        folder = Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir)
        with open_dict(config):
            del config["hydra"]
        return OmegaConf.to_container(config, resolve=True), folder  # type: ignore[return-value]

    def _whole(self, overrides: list[str]) -> DictConfig:
        if self._compose is None:
            assert self.config is not None
            compose = partial(self.context.config_loader.load_sweep_config, self.config)
            named = OmegaConf.to_yaml(self.config.hydra.sweep, resolve=False)
            # A folder named by the job's overrides needs Hydra to see them all.
            self._compose = Composer(compose, groups()) if "subdir: ${hydra.job.num}" in named else compose
        return self._compose(overrides)
