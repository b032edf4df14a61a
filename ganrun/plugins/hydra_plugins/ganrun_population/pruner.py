"""Ends trials of a search early that are worse than the median of the previous ones."""

# No `from __future__ import annotations` here: Hydra needs the types of a plugin's module unquoted.
import warnings
from collections.abc import Sequence
from typing import Any


class Pruner:
    """Decides which trials of a population to prune, by the mean of ``metric`` over the runs of each trial.

    Args:
        trials: the Optuna trials of the population.
        runs: number of runs per trial.
        metric: the metric to be optimised.

    Attributes:
        pruned: the numbers of the pruned trials.
    """

    def __init__(self, trials: Sequence[Any], runs: int, metric: str) -> None:
        self._trials, self._runs, self._metric = trials, runs, metric
        self.pruned: set[int] = set()

    def __call__(self, step: int, metrics: dict[int, dict[str, float]]) -> dict[int, str]:
        """Report the ``metrics`` of each job at ``step`` to Optuna; return the jobs to prune and the reasons."""
        ended = {}
        for place, trial in enumerate(self._trials):
            jobs = range(place * self._runs, (place + 1) * self._runs)
            values = [metrics[i][self._metric] for i in jobs if self._metric in metrics.get(i, {})]
            if len(values) < self._runs:  # the trial is in another program, or one of its runs has failed
                continue
            mean = sum(values) / len(values)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a trial that another process has begun may have this step already
                trial.report(mean, step)
            if trial.should_prune():
                self.pruned.add(trial.number)
                ended |= dict.fromkeys(
                    jobs, f"pruned: {self._metric} {mean:.4g} at step {step} is worse than the median"
                )
        return ended
