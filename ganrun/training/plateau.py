"""Early stopping: recognises that a metric of a run has stopped improving."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from ganrun.config.settings import Train
from ganrun.evaluation.metrics.logged import LEAST, stop_evaluations
from ganrun.evaluation.metrics.spec import rating
from ganrun.methods.finding import Finding
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
        self._config, self._stop = config, config.stop
        self._recent: deque[float] = deque(maxlen=max(MEANED, 2 * config.stop.patience))  # ratings: lower is better
        self._best, self._best_step, self._step, self._since, self._half = math.inf, 0, 0, 0, 0.0
        self._mean = math.inf  # of the last evaluations
        self._start: float | None = None  # rating before the first step
        self._improved = False  # whether a mean has been better than an earlier one

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
        if value is None or not math.isfinite(value):
            return
        rated = rating(str(self._stop.when), float(value))
        if step <= 0:
            self._start = rated
            return
        self._recent.append(rated)
        self._step, self._since = step, self._since + 1
        if len(self._recent) < MEANED:
            return
        values = np.array(self._recent)
        self._half = Z * deviation(values) * math.sqrt(2.0 / MEANED)
        self._mean = mean = float(values[-MEANED:].mean())
        if mean < self._best - (max(self._half, self._stop.tolerance) if math.isfinite(self._best) else 0.0):
            self._improved = math.isfinite(self._best)
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

    def stalled(self) -> Finding | None:
        """Return a warning if the run ends here and the metric has never improved since the start.

        The best mean, or the last if it is better, is compared with the value before the first step; its difference
        from that one value has a larger interval than that of two means. Where the metric has no value there, no mean
        has been better than an earlier one.
        """
        if not self.reason():
            return None
        half = self._half * math.sqrt((1.0 + MEANED) / 2.0)
        if self._start is None:
            left, since = self._improved, f"the first mean of {MEANED} evaluations"
        else:
            left = min(self._best, self._mean) < self._start - max(half, self._stop.tolerance)
            since = f"at step 0 by more than its interval of {half:.2g}"
        if left:
            return None
        longer = 2 * self._stop.patience
        fits = stop_evaluations(self._config) > longer + LEAST
        suggestions = (f"stop.patience={longer}",) if fits else ()
        evidence = f"{self._stop.when}, which ends the run, has never been better than {since}"
        return Finding("no improvement", self._step, evidence, (*suggestions, "stop.when=null"))


def deviation(values: np.ndarray) -> float:
    """Return the standard deviation of ``values`` about a slow trend, from their successive differences.

    For normal noise, the median magnitude of a difference is :data:`MEDIAN` times sqrt(2) standard deviations. A few
    large steps, as at the start of a run, do not change it, unlike their mean square (von Neumann 1941).
    """
    return float(np.median(np.abs(np.diff(values)))) / (MEDIAN * math.sqrt(2.0))
