"""Statistics over few runs that outliers hardly change: interquartile mean, median, probability of improvement.

Paper: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice".
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

RESAMPLES = 10_000
CUT = 0.25  # share of the runs that the interquartile mean leaves out at either end


def interquartile_mean(values: np.ndarray) -> float:
    """Return the mean of the middle half of ``values`` ``(n,)``; at either end, n / 4 rounded down are left out."""
    return float(stats.trim_mean(values, CUT))


STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "iqm": interquartile_mean,
    "median": lambda values: float(np.median(values)),
}


def bootstrapped(values: np.ndarray, statistic: str, level: float = 0.95) -> tuple[float, float, float]:
    """Return a statistic of ``values`` and the ends of its percentile bootstrap interval.

    For a handful of runs the interval is too short. It is NaN for fewer than two runs, without variance, or with a
    value that is not finite.

    Args:
        values: ``(n,)``, one per run.
        statistic: ``iqm`` or ``median``.
        level: confidence level in (0, 1).
    """
    values = np.asarray(values, np.float64)
    if not len(values):
        return math.nan, math.nan, math.nan
    value = STATISTICS[statistic](values)
    if len(values) < 2 or not np.isfinite(values).all() or np.ptp(values) == 0:
        return value, math.nan, math.nan
    draws = values[np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))]
    resampled = stats.trim_mean(draws, CUT, axis=1) if statistic == "iqm" else np.median(draws, axis=1)
    low, high = np.quantile(resampled, [0.5 - level / 2, 0.5 + level / 2])
    return value, float(low), float(high)


def probability_of_improvement(x: np.ndarray, y: np.ndarray, higher: bool) -> float:
    """Return the share of pairs of runs, one of ``x`` and one of ``y``, in which that of ``x`` is better.

    Equal values count half, so that this is the Mann-Whitney statistic divided by the number of pairs.

    Args:
        x: values of a group, ``(n,)``.
        y: values of the other, ``(m,)``.
        higher: whether higher values are better.
    """
    if not len(x) or not len(y) or np.isnan(x).any() or np.isnan(y).any():
        return math.nan
    first, second = np.asarray(x)[:, None], np.asarray(y)[None, :]
    better = first > second if higher else first < second
    return float((better + 0.5 * (first == second)).mean())
