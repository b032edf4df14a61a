"""Means over few runs and how sure they are: intervals, differences, and the price of asking many questions at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its confidence interval; NaN where too few runs, or one not finite, leave it open."""

    value: float
    low: float
    high: float


def mean_interval(values: np.ndarray, level: float = 0.95, method: str = "student") -> Interval:
    """Return the mean of ``values`` with its confidence interval.

    ``student``: mean ± t s / sqrt(n) with n - 1 degrees of freedom (Student 1908). ``bootstrap``: bias-corrected and
    accelerated percentiles of resampled means (Efron 1987), for values that are far from normal; it is too short for
    a handful of runs.
    """
    values = np.asarray(values, np.float64)
    if len(values) == 0:
        return Interval(math.nan, math.nan, math.nan)
    mean = _mean(values)
    if len(values) == 1 or not np.isfinite(values).all():
        return Interval(mean, math.nan, math.nan)
    if np.ptp(values) == 0.0:
        return Interval(mean, mean, mean)
    if method == "bootstrap":
        rng = np.random.default_rng(0)
        found: Any = stats.bootstrap(
            (values,), np.mean, confidence_level=level, n_resamples=RESAMPLES, method="BCa", rng=rng
        )
        return Interval(mean, float(found.confidence_interval.low), float(found.confidence_interval.high))
    half = float(stats.t.ppf(0.5 + level / 2, len(values) - 1)) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def _mean(values: np.ndarray) -> float:
    """Return the mean: exact where all values are the same, or rounding would make groups of other sizes differ."""
    if (values == values[0]).all():
        return float(values[0])
    with np.errstate(invalid="ignore"):
        return float(values.mean())


@dataclass(frozen=True)
class Difference:
    """The difference of two groups' means, ``p`` before and ``adjusted`` after correction; the interval is corrected.

    ``p`` is that of Welch's test for unequal variances (Welch 1947).
    """

    first: int
    second: int
    interval: Interval
    p: float
    adjusted: float


def differences(
    groups: list[np.ndarray], pairs: list[tuple[int, int]], level: float = 0.95, correction: str = "holm"
) -> list[Difference]:
    """Return mean(first) - mean(second) for ``pairs`` of ``groups``, corrected for their number.

    With a ``correction`` the intervals hold all at once with probability ``level`` (Bonferroni: each at
    1 - (1 - level) / m) and p is adjusted: ``holm`` step-down (Holm 1979), or ``bonferroni``; ``none`` leaves both.
    Pairs with a group of fewer than two runs, or with one that is not finite, have no interval, and do not count.
    """
    fit = [len(values) > 1 and bool(np.isfinite(values).all()) for values in groups]
    tested = [(i, j) for i, j in pairs if fit[i] and fit[j]]
    each = level if correction == "none" else 1.0 - (1.0 - level) / max(1, len(tested))
    found = [_welch(groups[i], groups[j], each) for i, j in tested]
    adjusted = adjust([p for _, p in found], correction)
    known = {pair: (*one, more) for pair, one, more in zip(tested, found, adjusted, strict=True)}
    answers = []
    for i, j in pairs:
        gap = _mean(groups[i]) - _mean(groups[j]) if len(groups[i]) and len(groups[j]) else math.nan
        interval, p, more = known.get((i, j), (Interval(gap, math.nan, math.nan), math.nan, math.nan))
        answers.append(Difference(i, j, interval, p, more))
    return answers


def _welch(a: np.ndarray, b: np.ndarray, level: float) -> tuple[Interval, float]:
    gap = _mean(a) - _mean(b)
    shares = [float(np.var(one, ddof=1)) / len(one) if np.ptp(one) else 0.0 for one in (a, b)]
    variance = sum(shares)
    if variance == 0.0:
        return Interval(gap, gap, gap), 0.0 if gap else 1.0
    parts = [(share / variance) ** 2 / (len(one) - 1) for share, one in zip(shares, (a, b), strict=True)]
    freedom = 1.0 / sum(parts)
    half = float(stats.t.ppf(0.5 + level / 2, freedom)) * math.sqrt(variance)
    p = 2.0 * float(stats.t.sf(abs(gap) / math.sqrt(variance), freedom))
    return Interval(gap, gap - half, gap + half), p


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
