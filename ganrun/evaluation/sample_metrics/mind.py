"""Sliced Wasserstein distance of features, scaled so that its values do not depend on the dimension (MIND)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.distance_interval import corrected_variance
from ganrun.evaluation.sample_metrics.pairwise import check_features, check_same_dimension

SCALE = 3  # alpha = SCALE * d
CHUNK = 64  # projections at once
SPLITS, HALF, SPLIT_PROJECTIONS = 40, 500, 256  # for the excess of the error: splits, examples of a half, directions


@dataclass(frozen=True)
class Mind:
    """A scaled sliced Wasserstein distance.

    Attributes:
        value: at least 0, in squared units of the features.
        standard_error: over the projections, given the examples; an upper bound where projections are orthogonal.
        projections: number of projections.
        sampling_error: standard error over the examples, given the projections.
        slope: increase of the squared sampling error per increase of the value, for
            :func:`~ganrun.evaluation.sample_metrics.distance_interval.distance_interval`.
    """

    value: float
    standard_error: float
    projections: int
    sampling_error: float
    slope: float


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
        potential, int_0^<u, x> 2 (s - G^-1(F(s))) ds up to a constant, whose variance is divided by n. Its excess, see
        :func:`~ganrun.evaluation.sample_metrics.distance_interval.corrected_variance`, is subtracted; it is the
        variance over :data:`SPLITS` random splits of each set into halves of at most :data:`HALF` examples, scaled to
        the sizes of the sets.

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
    groups = [_orthogonal_directions(d, min(d, projections - start), rng) for start in range(0, projections, d)]
    directions = np.concatenate(groups, axis=1)
    distances, influences = [], (np.zeros(len(real)), np.zeros(len(fake)))
    for chunk in np.array_split(directions, -(-projections // CHUNK), axis=1):
        projected = [(rows @ chunk).T for rows in (real, fake)]
        orders = [part.argsort(axis=1) for part in projected]
        ordered = [np.take_along_axis(part, order, axis=1) for part, order in zip(projected, orders, strict=True)]
        difference = ordered[0][:, real_index] - ordered[1][:, fake_index]
        distances.append(difference**2 @ weights)
        for total, order, own, other in zip(influences, orders, ordered, ordered[::-1], strict=True):
            _add_potentials(total, order, own, other)
    terms = SCALE * d * np.concatenate(distances)
    value, error = float(terms.mean()), float(terms.std(ddof=1) / np.sqrt(projections))
    first = sum((SCALE * d / projections * total).var(ddof=1) / len(total) for total in influences if len(total) > 1)
    chosen = directions[:, :SPLIT_PROJECTIONS]
    unit = np.mean([_variance_of_splits(rows @ chosen, rng) for rows in (real, fake)])
    second = float(unit * (SCALE * d * (1 / len(real) + 1 / len(fake))) ** 2)
    sampling_error = float(np.sqrt(corrected_variance(float(first), second)))
    return Mind(value, error, projections, sampling_error, float(first) / value if value > 0 else 0.0)


def _variance_of_splits(projected: np.ndarray, rng: np.random.Generator) -> float:
    """Return the variance of the sliced distance between halves of a set, divided by (2/h)^2 for halves of h examples.

    Args:
        projected: projections ``(n, directions)``; 0 is returned for n < 4.
        rng: of the splits.
    """
    h = min(len(projected) // 2, HALF)
    if h < 2:
        return 0.0
    values = []
    some = projected[rng.permutation(len(projected))[: 2 * h]].T
    order = some.argsort(axis=1)
    ordered = np.take_along_axis(some, order, axis=1)
    for _ in range(SPLITS):
        first = np.zeros(2 * h, bool)
        first[rng.permutation(2 * h)[:h]] = True
        of_first = first[order]  # h of each row, so both halves stay sorted arrays
        halves = [ordered[which].reshape(len(some), h) for which in (of_first, ~of_first)]
        values.append(((halves[0] - halves[1]) ** 2).mean())
    return float(np.var(values, ddof=1)) * (h / 2) ** 2


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
