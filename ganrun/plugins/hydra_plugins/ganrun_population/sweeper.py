"""Hydra's grid of ``-m`` for ganrun, which has checked the values already; and many runs in one job of a cluster."""

# No `from __future__ import annotations` here: Hydra reads the dataclass's types as they stand.
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.ganrun_population.launcher import PopulationLauncher
from omegaconf import DictConfig

from ganrun.errors import cannot_write, tell
from ganrun.hydra_app import quoted
from ganrun.rundir import numbered_runs


@dataclass
class GridConf:
    """All combinations at once: a population wants to see the whole sweep."""

    _target_: str = "hydra_plugins.ganrun_population.sweeper.GridSweeper"
    max_batch_size: Any = None
    params: Any = None


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConf, provider="ganrun")


class GridSweeper(BasicSweeper):
    """Every combination of the values given."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.task = task_function

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Do nothing: Hydra would compose every job once more, and ``ganrun train`` has tried every value before."""

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        """Return the next jobs; for a launcher of processes ``population.lanes_per_job`` runs are one job."""
        batch = super().get_job_batch()
        assert self.config is not None
        together = int(self.config.get("population", {}).get("lanes_per_job", 1))
        if together == 1 or isinstance(self.launcher, PopulationLauncher):
            return batch
        return [_as_one(batch[start : start + together]) for start in range(0, len(batch), together)]

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep, note what jobs in other processes returned (their exit codes) and compare the runs."""
        assert self.config is not None
        folder = Path(str(self.config.hydra.sweep.dir))
        try:
            returns = super().sweep(arguments)
        except OSError as error:  # of Hydra's own file there; Hydra would print a traceback
            raise SystemExit(tell(cannot_write(error, folder))) from error
        codes = getattr(self.task, "codes", None)
        if codes is not None:
            codes.extend(int(job.return_value or 0) for batch in returns for job in batch)
        if not isinstance(self.launcher, PopulationLauncher):  # which has done so
            from ganrun.comparison.report import report  # every command imports this module, and few compare

            runs = numbered_runs(folder)
            if len(runs) > 1:
                print(report(runs, folder))
        return returns


def _as_one(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Return the overrides of the job that runs ``jobs``: what they share, and all that each was given."""
    shared = [text for text in jobs[0] if all(text in one for one in jobs)]
    listed = ",".join(quoted(json.dumps(list(one))) for one in jobs)
    return [*shared, f"population.jobs=[{listed}]"]
