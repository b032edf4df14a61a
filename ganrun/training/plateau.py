"""Early stopping: recognises that a metric of a run has stopped improving."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from ganrun.config.schema import Train
from ganrun.evaluation.metrics.spec import rating
from ganrun.writers.base import Entry

CONFIDENCE = 0.95  # of the interval of a difference


class Plateau:
    """Compares the mean of the last evaluations of a metric with that of as many before them.

    The run ends once the last ``stop.patience`` evaluations are on average not better than as many before, beyond the
    95 % interval of the difference (Welch's) and beyond ``stop.tolerance``. It is a writer, so that it sees each
    evaluation when it is written, and depends on nothing but the rows of the run.

    Args:
        config: of the run; ``stop.when`` is a metric with a direction.
    """

    def __init__(self, config: Train) -> None:
        self._stop = config.stop
        self._best_is = config.checkpoint.best_is if config.checkpoint.best == config.stop.when else None
        self._steps: list[int] = []
        self._ratings: list[float] = []

    def write(self, entry: Entry) -> None:
        """Remember the metric of ``entry``, if it has been evaluated."""
        self.see(entry.step, entry.scalars)

    def flush(self) -> None:
        pass

    def close(self, status: str) -> None:
        pass

    def restore(self, rows: Sequence[dict[str, Any]]) -> None:
        """Restore the state after ``rows`` had been written."""
        for row in rows:
            self.see(int(row["step"]), row)

    def see(self, step: int, scalars: dict[str, Any]) -> None:
        """Add the row of ``step``."""
        value = scalars.get(self._stop.when) if self._stop.when is not None else None
        if value is not None and step > 0 and math.isfinite(value):
            self._steps.append(step)
            self._ratings.append(rating(str(self._stop.when), float(value), self._best_is))

    def reason(self) -> str:
        """Return why the run ends here; empty if it goes on."""
        patience = self._stop.patience
        if self._stop.when is None or len(self._ratings) < 2 * patience:
            return ""
        before, now = self._ratings[-2 * patience : -patience], self._ratings[-patience:]
        improvement, half = difference(before, now)
        if improvement > max(half, self._stop.tolerance):
            return ""
        return (
            f"stop.when={self._stop.when}: from its evaluations at steps {self._steps[-2 * patience]} to "
            f"{self._steps[-patience - 1]} to those at steps {self._steps[-patience]} to {self._steps[-1]}, the mean "
            f"improved by {improvement:.2g}, within its error of {half:.2g} and stop.tolerance={self._stop.tolerance:g}"
        )


def difference(before: Sequence[float], now: Sequence[float]) -> tuple[float, float]:
    """Return how much lower the mean of ``now`` is than that of ``before``, and half of its 95 % interval (Welch)."""
    first, second = np.asarray(before, np.float64), np.asarray(now, np.float64)
    errors = [part.var(ddof=1) / len(part) for part in (first, second)]
    improvement, variance = float(first.mean() - second.mean()), sum(errors)
    if variance <= 0.0:
        return improvement, 0.0
    freedom = variance**2 / sum(error**2 / (len(part) - 1) for error, part in zip(errors, (first, second), strict=True))
    return improvement, float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom) * math.sqrt(variance))
