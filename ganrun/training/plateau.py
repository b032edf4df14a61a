"""Early stopping: recognises that a metric of a run has stopped improving."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from ganrun.config.schema import Train
from ganrun.evaluation.metrics.spec import rating
from ganrun.writers.base import Entry

MEANED = 3  # evaluations whose mean is compared
MEDIAN = 0.6745  # of the magnitude of a standard normal number
Z = 1.96  # quantile of the normal distribution for an interval of confidence 0.95


class Plateau:
    """Remembers the best value of a metric, and for how many evaluations it has not improved.

    A value is the mean of the last three evaluations. It improves on the best one so far if it is better by more than
    the 95 % interval of the difference of two such means, and by more than ``stop.tolerance``. The standard deviation
    of an evaluation is estimated from the differences between the last 2 ``stop.patience`` ones, in their order.
    The run ends once ``stop.patience`` evaluations have passed without an improvement.

    It is a writer, so that it sees each evaluation when it is written, and depends on nothing but the rows of the run.

    Args:
        config: of the run; ``stop.when`` is a metric with a direction.
    """

    def __init__(self, config: Train) -> None:
        self._stop = config.stop
        self._recent: deque[float] = deque(maxlen=max(MEANED, 2 * config.stop.patience))  # ratings: lower is better
        self._best, self._best_step, self._step, self._since, self._half = math.inf, 0, 0, 0, 0.0

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
        if value is None or step <= 0 or not math.isfinite(value):
            return
        self._recent.append(rating(str(self._stop.when), float(value)))
        self._step, self._since = step, self._since + 1
        if len(self._recent) < MEANED:
            return
        values = np.array(self._recent)
        self._half = Z * deviation(values) * math.sqrt(2.0 / MEANED)
        mean = float(values[-MEANED:].mean())
        if mean < self._best - (max(self._half, self._stop.tolerance) if math.isfinite(self._best) else 0.0):
            self._best, self._best_step, self._since = mean, step, 0

    def reason(self) -> str:
        """Return why the run ends here; empty if it goes on."""
        if self._stop.when is None or self._since < self._stop.patience or not math.isfinite(self._best):
            return ""
        return (
            f"stop.when={self._stop.when}: {self._since} evaluations up to step {self._step} have not improved on the "
            f"mean of {MEANED} up to step {self._best_step} by more than its interval of {self._half:.2g}"
            + (f" and stop.tolerance={self._stop.tolerance:g}" if self._stop.tolerance else "")
        )


def deviation(values: np.ndarray) -> float:
    """Return the standard deviation of ``values`` about a slow trend, from their successive differences.

    For normal noise, the median magnitude of a difference is :data:`MEDIAN` times sqrt(2) standard deviations. A few
    large steps, as at the start of a run, do not change it, unlike their mean square (von Neumann 1941).
    """
    return float(np.median(np.abs(np.diff(values)))) / (MEDIAN * math.sqrt(2.0))
