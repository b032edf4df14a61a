"""The default sweeper of ``-m``: every combination of the values given, with several runs per job of a cluster."""

# No `from __future__ import annotations` here: Hydra needs the dataclass's types unquoted.
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.ganrun_population.jobs import Jobs
from hydra_plugins.ganrun_population.launcher import PopulationLauncher
from hydra_plugins.ganrun_population.retry import launch as launched
from hydra_plugins.ganrun_population.retry import retries_of
from omegaconf import DictConfig, OmegaConf

from ganrun.config.hydra_bridge import quoted
from ganrun.config.values import checked
from ganrun.errors import ConfigError, cannot_write, tell
from ganrun.storage.sweep_directory import runs_of
from ganrun.training.shell_commands import resume_command


@dataclass
class GridConf:
    """The sweeper's config, with the settings of Hydra's basic sweeper."""

    _target_: str = "hydra_plugins.ganrun_population.sweeper.GridSweeper"
    max_batch_size: Any = None  # jobs launched at once; null: all, so that a population is as large as possible
    params: Any = None  # more settings to vary, by key


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConf, provider="ganrun")


class GridSweeper(Sweeper):
    """Runs every combination of the values given.

    Unlike Hydra's basic sweeper it does not compose the jobs to check them: ``ganrun train`` has checked every value.
    """

    def __init__(self, max_batch_size: Any = None, params: Any = None) -> None:
        self.max_batch_size, self.params = max_batch_size, params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.config, self.task = hydra_context, config, task_function
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.jobs = Jobs(hydra_context, config)
        self.own = isinstance(self.launcher, PopulationLauncher)  # plans and compares the runs itself

    def _batches(self, arguments: list[str]) -> list[list[list[str]]]:
        """Return the overrides of every job, in batches that are launched one after the other."""
        words = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        jobs = combinations(words, self.context.config_loader)
        size = checked(int | None, self.max_batch_size, "hydra.sweeper.max_batch_size", {"low": 1}) or len(jobs)
        return [jobs[start : start + size] for start in range(0, len(jobs), size)]

    def _named(self, arguments: list[str]) -> list[list[list[str]]]:
        """Return the jobs in batches, each job with a directory of its own.

        For a launcher that starts processes, ``population.members_per_job`` runs are one job.

        Raises:
            ConfigError: two jobs would share a directory, or the sweep is invalid.
        """
        batches = self._batches(arguments)
        runs = [run for batch in batches for run in batch]
        names = self.jobs.names(runs)
        if isinstance(self.launcher, PopulationLauncher):
            self.launcher.names = dict(enumerate(names))
            return batches
        assert self.config is not None
        together = int(self.config.get("population", {}).get("members_per_job", 1))
        numbers, parts = iter(range(len(runs))), []
        self._places: list[Path] = []
        placed: list[list[list[str]]] = []
        for batch in batches:
            indices = [next(numbers) for _ in batch]
            groups = [indices[start : start + together] for start in range(0, len(indices), together)]
            if together == 1:
                placed.append([self.jobs.placed(runs[i], names[i]) for (i,) in groups])
                self._places += [self.jobs.folder / names[i] for (i,) in groups]
                continue
            parts += [_part(group) for group in groups]
            self._places += [self.jobs.folder / _part(group) for group in groups]
            placed.append([_as_one([runs[i] for i in group], [names[i] for i in group], group) for group in groups])
            for group in groups:
                for i in group:
                    names[i] = f"{_part(group)}/{names[i]}"
        self._plan = runs, names, [] if parts else [[i] for i in range(len(runs))], parts
        return placed

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep, collect the exit codes of jobs in other processes, and compare the runs."""
        folder = self.jobs.folder
        try:
            returns = self._launch(self._named(arguments))
        except ConfigError as error:  # Hydra would print a traceback
            raise SystemExit(tell(error)) from error
        except OSError as error:  # raised when Hydra's own file is written there
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
            if any(job.return_value in (130, 143) for batch in returns for job in batch):
                print(f"resume the sweep with: {resume_command(folder)}")
        return returns

    def _launch(self, batches: list[list[list[str]]]) -> list[Sequence[JobReturn]]:
        """Write Hydra's file of the sweep and, for other launchers, the plan of all runs; then launch the batches."""
        assert self.launcher is not None
        folder = self.jobs.folder
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        if not self.own:
            self.jobs.plan(*self._plan)
        returns: list[Sequence[JobReturn]] = []
        retries, first = retries_of(self.config, folder), 0
        for batch in batches:
            if self.own:
                results = self.launcher.launch(batch, initial_job_idx=first)
            else:
                results = launched(self.launcher, batch, self._places[first : first + len(batch)], first, retries)
            for job in results:
                _ = job.return_value  # raises the error of a job that failed
            returns.append(results)
            first += len(batch)
        retries.record()
        return returns


def combinations(words: Sequence[str], loader: Any) -> list[list[str]]:
    """Return the overrides of each job of a sweep over every combination of the values in ``words``.

    Args:
        words: overrides, with one or several values each; the last one of a key counts.
        loader: Hydra's config loader, which knows the options that a glob stands for.

    Raises:
        ConfigError: an override is an interval.
    """
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(words))
    axes = {override.get_key_element(): list(_values(override)) for override in parsed}
    return [list(job) for job in itertools.product(*axes.values())]


def _values(override: Override) -> Iterator[str]:
    """Yield the override of each value of ``override``, which may have one or several."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        yield f"{key}={override.get_value_element_as_str()}"
    elif override.is_discrete_sweep():
        yield from (f"{key}={value}" for value in override.sweep_string_iterator())
    else:
        raise ConfigError(f"{key} is an interval, which only a search can vary: write range(A,B,STEP), or list values.")


def _part(numbers: Sequence[int]) -> str:
    """Return the directory of a job with the runs ``numbers`` of the sweep, such as ``4-7``."""
    return "-".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))


def _as_one(runs: Sequence[Sequence[str]], names: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """Return the overrides of a job of several ``runs``: those that all share, and the list of each run's own."""
    shared = [text for text in runs[0] if all(text in overrides for overrides in runs)]
    shared = [text for text in shared if not text.startswith("hydra.sweep.subdir=")]
    listed = ",".join(quoted(json.dumps([name, *overrides])) for name, overrides in zip(names, runs, strict=True))
    return [*shared, f"population.jobs=[{listed}]", f"hydra.sweep.subdir={quoted(_part(numbers))}"]
