"""Fréchet distance of Gaussians that are fitted to two sets of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.distance_interval import corrected_variance
from ganrun.evaluation.sample_metrics.pairwise import check_features, check_same_dimension

MOMENTS = 2000  # examples of each set for the fourth moments of its error


@dataclass(frozen=True)
class Frechet:
    """A Fréchet distance.

    Attributes:
        value: squared distance, at least 0, in squared units of the features.
        mean_term: squared distance between the means.
        covariance_term: the remainder, from the covariances.
        n: the smaller of the two numbers of examples; 0 if moments were given.
        d: dimension of the features.
        standard_error: of the value, from its derivative with respect to each example; NaN if moments were given.
        slope: increase of the squared standard error per increase of the value, for
            :func:`~ganrun.evaluation.sample_metrics.distance_interval.distance_interval`; NaN if moments were given.
    """

    value: float
    mean_term: float
    covariance_term: float
    n: int
    d: int
    standard_error: float = float("nan")
    slope: float = float("nan")

    @property
    def is_below_dimension(self) -> bool:
        """Whether a covariance is singular because n <= d, so that the value mostly reflects n."""
        return 0 < self.n <= self.d


def frechet(real: np.ndarray, fake: np.ndarray) -> Frechet:
    """Return the Fréchet distance between the Gaussians with the means and covariances of ``real`` and ``fake``.

        |mu_1 - mu_2|^2 + Tr(S_1) + Tr(S_2) - 2 Tr((S_1 S_2)^(1/2))

    With factors F_i'F_i = S_i, the eigenvalues of S_1 S_2 are the squared singular values of F_1 F_2', so the last
    trace is their sum. The factors come from the features, centred or by QR: no covariance is squared, no matrix root
    is taken, and singular covariances need no correction.

    Args:
        real: features ``(n, d)``.
        fake: features ``(m, d)``.

    Returns:
        The distance, with covariances that divide by n - 1 as the reference implementations (``np.cov``). The standard
        error is that of the infinitesimal jackknife: the derivative with respect to the weight of an example y of the
        second set is 2 <mu_2 - mu_1, y - mu_2> + |y - mu_2|^2 - (y - mu_2)' T (y - mu_2) minus its mean, where T is the
        matrix of the optimal transport map between the Gaussians, T S_2 T = S_1; its variance is divided by n. Its
        excess, see :func:`~ganrun.evaluation.sample_metrics.distance_interval.corrected_variance`, is subtracted.

    Raises:
        ConfigError: for features that are not finite ``(n, d)`` arrays of one dimension, or fewer than 2 examples.

    Papers: Dowson & Landau 1982, "The Fréchet distance between multivariate normal distributions"; Heusel et al.
        2017, "GANs trained by a two time-scale update rule", eq. 6 (FID, with the features of an Inception network);
        the standard error: Efron 1981, "Nonparametric estimates of standard error".

    Biases: positive at finite n even for one distribution, by about C/n where C differs between models (Chong & Forsyth
        2020, "Effectively unbiased FID"), so values of different n cannot be compared. For n <= d the covariances are
        singular (``is_below_dimension``). Only two moments are compared. Minimum size: above d; 50 000 is usual for d =
        2048.
    """
    real, fake = check_features(real, "real", 2), check_features(fake, "fake", 2)
    check_same_dimension(real=real, fake=fake)
    means, factors, units = zip(*(_mean_and_factor(rows) for rows in (real, fake)), strict=True)
    left, cross, right = np.linalg.svd(factors[0] @ factors[1].T, full_matrices=False)
    found = _distance(means[0], means[1], factors[0], factors[1], cross, n=min(len(real), len(fake)))
    variance = 0.0
    for rows, mean, other, unit, side in zip((real, fake), means, means[::-1], units, (left, right.T), strict=True):
        centred = rows - mean
        # With rows - mean = sqrt(n - 1) unit @ factor, the factor cancels in the quadratic form of T.
        turned = side if unit is None else unit @ side
        influence = 2 * centred @ (mean - other) + np.einsum("ij,ij->i", centred, centred)
        influence -= (len(rows) - 1) * (turned * turned) @ cross
        variance += float(influence.var() / (len(rows) - 1))
    second = 0.0 if found.is_below_dimension else _second_order(real - means[0], fake - means[1], factors)
    error = float(np.sqrt(corrected_variance(variance, second)))
    return replace(found, standard_error=error, slope=variance / found.value if found.value > 0 else 0.0)


def frechet_of_moments(
    mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray
) -> Frechet:
    """Return the Fréchet distance of two Gaussians, such as stored statistics of a data set.

    Args:
        mean: ``(d,)``.
        covariance: symmetric, positive semi-definite ``(d, d)``; negative eigenvalues by rounding count as 0.
        other_mean: ``(d,)``.
        other_covariance: ``(d, d)``.

    Raises:
        ConfigError: unless the shapes are those, all numbers are finite, and the covariances are symmetric and have no
            negative eigenvalue beyond rounding.

    Papers, biases: see :func:`frechet`.
    """
    means = [np.asarray(part, np.float64) for part in (mean, other_mean)]
    covariances = [np.asarray(part, np.float64) for part in (covariance, other_covariance)]
    d = means[0].size
    if any(part.shape != (d,) for part in means) or any(part.shape != (d, d) for part in covariances):
        told = ", ".join(str(part.shape) for part in (*means, *covariances))
        raise ConfigError(f"Two means (d,) and two covariances (d, d) are needed, not {told}.")
    if not all(np.isfinite(part).all() for part in (*means, *covariances)):
        raise ConfigError("The means or covariances contain NaN or Inf.")
    factors = [_root(part) for part in covariances]
    cross = np.linalg.svdvals(factors[0] @ factors[1].T)
    return _distance(means[0], means[1], factors[0], factors[1], cross, n=0)


def _second_order(real: np.ndarray, fake: np.ndarray, factors: Sequence[np.ndarray]) -> float:
    """Return the variance of the Fréchet distance of two sets of one distribution, which is of the order of 1/n^2.

    In the axes of the common covariance, with eigenvalues l, the distance is the sum of the squared differences of the
    means and of D_ij^2 / (2 l_i + 2 l_j) over all differences D_ij of covariances (Bures 1969; the second derivative of
    the distance at equal covariances). The variance of D_ij is (1/n + 1/m) times that of x_i x_j, which is estimated on
    at most :data:`MOMENTS` examples of each set, and their correlations are left out.

    Args:
        real: centred features ``(n, d)``, n > d.
        fake: centred features ``(m, d)``, m > d.
        factors: of both covariances.
    """
    n, m = len(real), len(fake)
    covariances = [factor.T @ factor for factor in factors]
    values, axes = np.linalg.eigh((covariances[0] + covariances[1]) / 2)
    values = np.maximum(values, 1e-12 * max(values[-1], 0.0))
    if values[0] <= 0:
        return 0.0
    of_means = 2 * ((covariances[0] / n + covariances[1] / m) ** 2).sum()
    products = np.zeros((len(values), len(values)))
    for rows in (real, fake):
        squares = (rows[:: -(-len(rows) // MOMENTS)] @ axes) ** 2
        products += squares.T @ squares / (2 * len(squares))
    products -= np.diag(values**2)
    spread = (1 / n + 1 / m) * products / np.add.outer(values, values)
    # Each pair i < j occurs twice in the sum of squares, and has twice the weight of i = j in the distance.
    return float(of_means + (spread**2).sum() - 0.5 * (np.diag(spread) ** 2).sum())


def _mean_and_factor(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return the mean, a factor F of the covariance, and U with U F the centred rows / sqrt(n - 1); None: identity."""
    mean = rows.mean(axis=0)
    factor = (rows - mean) / np.sqrt(len(rows) - 1)
    if len(rows) <= rows.shape[1]:
        return mean, factor, None
    unit, factor = np.linalg.qr(factor)
    return mean, factor, unit


def _root(covariance: np.ndarray) -> np.ndarray:
    scale = np.abs(covariance).max(initial=0)
    if not np.allclose(covariance, covariance.T, rtol=0, atol=1e-6 * scale):
        raise ConfigError("A covariance must be symmetric.")
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    if values.min() < -1e-6 * scale:
        raise ConfigError(f"A covariance must have no negative eigenvalues; the smallest is {values.min():.3g}.")
    return np.sqrt(np.maximum(values, 0))[:, None] * vectors.T


def _distance(
    mean: np.ndarray, other_mean: np.ndarray, factor: np.ndarray, other: np.ndarray, cross: np.ndarray, n: int
) -> Frechet:
    """Return the distance; ``cross`` are the singular values of the product of the factors."""
    mean_term = float(((mean - other_mean) ** 2).sum())
    covariance_term = float((factor**2).sum() + (other**2).sum() - 2 * cross.sum())
    covariance_term = max(0.0, covariance_term)  # below 0 by rounding only
    return Frechet(mean_term + covariance_term, mean_term, covariance_term, n, mean.size)
