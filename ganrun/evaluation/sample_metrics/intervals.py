"""Intervals of metrics by resampling, and the values of real examples against themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ganrun.errors import ConfigError

Statistic = Callable[..., float]


@dataclass(frozen=True)
class Interval:
    """A value with an interval for its expectation at the same sample sizes.

    Attributes:
        value: of the whole sets.
        low: lower end.
        high: upper end.
        standard_error: of the value.
        level: nominal coverage.
    """

    value: float
    low: float
    high: float
    standard_error: float
    level: float


@dataclass(frozen=True)
class Floor:
    """Values of a metric between disjoint sets of real examples.

    Attributes:
        mean: of the values; what the best possible model scores at these sizes.
        standard_deviation: of the values; an underestimate where the sets of different repeats overlap.
        values: of each repeat.
    """

    mean: float
    standard_deviation: float
    values: tuple[float, ...]


def floor(statistic: Statistic, real: np.ndarray, sizes: tuple[int, int], repeats: int = 5, seed: int = 0) -> Floor:
    """Return the metric of real against real examples, for random disjoint sets of the sizes of a comparison.

    Args:
        statistic: a function of two sets of features that returns a number.
        real: features ``(n, d)``.
        sizes: of the sets that take the places of the real and of the fake examples; their sum is at most n.
        repeats: number of random splits, at least 2.
        seed: of the splits.

    Raises:
        ConfigError: if there are fewer examples than ``sizes`` need, or for repeats < 2.

    Biases: none, as all sets are disjoint within a split; splits share examples, so the standard deviation is too small
        unless n is several times the sum of the sizes. Minimum size: those of the statistic.
    """
    if min(sizes) < 1 or sum(sizes) > len(real):
        raise ConfigError(
            f"The floor needs {sizes[0]} + {sizes[1]} different real examples, but there are {len(real)}."
        )
    _check_repeats(repeats)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(repeats):
        chosen = rng.permutation(len(real))[: sum(sizes)]
        values.append(float(statistic(real[chosen[: sizes[0]]], real[chosen[sizes[0] :]])))
    return Floor(float(np.mean(values)), float(np.std(values, ddof=1)), tuple(values))


def delete_jackknife(
    statistic: Statistic, *sets: np.ndarray, kept: float = 0.5, repeats: int = 100, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return a normal interval with the standard error of the delete-d jackknife.

        se^2 = b / (n - b) * mean of (t_s - mean t)^2 over random subsets s of b = n - d examples

    Subsets are drawn without replacement, so no example is its own neighbour, as it is in a bootstrap sample.

    Args:
        statistic: a function of the sets that returns a number, such as a metric of real and fake features.
        sets: arrays whose rows are independent examples; each loses the same share.
        kept: share b / n of the examples in a subset, in (0, 1).
        repeats: number of subsets, at least 2.
        level: nominal coverage, in (0, 1).
        seed: of the subsets.

    Returns:
        value -+ z se, with the value of the whole sets. It covers the expectation of the statistic at these sizes, not
        its limit for n to infinity: a bias in n is not removed.

    Raises:
        ConfigError: for repeats < 2, or ``kept`` or ``level`` outside (0, 1), or a set of which nothing is left or
            deleted.

    Papers: Shao & Wu 1989, "A general theory for jackknife variance estimation"; Politis & Romano 1994, "Large
        sample confidence regions based on subsamples under minimal assumptions".

    Biases: it assumes a variance proportional to 1/n between b and n. Degenerate statistics (distances of two sets of
        one distribution, whose standard deviation is of the order of 1/n) have too wide intervals.
        ``docs/sample_metrics.md`` has the measured coverage. Minimum size: the statistic must be defined for b
        examples.
    """
    (error,) = jackknife_errors(statistic, *sets, kept=kept, repeats=repeats, seed=seed)
    return normal(float(statistic(*sets)), float(error), level)


def jackknife_errors(
    statistics: Callable[..., object], *sets: np.ndarray, kept: float = 0.5, repeats: int = 100, seed: int = 0
) -> np.ndarray:
    """Return the standard errors of one or several statistics by :func:`delete_jackknife`, from the same subsets.

    Args:
        statistics: a function of the sets that returns one number, or an array of numbers.
        sets: as of :func:`delete_jackknife`, and likewise the other arguments.
        kept: see there.
        repeats: see there.
        seed: see there.

    Returns:
        One standard error for each number.

    Raises:
        ConfigError: as :func:`delete_jackknife`.
    """
    values, share = _of_subsets(statistics, sets, kept, repeats, seed)
    return values.std(axis=0) * np.sqrt(share / (1 - share))


def subsampling(
    statistic: Statistic, *sets: np.ndarray, kept: float = 0.5, repeats: int = 200, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return an interval from the quantiles of the statistic over random subsets.

    The deviations from the mean over subsets are multiplied by sqrt(b / (n - b)), which turns the spread of subsets of
    a finite set into that of sets of n examples, and reflected about the value.

    Args:
        statistic: a function of the sets that returns a number.
        sets: arrays whose rows are independent examples; each loses the same share.
        kept: share b / n of the examples in a subset, in (0, 1).
        repeats: number of subsets, at least 2; the quantiles need at least 100.
        level: nominal coverage, in (0, 1).
        seed: of the subsets.

    Returns:
        An interval that need not be symmetric, for the expectation of the statistic at these sizes.

    Raises:
        ConfigError: as :func:`delete_jackknife`.

    Paper: Politis & Romano 1994, with a correction for subsets of a finite set; here centred at the mean over
        subsets, since the bias of most metrics depends on the size.

    Biases: see :func:`delete_jackknife`.
    """
    columns, share = _of_subsets(statistic, sets, kept, repeats, seed)
    values = columns[:, 0]
    _check_share("level", level)
    value = float(statistic(*sets))
    deviations = (values - values.mean()) * np.sqrt(share / (1 - share))
    low, high = np.quantile(deviations, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, value - float(high), value - float(low), float(deviations.std()), level)


def bootstrap(
    statistic: Statistic, *sets: np.ndarray, repeats: int = 200, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return a normal interval with the standard deviation over bootstrap samples.

    For means and other smooth functions of moments. For statistics of nearest neighbours and of pairs, its samples are
    biased, as they repeat examples, which are then neighbours at distance 0; its intervals are too wide or too narrow.

    Args:
        statistic: a function of the sets that returns a number.
        sets: arrays whose rows are independent examples; each is resampled with replacement.
        repeats: number of bootstrap samples, at least 2.
        level: nominal coverage, in (0, 1).
        seed: of the samples.

    Returns:
        value -+ z se, for the expectation of the statistic at these sizes.

    Raises:
        ConfigError: for repeats < 2 or ``level`` outside (0, 1).

    Paper: Efron 1979, "Bootstrap methods: another look at the jackknife".

    Biases: the standard error lacks a factor sqrt(n / (n - 1)). Minimum size: about 30.
    """
    _check_repeats(repeats)
    rng = np.random.default_rng(seed)
    values = [float(statistic(*(rows[rng.integers(0, len(rows), len(rows))] for rows in sets))) for _ in range(repeats)]
    return normal(float(statistic(*sets)), float(np.std(values, ddof=1)), level)


def proportion(value: float, n: float, level: float = 0.95) -> Interval:
    """Return the Wilson score interval of a share of ``n`` independent examples, which is never empty at 0 and at 1.

    Args:
        value: the share, in [0, 1].
        n: number of examples; for dependent ones, value (1 - value) divided by the variance of the share.
        level: nominal coverage, in (0, 1).

    Raises:
        ConfigError: for ``level`` outside (0, 1).

    Paper: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    _check_share("level", level)
    z = float(stats.norm.ppf((1 + level) / 2))
    centre = (value + z * z / (2 * n)) / (1 + z * z / n)
    width = z / (1 + z * z / n) * float(np.sqrt(value * (1 - value) / n + z * z / (4 * n * n)))
    error = float(np.sqrt(value * (1 - value) / n))
    # The interval contains the value, also after rounding, and ends at 0 and at 1.
    low, high = max(0.0, min(centre - width, value)), min(1.0, max(centre + width, value))
    return Interval(value, low, high, error, level)


def _of_subsets(
    statistics: Callable[..., object], sets: tuple[np.ndarray, ...], kept: float, repeats: int, seed: int
) -> tuple[np.ndarray, float]:
    """Return the values ``(repeats, statistics)`` for random subsets, and the share of the examples in a subset."""
    _check_repeats(repeats)
    _check_share("kept", kept)
    sizes = [round(kept * len(rows)) for rows in sets]
    if any(not 0 < size < len(rows) for size, rows in zip(sizes, sets, strict=True)):
        raise ConfigError(
            f"kept={kept:g} leaves {sizes} of {[len(rows) for rows in sets]} examples; keep some, not all."
        )
    rng = np.random.default_rng(seed)
    values = [
        statistics(*(rows[rng.permutation(len(rows))[:size]] for rows, size in zip(sets, sizes, strict=True)))
        for _ in range(repeats)
    ]
    return np.array(values, np.float64).reshape(repeats, -1), sum(sizes) / sum(len(rows) for rows in sets)


def normal(value: float, error: float, level: float = 0.95) -> Interval:
    """Return the interval ``value`` -+ z ``error`` with the quantile z of the normal distribution.

    Raises:
        ConfigError: for ``level`` outside (0, 1).
    """
    _check_share("level", level)
    width = float(stats.norm.ppf((1 + level) / 2)) * error
    return Interval(value, value - width, value + width, error, level)


def _check_repeats(repeats: int) -> None:
    if repeats < 2:
        raise ConfigError(f"repeats must be at least 2, not {repeats}.")


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ConfigError(f"{name} must be between 0 and 1, not {value:g}.")
