"""Sliced Wasserstein distance of features, scaled so that its values do not depend on the dimension (MIND)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.pairwise import check_features, check_same_dimension

SCALE = 3  # alpha = SCALE * d
CHUNK = 64  # projections at once


@dataclass(frozen=True)
class Mind:
    """A scaled sliced Wasserstein distance.

    Attributes:
        value: at least 0, in squared units of the features.
        standard_error: over the projections, given the examples; an upper bound where projections are orthogonal.
        projections: number of projections.
        sampling_error: standard error over the examples, given the projections.
    """

    value: float
    standard_error: float
    projections: int
    sampling_error: float


def mind(real: np.ndarray, fake: np.ndarray, projections: int = 1024, seed: int = 0) -> Mind:
    """Return the squared sliced 2-Wasserstein distance times 3 d.

        3 d E_u W_2^2(<u, x>, <u, y>), u uniform on the unit sphere;  W_2^2 = integral_0^1 (F^-1(t) - G^-1(t))^2 dt

    F^-1 and G^-1 are the empirical quantile functions, whose integral is exact for any two sample sizes. A shift by
    delta gives 3 |delta|^2, and a standard normal distribution against itself scaled by s gives 3 d (s - 1)^2, in any
    dimension.

    Args:
        real: features ``(n, d)``.
        fake: features ``(m, d)``; m need not be n.
        projections: number of directions. They are orthogonal in groups of d, which leaves each of them uniform and
            removes the variance of shifts (Rowland et al. 2019, "Orthogonal estimation of Wasserstein distances").
        seed: of the directions.

    Returns:
        The value, its standard error over the directions, and that over the examples by the infinitesimal jackknife:
        the derivative with respect to the weight of an example is the mean over directions of the Kantorovich
        potential, int_0^<u, x> 2 (s - G^-1(F(s))) ds up to a constant, whose variance is divided by n.

    Raises:
        ConfigError: for features that are not finite ``(n, d)`` arrays of one dimension, or projections < 2.

    Papers: Rabin et al. 2011, "Wasserstein barycenter and its application to texture mixing"; Bonneel et al.
        2015, "Sliced and Radon Wasserstein barycenters of measures"; Berthet et al. 2026, "MIND: Monge Inception
        distance for generative models evaluation" (of features of an Inception network). The
        derivative: Santambrogio 2015, "Optimal transport for applied mathematicians", section 7.2.

    Biases: positive at finite n even for one distribution, of the order of d (1/n + 1/m) times the variance of a
        projection, so values of different sizes cannot be compared;
        :func:`ganrun.evaluation.sample_metrics.intervals.floor` measures it. Unlike the Fréchet distance, it has no
        singular case for n <= d. Minimum size: 1.
    """
    real, fake = check_features(real, "real"), check_features(fake, "fake")
    check_same_dimension(real=real, fake=fake)
    if projections < 2:
        raise ConfigError(f"projections must be at least 2, not {projections}.")
    d = real.shape[1]
    rng = np.random.default_rng(seed)
    weights, real_index, fake_index = _quantile_steps(len(real), len(fake))
    distances, influences = [], (np.zeros(len(real)), np.zeros(len(fake)))
    for start in range(0, projections, d):
        directions = _orthogonal_directions(d, min(d, projections - start), rng)
        for chunk in np.array_split(directions, -(-directions.shape[1] // CHUNK), axis=1):
            projected = [(rows @ chunk).T for rows in (real, fake)]
            orders = [part.argsort(axis=1) for part in projected]
            ordered = [np.take_along_axis(part, order, axis=1) for part, order in zip(projected, orders, strict=True)]
            difference = ordered[0][:, real_index] - ordered[1][:, fake_index]
            distances.append(difference**2 @ weights)
            for total, order, own, other in zip(influences, orders, ordered, ordered[::-1], strict=True):
                _add_potentials(total, order, own, other)
    terms = SCALE * d * np.concatenate(distances)
    variance = sum((SCALE * d / projections * total).var(ddof=1) / len(total) for total in influences if len(total) > 1)
    errors = float(terms.std(ddof=1) / np.sqrt(projections)), float(np.sqrt(variance))
    return Mind(float(terms.mean()), errors[0], projections, errors[1])


def _add_potentials(total: np.ndarray, order: np.ndarray, own: np.ndarray, other: np.ndarray) -> None:
    """Add the centred Kantorovich potentials of sorted projections ``own`` ``(chunk, n)`` to ``total`` ``(n,)``."""
    n, m = own.shape[1], other.shape[1]
    levels = np.arange(1, n) * m
    # The quantile function of the others at j / n, which is the mean of both order statistics where it jumps.
    quantile = 0.5 * (other[:, -(-levels // n) - 1] + other[:, np.minimum(levels // n, m - 1)])
    steps = np.diff(own**2, axis=1) - 2 * quantile * np.diff(own, axis=1)
    potential = np.concatenate([np.zeros((len(own), 1)), steps.cumsum(axis=1)], axis=1)
    potential -= potential.mean(axis=1, keepdims=True)
    for row, values in zip(order, potential, strict=True):
        total[row] += values


def _quantile_steps(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lengths of the steps that both quantile functions share, and the order statistics on them."""
    # In units of 1 / (n m) all ends are integers, so that common ones of i/n and j/m coincide exactly.
    ends = np.unique(np.concatenate([np.arange(1, n + 1) * m, np.arange(1, m + 1) * n]))
    starts = np.concatenate([[0], ends[:-1]])
    return (ends - starts) / (n * m), starts // m, starts // n


def _orthogonal_directions(d: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``count`` <= d orthonormal columns ``(d, count)``, each uniform on the sphere up to its sign."""
    return np.linalg.qr(rng.standard_normal((d, count)))[0]  # signs do not change a distance
