"""Kernel distance (KID): squared maximum mean discrepancy with a cubic polynomial kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.distance_interval import corrected_variance
from ganrun.evaluation.sample_metrics.pairwise import (
    SYMMETRIC_BLOCKS,
    check_features,
    check_same_dimension,
    row_blocks,
)


@dataclass(frozen=True)
class KernelDistance:
    """An estimate of the squared maximum mean discrepancy.

    Attributes:
        value: unbiased, so it may be negative.
        standard_error: of the value.
        standard_deviation: of the estimates of the subsets, which publications often quote; NaN without subsets.
        subsets: number of subsets; 0 if all pairs were used.
        subset_size: examples of each set per subset; 0 if all pairs were used.
        slope: increase of the squared standard error per increase of the value, for
            :func:`~ganrun.evaluation.sample_metrics.distance_interval.distance_interval`; NaN with subsets.
    """

    value: float
    standard_error: float
    standard_deviation: float
    subsets: int
    subset_size: int
    slope: float


def kernel_distance(real: np.ndarray, fake: np.ndarray) -> KernelDistance:
    """Return the unbiased squared maximum mean discrepancy over all pairs.

        1/(n(n-1)) sum_{i != j} k(x_i, x_j) + 1/(m(m-1)) sum_{i != j} k(y_i, y_j) - 2/(nm) sum_ij k(x_i, y_j),
        k(x, y) = (<x, y> / d + 1)^3

    Args:
        real: features ``(n, d)``.
        fake: features ``(m, d)``.

    Returns:
        The value and its standard error. With a_i the mean of k(x_i, .) over the other real minus its mean over the
        fake examples, and b_j likewise, 4 var(a) / n + 4 var(b) / m is the square of the standard error of the first
        order, which contains the variance of the second order twice. This one,
        2 v_xx / (n(n-1)) + 2 v_yy / (m(m-1)) + 4 v_xy / (nm) with the variances v of the kernel after subtracting the
        means of its rows and columns, is subtracted once; it is all that there is for two sets of one distribution.

    Raises:
        ConfigError: for features that are not finite ``(n, d)`` arrays of one dimension, or fewer than 2 examples.

    Papers: Bińkowski et al. 2018, "Demystifying MMD GANs" (KID); Gretton et al. 2012, "A kernel
        two-sample test", eq. 3; Sutherland & Deka 2019, "Unbiased estimators for the variance of MMD estimators".

    Biases: none at any n, m >= 2; the variance falls with n. The kernel is not characteristic: it compares the first
        three moments. The time is quadratic in n; memory is bounded.
    """
    real, fake = check_features(real, "real", 2), check_features(fake, "fake", 2)
    check_same_dimension(real=real, fake=fake)
    return _all_pairs(real, fake)


def kernel_distance_of_subsets(
    real: np.ndarray, fake: np.ndarray, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Return the mean unbiased squared maximum mean discrepancy of random subsets, as KID is usually published.

    Args:
        real: features ``(n, d)``.
        fake: features ``(m, d)``.
        subsets: number of subsets, at least 2.
        subset_size: examples of each set per subset, without replacement.
        seed: of the subsets.

    Returns:
        Mean, standard deviation and standard error (the deviation divided by the root of ``subsets``). The standard
        error measures the choice of subsets, given the examples: where subsets overlap (subsets * subset_size > n), it
        is smaller than that of :func:`kernel_distance`, which measures the examples.

    Raises:
        ConfigError: as :func:`kernel_distance`, or unless 2 <= subset_size <= min(n, m) and subsets >= 2.

    Paper, biases: see :func:`kernel_distance`. The kernel and 100 subsets of 1000 are those of the authors'
    implementation.
    """
    real, fake = check_features(real, "real", 2), check_features(fake, "fake", 2)
    check_same_dimension(real=real, fake=fake)
    if not 2 <= subset_size <= min(len(real), len(fake)):
        told = f"{len(real)} real and {len(fake)} fake examples"
        raise ConfigError(
            f"subset_size must be at least 2 and at most {min(len(real), len(fake))}, not {subset_size}: {told}."
        )
    if subsets < 2:
        raise ConfigError(f"subsets must be at least 2, not {subsets}.")
    rng = np.random.default_rng(seed)
    values = np.array(
        [
            _all_pairs(*(rows[rng.choice(len(rows), subset_size, replace=False)] for rows in (real, fake))).value
            for _ in range(subsets)
        ]
    )
    deviation = float(values.std(ddof=1))
    return KernelDistance(
        float(values.mean()), deviation / float(np.sqrt(subsets)), deviation, subsets, subset_size, float("nan")
    )


def _all_pairs(real: np.ndarray, fake: np.ndarray) -> KernelDistance:
    n, m = len(real), len(fake)
    (real_sums, real_variance), (fake_sums, fake_variance) = _within(real), _within(fake)
    across, across_fake, squares = _sums(real, fake)
    # Rows and columns of the kernel between the sets; the mean of all is subtracted twice.
    between = squares / (n * m) - (across**2).mean() / m**2 - (across_fake**2).mean() / n**2 + (across.mean() / m) ** 2
    terms = real_sums / (n - 1) - across / m, fake_sums / (m - 1) - across_fake / n
    # The mean of each term contains the cross term once.
    value = float(terms[0].mean() + terms[1].mean())
    first = float(4 * terms[0].var(ddof=1) / n + 4 * terms[1].var(ddof=1) / m)
    second = 2 * real_variance / (n * (n - 1)) + 2 * fake_variance / (m * (m - 1)) + 4 * between / (n * m)
    error = float(np.sqrt(corrected_variance(first, second)))
    # The variance is proportional to the distance of the empirical distributions, in which each example is a pair too.
    biased = value + sum(
        float((_diagonal(rows) - sums / (len(rows) - 1)).mean()) / len(rows)
        for rows, sums in ((real, real_sums), (fake, fake_sums))
    )
    return KernelDistance(value, error, float("nan"), 0, 0, first / biased if biased > 0 else 0.0)


def _within(rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the sums of the kernel over the other rows, and the variance of its entries about their rows' means."""
    n, diagonal = len(rows), _diagonal(rows)
    sums, _, squares = _sums(rows, rows, same=True)
    sums -= diagonal
    means = sums / (n - 1)
    centred = (squares - diagonal @ diagonal) / (n * (n - 1)) - 2 * (means**2).mean() + means.mean() ** 2
    return sums, float(centred)


def _diagonal(rows: np.ndarray) -> np.ndarray:
    return ((rows * rows).mean(axis=1) + 1) ** 3


def _sums(x: np.ndarray, y: np.ndarray, same: bool = False) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the sums of the kernel over y for each row of x, over x for each row of y, and that of all squares.

    If x and y are the ``same``, half of the pairs are computed.
    """
    sums, other, squares = np.zeros(len(x)), np.zeros(len(y)), 0.0
    for rows in row_blocks(len(x), len(y), least=SYMMETRIC_BLOCKS if same else 1):
        first = rows.start if same else 0
        kernel = x[rows] @ y[first:].T
        kernel /= x.shape[1]
        kernel += 1
        kernel *= kernel * kernel
        sums[rows] += kernel.sum(axis=1)
        squares += float(np.vdot(kernel, kernel))
        if same:
            later = kernel[:, rows.stop - rows.start :]
            sums[rows.stop :] += later.sum(axis=0)
            squares += float((later * later).sum())
        else:
            other += kernel.sum(axis=0)
    return sums, other, squares
