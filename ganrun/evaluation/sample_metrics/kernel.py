"""Kernel distance (KID): squared maximum mean discrepancy with a cubic polynomial kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.pairwise import check_features, check_same_dimension, row_blocks


@dataclass(frozen=True)
class KernelDistance:
    """An estimate of the squared maximum mean discrepancy.

    Attributes:
        value: unbiased, so it may be negative.
        standard_error: of the value.
        standard_deviation: of the estimates of the subsets, which publications often quote; NaN without subsets.
        subsets: number of subsets; 0 if all pairs were used.
        subset_size: examples of each set per subset; 0 if all pairs were used.
    """

    value: float
    standard_error: float
    standard_deviation: float
    subsets: int
    subset_size: int


def kernel_distance(real: np.ndarray, fake: np.ndarray) -> KernelDistance:
    """Return the unbiased squared maximum mean discrepancy over all pairs.

        1/(n(n-1)) sum_{i != j} k(x_i, x_j) + 1/(m(m-1)) sum_{i != j} k(y_i, y_j) - 2/(nm) sum_ij k(x_i, y_j),
        k(x, y) = (<x, y> / d + 1)^3

    Args:
        real: features ``(n, d)``.
        fake: features ``(m, d)``.

    Returns:
        The value. The standard error is that of the first-order term of the U-statistic: with a_i the mean of k(x_i, .)
        over the other real minus its mean over the fake examples, and b_j likewise, 4 var(a) / n + 4 var(b) / m is its
        square. For two sets of one distribution this term vanishes, and the standard error, of the order of 1/n, is
        only a rough scale.

    Raises:
        ConfigError: for features that are not finite ``(n, d)`` arrays of one dimension, or fewer than 2 examples.

    Papers: Bińkowski et al. 2018, "Demystifying MMD GANs" (KID); Gretton et al. 2012, "A kernel
        two-sample test", eq. 3.

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
    return KernelDistance(float(values.mean()), deviation / float(np.sqrt(subsets)), deviation, subsets, subset_size)


def _all_pairs(real: np.ndarray, fake: np.ndarray) -> KernelDistance:
    n, m = len(real), len(fake)
    within = [_row_sums(rows, rows)[0] - ((rows * rows).mean(axis=1) + 1) ** 3 for rows in (real, fake)]
    across, across_fake = _row_sums(real, fake)
    terms = within[0] / (n - 1) - across / m, within[1] / (m - 1) - across_fake / n
    # The mean of each term contains the cross term once.
    variance = 4 * terms[0].var(ddof=1) / n + 4 * terms[1].var(ddof=1) / m
    value = float(terms[0].mean() + terms[1].mean())
    return KernelDistance(value, float(np.sqrt(variance)), float("nan"), 0, 0)


def _row_sums(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of the kernel over y for each row of x, and over x for each row of y."""
    sums, other = np.empty(len(x)), np.zeros(len(y))
    for rows in row_blocks(len(x), len(y)):
        kernel = x[rows] @ y.T
        kernel /= x.shape[1]
        kernel += 1
        kernel *= kernel * kernel
        sums[rows] = kernel.sum(axis=1)
        other += kernel.sum(axis=0)
    return sums, other
