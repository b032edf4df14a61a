"""How far a generator from the plane to the plane is from a known density, by following the latent plane.

Samples cannot tell: a trained generator folds the latent plane over every mode many times, in layers far thinner than
any cell that holds enough samples to be counted. Here the latent plane is cut into triangles, each of which is mapped
linearly, so the model's density at a point is a sum over the triangles whose images hold it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from ganrun.datasets.synthetic import Mixture
from ganrun.divergence import cells
from ganrun.divergence.plane_cover import Strips, Triangles, coordinates, hits, inside, stretch
from ganrun.divergence.plane_pieces import Rectifiers, linear_triangles

END = {"normal": 6.0, "uniform": 1.0}  # latents are followed to here; 4e-9 of the normal prior lies beyond
SPREAD = 3.0**0.5  # nodes of the normal prior lie as densely as a normal of this width: best for errors of second order
ROUNDING = 2.0**-23  # of float32
FLAT = 0.01  # share of the model on lines and points that float32 may make of thin images
AGREEMENT = 0.02  # by which a generator and its layers may differ, of the largest image: some devices round to 8 bits
LOG_2 = float(np.log(2))

Push = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Plane:
    """Divergences between data and model in the plane.

    Attributes:
        jsd: Jensen-Shannon divergence, nats.
        kl_reverse: KL(model, data), nats; infinite where the model puts mass on lines or points.
        missed: share of the data where the model has no density; KL(data, model) is infinite where it is not 0.
        error: how far ``jsd`` may be off, nats.
        exact: whether the linear pieces of a network were followed, so that only points are a matter of chance.
    """

    jsd: float
    kl_reverse: float
    missed: float
    error: float
    exact: bool


def of_plane(
    density: Mixture,
    push: Push,
    prior: str,
    nodes: int = 512,
    points: int = 1 << 16,
    seed: int = 0,
    network: Rectifiers | None = None,
) -> Plane:
    """Follow two latent numbers through a generator and compare what comes out with a density in the plane.

    The divergence is log 2 less the entropy of the side that a point came from, given the point, averaged over
    points of both sides: no score lies outside of [0, log 2]. Points are spread evenly, one to a cell of a grid, over
    each of the data's modes and over the prior.

    With ``network`` its linear pieces are followed. Without it, or where it has more than 2 ``nodes``^2 of them, a
    grid of nodes is pushed. What that loses goes with the width of its cells where the generator has kinks or folds,
    so it is extrapolated from every second node. Mass on images without an area has no density and shares nothing
    with the data; on the grid that is as far as float32 can tell.

    Args:
        density: the data, two-dimensional.
        push: the generator, float32 ``(n, 2)`` to ``(n, 2)``.
        prior: ``normal`` or ``uniform`` (on [-1, 1]), of each latent number.
        nodes: along each side of the grid.
        points: of each side.
        seed: of the points.
        network: the layers of the generator.

    Raises:
        ValueError: an unknown prior, a density on the line, fewer than 5 nodes or 9 points, images of another shape or
            not finite, or a network that is not the generator.
    """
    if prior not in END:
        raise ValueError(f"prior is {prior!r}; allowed: 'normal', 'uniform'.")
    if density.means.shape[1] != 2:
        raise ValueError(f"the density has {density.means.shape[1]} dimensions; two latent numbers need 2.")
    if nodes < 5 or points < 9:
        raise ValueError(f"{nodes} nodes and {points} points are too few; need 5 and 9.")
    queries = _Queries.of(density, prior, points, np.random.default_rng(seed))
    pieces = None if network is None else linear_triangles(network, END[prior], 2 * nodes**2)
    if pieces is not None:
        _require_same(push, pieces)
        return queries.compare(pieces, *_pieces_of(pieces, queries.latents), exact=True)
    axis = _axis(prior, nodes)
    images = _images(push, axis)
    fine, coarse = (
        queries.compare(_grid(axis[::step], images[::step, ::step]), _cells_of(axis[::step], queries.latents))
        for step in (1, 2)
    )
    change = fine.jsd - coarse.jsd
    return replace(fine, jsd=float(np.clip(fine.jsd + change, 0.0, LOG_2)), error=fine.error + abs(change))


@dataclass(frozen=True)
class _Queries:
    """Points at which both densities are needed.

    Attributes:
        density: the data's.
        prior: the latents'.
        data: ``(n, 2)``, mode by mode, each in the order of a square grid.
        log_p: the data's log density there, nats.
        sides: of the grid of each mode, ``(modes,)``.
        weights: of each mode, ``(modes,)``.
        latents: ``(m, 2)`` of the prior, in the order of a square grid.
    """

    density: Mixture
    prior: str
    data: np.ndarray
    log_p: np.ndarray
    sides: np.ndarray
    weights: np.ndarray
    latents: np.ndarray

    @classmethod
    def of(cls, density: Mixture, prior: str, points: int, rng: np.random.Generator) -> _Queries:
        means, stds, weights = cells.components(density)
        sides = np.maximum(3, np.rint(np.sqrt(points * weights)).astype(int))
        data = np.concatenate(
            [mean + std * ndtri(_even(side, rng)) for mean, std, side in zip(means, stds, sides, strict=True)]
        )
        square = _even(round(points**0.5), rng)
        latents = 2 * square - 1 if prior == "uniform" else ndtri(square).clip(-END[prior], END[prior])
        return cls(density, prior, data, cells.log_density(density, data), sides, weights, latents)

    def compare(self, triangles: Triangles, owners: np.ndarray, exact: bool = False) -> Plane:
        """Compare the data with the mass that ``triangles`` carry, where ``owners`` are those of the latents."""
        n, thinned = len(self.data), _inverse(stretch(triangles))
        images = inside(triangles.images[owners], *coordinates(triangles.latents[owners], self.latents))
        owner = np.append(np.full(n, -1), owners)
        q = np.append(np.zeros(n), self._prior(self.latents) * thinned[owners])
        for point, triangle, u, w in hits(Strips(np.concatenate([self.data, images])), triangles.images):
            # Whatever rounding makes of its image, a latent lies in its own triangle, and once.
            other = owner[point] != triangle
            point, triangle = point[other], triangle[other]
            there = inside(triangles.latents[triangle], u[other], w[other])
            q += np.bincount(point, self._prior(there) * thinned[triangle], len(q))
        flat = thinned[owners] == 0
        with np.errstate(divide="ignore"):
            log_ratio = np.log(q) - np.append(self.log_p, cells.log_density(self.density, images))
        log_ratio[n:][flat] = np.inf
        return self._summary(log_ratio[:n], log_ratio[n:], flat.mean() > (0 if exact else FLAT), exact)
