"""Precision, recall, density and coverage: fidelity and diversity from nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ganrun.evaluation.sample_metrics.pairwise import (
    check_features,
    check_neighbours,
    check_same_dimension,
    nearest_neighbours,
    squared_distances,
)


@dataclass(frozen=True)
class Manifold:
    """Fidelity and diversity of samples.

    Attributes:
        precision: share of fake examples within the ball of a real example, in [0, 1].
        recall: share of real examples within the ball of a fake example, in [0, 1].
        density: mean number of balls of real examples that contain a fake example, divided by k; at least 0.
        coverage: share of real examples whose ball contains a fake example, in [0, 1].
        k: the ball of an example extends to its k-th nearest neighbour in its own set.
        n_real: number of real examples.
        n_fake: number of fake examples.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    k: int
    n_real: int
    n_fake: int

    @property
    def inside(self) -> tuple[int, int]:
        """Numbers of fake examples within balls of real ones, and of real examples within balls of fake ones."""
        return round(self.precision * self.n_fake), round(self.recall * self.n_real)


def radii(rows: np.ndarray, k: int = 5) -> np.ndarray:
    """Return the distance of each of the ``rows`` ``(n, d)`` to its ``k``-th nearest neighbour among the others.

    Raises:
        ConfigError: as :func:`manifold`.
    """
    rows = check_features(rows, "given", 2)
    check_neighbours(k, given=rows)
    return nearest_neighbours(rows, rows, k, same=True)[0][:, -1]


def manifold(real: np.ndarray, fake: np.ndarray, k: int = 5, real_radius: np.ndarray | None = None) -> Manifold:
    """Return precision, recall, density and coverage.

    B(x) is the open ball around x whose radius is the distance to the k-th nearest neighbour of x in its own set, x
    itself excluded. For real examples X_i and fake examples Y_j:

        precision = 1/m sum_j 1[Y_j in some B(X_i)]        recall = 1/n sum_i 1[X_i in some B(Y_j)]
        density = 1/(k m) sum_j sum_i 1[Y_j in B(X_i)]     coverage = 1/n sum_i 1[some Y_j in B(X_i)]

    Args:
        real: features ``(n, d)``.
        fake: features ``(m, d)``.
        k: number of neighbours. Precision and recall were published with k = 3, density and coverage with k = 5.
        real_radius: :func:`radii` of ``real``, if they are known; they take a third of the time.

    Returns:
        The four values. Balls are open, as in the implementation of the second paper (eq. 1 of the first has closed
        ones): an example at the distance of the radius, up to rounding, is outside. This matters where fake examples
        are copies of real ones, or examples repeat.

    Raises:
        ConfigError: for features that are not finite ``(n, d)`` arrays of one dimension, or unless 1 <= k < min(n, m).

    Papers: Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models", eqs. 1-2
        (precision, recall); Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models", section
        3.

    Biases: for two sets of one distribution, density has mean 1, and coverage has mean
        1 - (n-1)...(n-k) / ((n+m-1)...(n+m-k)), about 1 - 2^-k for n = m (:func:`expected_coverage`). Precision and
        recall depend on n, k and d, have no closed form, and are far below 1 in high dimensions (about .48 for 10 000
        examples of a normal distribution with d = 1000): compare values of equal n, m and k only, and with those of
        real examples. One outlier has a large ball, which raises precision and recall. Minimum size: k + 1 each; 10 000
        is usual.
    """
    real, fake = check_features(real, "real", 2), check_features(fake, "fake", 2)
    check_same_dimension(real=real, fake=fake)
    check_neighbours(k, real=real, fake=fake)
    given, fake_radius = radii(real, k) if real_radius is None else real_radius, radii(fake, k)
    real_radius, fake_radius = given**2, fake_radius**2
    containing = np.zeros(len(fake), np.int64)  # balls of real examples that contain the fake one
    covered, recalled = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows, square, rounding in squared_distances(real, fake):
        square += rounding
        inside = square < real_radius[rows, None]
        containing += inside.sum(axis=0)
        covered[rows] = inside.any(axis=1)
        recalled[rows] = (square < fake_radius).any(axis=1)
    return Manifold(
        precision=float((containing > 0).mean()),
        recall=float(recalled.mean()),
        density=float(containing.mean() / k),
        coverage=float(covered.mean()),
        k=k,
        n_real=len(real),
        n_fake=len(fake),
    )


def expected_coverage(n: int, m: int, k: int = 5) -> float:
    """Return the mean coverage of ``n`` real by ``m`` fake examples of the same continuous distribution.

    The k nearest of the n + m - 1 other examples are all real with probability (n-1)...(n-k) / ((n+m-1)...(n+m-k)).

    Args:
        n: number of real examples.
        m: number of fake examples.
        k: number of neighbours.

    Paper: Naeem et al. 2020 (expected coverage); it holds in any dimension.
    """
    i = np.arange(1, k + 1)
    return float(1 - np.prod((n - i) / (n + m - i)))
