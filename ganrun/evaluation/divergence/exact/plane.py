"""Divergences between a known density and a generator from the plane to the plane, by integration over its latents.

Samples do not suffice: a trained generator folds the latent plane over every mode many times, in layers far thinner
than any cell that holds enough samples. Here the latent plane is triangulated and each triangle is mapped linearly, so
the model's density at a point is a sum over the triangles whose images contain it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ganrun.datasets import cells
from ganrun.datasets.synthetic import Mixture
from ganrun.evaluation.divergence.estimate import LOG_2
from ganrun.evaluation.divergence.exact.plane_cover import Strips, Triangles, coordinates, hits, inside, stretch
from ganrun.evaluation.divergence.exact.plane_grid import END, FRAMES, Grid, Push, pushed
from ganrun.evaluation.divergence.exact.plane_pieces import Rectifiers, linear_triangles

FLAT = 0.01  # share of the model's mass that float32 rounding may collapse from thin images to lines and points
FAINT = -690.0  # exp of log densities below this underflows
AGREEMENT = 0.02  # tolerance between a generator and its layers, of the largest image: some devices round to 8 bits


@dataclass(frozen=True)
class Plane:
    """Divergences between data and model in the plane.

    Attributes:
        jsd: Jensen-Shannon divergence, nats.
        kl_forward: KL(data, model), nats; infinite where ``missed`` is not 0.
        kl_reverse: KL(model, data), nats; infinite where the model has mass on lines or points.
        missed: share of the data where the model has no density.
        error: error bound of ``jsd``, nats.
    """

    jsd: float
    kl_forward: float
    kl_reverse: float
    missed: float
    error: float


def of_plane(
    density: Mixture,
    push: Push,
    prior: str,
    nodes: int = 512,
    points: int = 1 << 16,
    seed: int = 0,
    network: Rectifiers | None = None,
) -> Plane:
    """Compare a generator with two-dimensional latents with a density in the plane.

    The divergence is log 2 minus the conditional entropy of the distribution (data or model) that a point came from,
    averaged over query points of both: every score lies in [0, log 2]. Query points are stratified, one per cell of a
    grid, over each of the data's modes and over the prior.

    With ``network``, its linear pieces are triangulated exactly. Without it, or if it has more than 2 ``nodes``^2
    pieces, a grid of nodes is pushed through the generator. The grid's error is proportional to the width of its cells
    where the generator has kinks or folds, so it is extrapolated from every second node. Mass on images of zero area
    has no density and does not overlap with the data; on the grid, zero means below the resolution of float32.

    The normal prior is integrated to |z| = 1e8 with its density in logs, so that a model narrower than the data has a
    finite ``kl_forward``: ``missed`` is the share that no latent reaches. Beyond |z| = 6 a generator without
    ``network`` is interpolated linearly between increasingly distant nodes, and a tail is truncated where its images
    are not finite. Regions that the model misses are detected only if they have at least the mass of one query point.

    Args:
        density: the data, two-dimensional.
        push: the generator, float32 ``(n, 2)`` to ``(n, 2)``.
        prior: ``normal`` or ``uniform`` (on [-1, 1]), of each latent coordinate.
        nodes: grid nodes along each axis.
        points: query points of data and of model each.
        seed: of the query points.
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
    pieces = None if network is None else linear_triangles(network, _frames(prior), 2 * nodes**2)
    if pieces is not None:
        _require_same(push, pieces)
        ratios = queries.log_ratios(pieces, _piece_owners(pieces, queries.latents))
        return queries.summary(ratios, queries.scores(ratios), lost=0.0, flat=0.0)
    grid = Grid.through(push, prior, nodes)
    grids = [grid, grid.every(2), grid.every(4)]
    levels = [queries.log_ratios(each.triangles(), each.owners(queries.latents)) for each in grids]
    fine, coarse, coarsest = (queries.scores(ratios) for ratios in levels)
    change, before = (_difference(*pair) for pair in ((fine, coarse), (coarse, coarsest)))
    # A grid that is too coarse may change little at one refinement by chance.
    lost = max(abs(queries.mean(change)), abs(queries.mean(before)) / 2)
    extrapolated = [part + more for part, more in zip(fine, change, strict=True)]
    return queries.summary(levels[0], extrapolated, lost=lost, flat=FLAT)


def of_known(
    density: Mixture,
    log_density: Callable[[np.ndarray], np.ndarray],
    draw: Callable[[int, int], np.ndarray] | None,
    push: Push | None = None,
    points: int = 1 << 16,
    seed: int = 0,
) -> Plane:
    """Compare a model that computes its density with a density in the plane; only the query points are random.

    Args:
        density: the data, two-dimensional.
        log_density: of the model, points ``(n, 2)`` to nats ``(n,)``.
        draw: draws from the model, ``(n, seed)`` to ``(n, 2)``; not used if there is ``push``.
        push: the model as a function of standard normal latents ``(n, 2)``, so that its points can be stratified too.
        points: query points of data and of model each.
        seed: of the query points.
    """
    queries = _Queries.of(density, "normal", points, np.random.default_rng(seed))
    if push is not None:
        images = pushed(push, queries.latents)
    elif draw is not None:
        images = np.asarray(draw(len(queries.latents), seed), np.float64)
    else:
        raise ValueError("a model needs draw or push for points of its own")
    everywhere = np.concatenate([queries.data, images])
    ratios = log_density(everywhere) - cells.log_density(density, everywhere)
    parts = np.split(ratios, np.cumsum(queries.grid_sizes**2))
    return queries.summary(parts, queries.scores(parts), lost=0.0, flat=0.0)


@dataclass(frozen=True)
class _Queries:
    """Points at which both densities are evaluated.

    Attributes:
        density: of the data.
        prior: of the latents.
        data: points of the data, ``(n, 2)``, mode by mode, each in the order of a square grid.
        log_p: the data's log density at ``data``, nats.
        grid_sizes: number of cells along each axis of each mode's grid, ``(modes,)``.
        weights: of each mode, ``(modes,)``.
        latents: points of the prior, ``(m, 2)``, in the order of a square grid.
    """

    density: Mixture
    prior: str
    data: np.ndarray
    log_p: np.ndarray
    grid_sizes: np.ndarray
    weights: np.ndarray
    latents: np.ndarray

    @classmethod
    def of(cls, density: Mixture, prior: str, points: int, rng: np.random.Generator) -> _Queries:
        means, stds, weights = cells.components(density)
        grid_sizes = np.maximum(3, np.rint(np.sqrt(points * weights)).astype(int))
        data = np.concatenate(
            [mean + std * ndtri(_even(size, rng)) for mean, std, size in zip(means, stds, grid_sizes, strict=True)]
        )
        square = _even(round(points**0.5), rng)
        latents = 2 * square - 1 if prior == "uniform" else ndtri(square).clip(-END[prior], END[prior])
        return cls(density, prior, data, cells.log_density(density, data), grid_sizes, weights, latents)

    def log_ratios(self, triangles: Triangles, owners: np.ndarray) -> list[np.ndarray]:
        """Return log(q / p), nats, at the points of each mode and of the model, whose density is that of ``triangles``.

        ``owners`` are the indices of the triangles that contain the latents.
        """
        n, thinned = len(self.data), _inverse(stretch(triangles))
        images = inside(triangles.images[owners], *coordinates(triangles.latents[owners], self.latents))
        owner = np.append(np.full(n, -1), owners)
        q = np.append(np.zeros(n), np.exp(self._log_prior(self.latents)) * thinned[owners])
        largest_underflowed = np.full(len(q), -np.inf)
        # On an image of zero area the model's density is infinite, whatever other triangles add.
        wide, queried = np.flatnonzero(thinned), np.flatnonzero(np.append(np.ones(n), thinned[owners]))
        for place, number, u, w in hits(Strips(np.concatenate([self.data, images])[queried]), triangles.images[wide]):
            # A latent lies in its own triangle exactly once, whatever the rounding of its image.
            other = owner[queried[place]] != wide[number]
            point, triangle = queried[place[other]], wide[number[other]]
            there = inside(triangles.latents[triangle], u[other], w[other])
            logs = self._log_prior(there) + np.log(thinned[triangle])
            q += np.bincount(point, np.exp(logs), len(q))
            # Densities that underflow in the sum: use the largest one alone.
            np.maximum.at(largest_underflowed, point[logs < FAINT], logs[logs < FAINT])
        q[n:][thinned[owners] == 0] = np.inf
        with np.errstate(divide="ignore"):
            log_q = np.where(q > np.exp(FAINT), np.log(q), largest_underflowed)
        ratios = log_q - np.append(self.log_p, cells.log_density(self.density, images))
        return np.split(ratios, np.cumsum(self.grid_sizes**2))

    def _log_prior(self, latents: np.ndarray) -> np.ndarray:
        if self.prior == "uniform":
            return np.full(len(latents), np.log(0.25))
        return -0.5 * np.sum(latents**2, axis=1) - np.log(2 * np.pi)

    def scores(self, ratios: list[np.ndarray]) -> list[np.ndarray]:
        """Return the information of each point about the distribution that it came from, nats (:meth:`log_ratios`)."""
        return [LOG_2 - _entropy(part) for part in ratios]

    def mean(self, parts: list[np.ndarray]) -> float:
        """Return the mean over data and model of values at the points of each mode and of the model."""
        return float(self._shares @ [part.mean() for part in parts])

    @property
    def _shares(self) -> np.ndarray:
        return 0.5 * np.append(self.weights, 1.0)

    def summary(self, ratios: list[np.ndarray], scores: list[np.ndarray], lost: float, flat: float) -> Plane:
        """Return the divergences; ``lost``: discretisation error, ``flat``: share of singular points to ignore."""
        on_model = ratios[-1]
        singular = np.isposinf(on_model)
        variances = [_variance(part) for part in scores]
        forward = -float(self.weights @ [part.mean() for part in ratios[:-1]])
        return Plane(
            jsd=float(np.clip(self.mean(scores), 0.0, LOG_2)),
            kl_forward=forward,
            kl_reverse=float("inf") if singular.mean() > flat else float(on_model[~singular].mean()),
            missed=float(self.weights @ [np.mean(np.isneginf(part)) for part in ratios[:-1]]),
            # A region with less mass than a few points may contain none.
            error=2 * float(np.sqrt(self._shares**2 @ variances)) + LOG_2 / len(on_model) + lost,
        )


def _frames(prior: str) -> tuple[float, ...]:
    """Return the half widths of the square of latents and of the frames around it, for a piecewise linear network."""
    frames = FRAMES[prior]
    return frames if len(frames) == 1 else (frames[0], (frames[0] * frames[-1]) ** 0.5, frames[-1])


def _difference(one: list[np.ndarray], other: list[np.ndarray]) -> list[np.ndarray]:
    return [a - b for a, b in zip(one, other, strict=True)]


def _even(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random point in each of ``size``^2 cells of the unit square, ``(size^2, 2)``."""
    corner = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), axis=-1).reshape(-1, 2)
    return np.clip((corner + rng.random(corner.shape)) / size, 1e-16, 1 - 1e-16)


def _entropy(log_odds: np.ndarray) -> np.ndarray:
    """Return the entropy of Bernoulli variables with these log-odds, nats."""
    size = np.minimum(np.abs(log_odds), 700)
    return np.log1p(np.exp(-size)) + size / (1 + np.exp(size))


def _variance(scores: np.ndarray) -> float:
    """Return the variance of the mean of ``scores``, one from each cell of a square grid.

    The difference between a score and the mean of its two neighbours has 3/2 of the variance within a cell, if scores
    are noise or vary linearly from cell to cell.
    """
    square = scores.reshape(round(len(scores) ** 0.5), -1)
    bends = [rows[1:-1] - 0.5 * (rows[:-2] + rows[2:]) for rows in (square, square.T)]
    return float(np.mean([np.mean(bend**2) for bend in bends])) / 1.5 / len(scores)


def _inverse(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, 1 / np.where(x > 0, x, 1.0), 0.0)


def _piece_owners(triangles: Triangles, latents: np.ndarray) -> np.ndarray:
    """Return the index of the triangle that contains each of ``latents``."""
    owners = np.zeros(len(latents), np.int64)
    for point, triangle, _, _ in hits(Strips(latents), triangles.latents, slack=1e-6):
        owners[point] = triangle
    return owners


def _require_same(push: Push, triangles: Triangles) -> None:
    subset = slice(None, None, len(triangles.latents) // 500 + 1)
    centres, expected = triangles.latents[subset].mean(axis=1), triangles.images[subset].mean(axis=1)
    off = np.abs(pushed(push, centres) - expected).max()
    if off > AGREEMENT * np.abs(expected).max() + 1e-6:
        raise ValueError(f"the network is not the generator: their images differ by up to {off:.3g}.")
