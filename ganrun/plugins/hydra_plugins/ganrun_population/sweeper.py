"""Hydra's grid sweeper of ``-m``, without a second check of all jobs, and with several runs per job of a cluster."""

# No `from __future__ import annotations` here: Hydra needs the dataclass's types unquoted.
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.ganrun_population.jobs import Jobs
from hydra_plugins.ganrun_population.launcher import PopulationLauncher
from omegaconf import DictConfig

from ganrun.config.hydra_bridge import quoted
from ganrun.errors import ConfigError, cannot_write, tell
from ganrun.storage.sweep_directory import runs_of
from ganrun.training.shell_commands import resume_command


@dataclass
class GridConf:
    """The sweeper's config. By default all jobs are launched at once, so that a population is as large as possible."""

    _target_: str = "hydra_plugins.ganrun_population.sweeper.GridSweeper"
    max_batch_size: Any = None
    params: Any = None


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConf, provider="ganrun")


class GridSweeper(BasicSweeper):
    """Runs every combination of the values given."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.task, self.jobs = task_function, Jobs(hydra_context, config)
        self.own = isinstance(self.launcher, PopulationLauncher)  # plans and compares the runs itself

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Do nothing: Hydra would compose every job again, and ``ganrun train`` has already checked every value."""

    def _named(self, arguments: list[str]) -> list[list[list[str]]]:
        """Return the jobs in batches, each job with a directory of its own.

        For a launcher that starts processes, ``population.members_per_job`` runs are one job.

        Raises:
            ConfigError: two jobs would share a directory.
        """
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        batches = self.split_arguments(overrides, self.max_batch_size)
        runs = [run for batch in batches for run in batch]
        names = self.jobs.names(runs)
        if isinstance(self.launcher, PopulationLauncher):
            self.launcher.names = dict(enumerate(names))
            return batches
        assert self.config is not None
        together = int(self.config.get("population", {}).get("members_per_job", 1))
        numbers, parts = iter(range(len(runs))), []
        launched: list[list[list[str]]] = []
        for batch in batches:
            indices = [next(numbers) for _ in batch]
            groups = [indices[start : start + together] for start in range(0, len(indices), together)]
            if together == 1:
                launched.append([self.jobs.placed(runs[i], names[i]) for (i,) in groups])
                continue
            parts += [_part(group) for group in groups]
            launched.append([_as_one([runs[i] for i in group], [names[i] for i in group], group) for group in groups])
            for group in groups:
                for i in group:
                    names[i] = f"{_part(group)}/{names[i]}"
        self._plan = runs, names, [] if parts else [[i] for i in range(len(runs))], parts
        return launched

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        """Return the next jobs; before the first, write the plan of all jobs to the sweep's directory."""
        if not self.own and self.batch_index == 0:
            self.jobs.plan(*self._plan)
        self.batch_index += 1
        return self._launched[self.batch_index - 1]

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep, collect the exit codes of jobs in other processes, and compare the runs."""
        folder = self.jobs.folder
        try:
            self._launched = self._named(arguments)  # before Hydra creates the sweep's directory
            returns = super().sweep(arguments)
        except ConfigError as error:  # Hydra would print a traceback
            raise SystemExit(tell(error)) from error
        except OSError as error:  # raised when Hydra writes its own file there
            raise SystemExit(tell(cannot_write(error, folder))) from error
        except SystemExit as leaving:
            if not self.own and leaving.code in (130, 143):
                print(f"resume the sweep with: {resume_command(folder)}")
            raise
        codes = getattr(self.task, "codes", None)
        if codes is not None:
            codes.extend(int(job.return_value or 0) for batch in returns for job in batch)
        if not self.own:
            from ganrun.comparison.report import report  # slow to import, and every command imports this module

            runs = runs_of(folder)
            if len(runs) > 1:
                print(report(runs, folder))
        return returns


def _part(numbers: Sequence[int]) -> str:
    """Return the directory of a job with the runs ``numbers`` of the sweep, such as ``4-7``."""
    return "-".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))


def _as_one(runs: Sequence[Sequence[str]], names: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """Return the overrides of a job of several ``runs``: those that all share, and the list of each run's own."""
    shared = [text for text in runs[0] if all(text in overrides for overrides in runs)]
    shared = [text for text in shared if not text.startswith("hydra.sweep.subdir=")]
    listed = ",".join(quoted(json.dumps([name, *overrides])) for name, overrides in zip(names, runs, strict=True))
    return [*shared, f"population.jobs=[{listed}]", f"hydra.sweep.subdir={quoted(_part(numbers))}"]
