"""Means over few runs with confidence intervals, and their differences corrected for multiple comparisons.

Zero sample variance does not mean certainty: a discrete metric (such as a count of modes) may have the same value in
several runs although another run would differ. Without variance there is no interval, and two groups without variance
are compared by an exact permutation test.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

RESAMPLES = 10_000
NO_VARIANCE = "no variance"  # shown in place of an interval


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its confidence interval.

    The ends are NaN if there is no interval: for fewer than two runs, without variance, or with a value that is not
    finite.
    """

    value: float
    low: float
    high: float


def mean_interval(values: np.ndarray, level: float = 0.95, method: str = "student") -> Interval:
    """Return the mean of ``values`` with its confidence interval.

    ``student``: mean ± t s / sqrt(n) with n - 1 degrees of freedom (Student 1908). ``bootstrap``: bias-corrected and
    accelerated percentiles of resampled means (Efron 1987), for values that are far from normal; it is too short for
    a handful of runs.

    Args:
        values: ``(n,)``, one per run.
        level: confidence level in (0, 1).
        method: student or bootstrap.
    """
    values = np.asarray(values, np.float64)
    if len(values) == 0:
        return Interval(math.nan, math.nan, math.nan)
    low, high = intervals(values[:, None], level, method)
    return Interval(_mean(values), float(low[0]), float(high[0]))


def intervals(table: np.ndarray, level: float = 0.95, method: str = "student") -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the confidence interval (see :func:`mean_interval`) of each column of ``table``.

    Args:
        table: ``(n, columns)``, one row per run.
        level: confidence level.
        method: student or bootstrap.

    Returns:
        The lower and the upper ends, ``(columns,)`` each; NaN where there is no interval.
    """
    table = np.asarray(table, np.float64)
    low, high = np.full((2, table.shape[1]), math.nan)
    if len(table) < 2:
        return low, high
    known = np.flatnonzero(np.isfinite(table).all(axis=0))
    known = known[np.ptp(table[:, known], axis=0) > 0]
    if len(known):
        low[known], high[known] = (_bootstrap if method == "bootstrap" else _student)(table[:, known], level)
    return low, high


def _student(table: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    n, mean = len(table), table.mean(axis=0)
    half = special.stdtrit(n - 1, 0.5 + level / 2) * table.std(axis=0, ddof=1) / math.sqrt(n)
    return mean - half, mean + half


def _bootstrap(table: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    result: Any = stats.bootstrap(
        (table,),
        np.mean,
        axis=0,
        confidence_level=level,
        n_resamples=RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(0),
    )
    return result.confidence_interval.low, result.confidence_interval.high


def _mean(values: np.ndarray) -> float:
    """Return the mean; exact if all values are equal, so that rounding never makes groups of different sizes differ."""
    if (values == values[0]).all():
        return float(values[0])
    with np.errstate(invalid="ignore"):
        return float(values.mean())


@dataclass(frozen=True)
class Difference:
    """The difference of two groups' means, with its p before (``p``) and after correction (``adjusted``).

    ``p`` is that of Welch's test for unequal variances (Welch 1947); if neither group has any variance, it is that of
    the exact permutation test, and there is no interval. The interval is corrected.
    """

    first: int
    second: int
    interval: Interval
    p: float
    adjusted: float


def differences(
    groups: Sequence[np.ndarray], pairs: Sequence[tuple[int, int]], level: float = 0.95, correction: str = "holm"
) -> list[Difference]:
    """Return mean(first) - mean(second) for ``pairs`` of ``groups``, corrected for all possible pairs.

    The pairs may be selected by the data (such as all pairs with the best group), so the correction is for all m pairs
    of groups that can be tested: the intervals have simultaneous coverage ``level`` (Bonferroni: each has level
    1 - (1 - level) / m), and p is adjusted: ``holm`` step-down (Holm 1979), or ``bonferroni``. ``none`` changes
    neither. A group of fewer than two runs, or with a value that is not finite, cannot be tested.
    """
    testable = comparable(groups)
    tested = list(itertools.combinations(testable, 2))
    each = level if correction == "none" else 1.0 - (1.0 - level) / max(1, len(tested))
    p, half = _welch([groups[i] for i in testable], each)
    known = {
        pair: (float(p_value), float(half_width), adjusted)
        for pair, p_value, half_width, adjusted in zip(tested, p, half, adjust(p.tolist(), correction), strict=True)
    }
    results = []
    for i, j in pairs:
        value = _mean(groups[i]) - _mean(groups[j]) if len(groups[i]) and len(groups[j]) else math.nan
        p_value, half_width, adjusted = known.get((min(i, j), max(i, j)), (math.nan, math.nan, math.nan))
        results.append(Difference(i, j, Interval(value, value - half_width, value + half_width), p_value, adjusted))
    return results


def comparable(groups: Sequence[np.ndarray]) -> list[int]:
    """Return the indices of the ``groups`` that can be tested: those of at least two runs, all finite."""
    return [i for i, values in enumerate(groups) if len(values) > 1 and bool(np.isfinite(values).all())]


def _welch(groups: Sequence[np.ndarray], level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return p and the interval's half width for each pair of ``groups``, in the order of ``combinations``.

    A group without variance contributes neither variance nor degrees of freedom. If both have none, the half width is
    NaN.
    """
    sizes = np.array([len(values) for values in groups])
    means = np.array([_mean(values) for values in groups])
    variances = np.array([float(np.var(values, ddof=1)) / len(values) if np.ptp(values) else 0.0 for values in groups])
    first, second = np.triu_indices(len(groups), 1)
    difference, variance = means[first] - means[second], variances[first] + variances[second]
    p, half = np.full((2, len(first)), math.nan)
    some = variance > 0
    a, b = first[some], second[some]
    parts = [(variances[group] / variance[some]) ** 2 / (sizes[group] - 1) for group in (a, b)]
    freedom, error = 1.0 / (parts[0] + parts[1]), np.sqrt(variance[some])
    p[some] = 2.0 * special.stdtr(freedom, -np.abs(difference[some]) / error)
    half[some] = special.stdtrit(freedom, 0.5 + level / 2) * error
    for k in np.flatnonzero(~some):
        p[k] = _permutation(int(sizes[first[k]]), int(sizes[second[k]])) if difference[k] else 1.0
    return p, half


def _permutation(n: int, m: int) -> float:
    """Return the two-sided p of the exact permutation test between ``n`` equal values and ``m`` equal other values.

    Only one of all ways to choose n of the n + m runs gives a difference as large (Fisher 1935, "The design of
    experiments"); twice its probability, for either direction, is the smallest p that so many runs can have.
    """
    return 2 / math.comb(n + m, n)


def adjust(p: list[float], correction: str = "holm") -> list[float]:
    """Return p values adjusted for their number: ``holm``, ``bonferroni`` or ``none``."""
    if correction == "none":
        return list(p)
    if correction == "bonferroni":
        return [min(1.0, value * len(p)) for value in p]
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, p[i] * (len(p) - rank)))
        adjusted[i] = highest
    return adjusted
