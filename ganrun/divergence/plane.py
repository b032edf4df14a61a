"""How far a generator from the plane to the plane is from a known density, by following the latent plane.

Samples cannot tell: a trained generator folds the latent plane over every mode many times, in layers far thinner than
any cell that holds enough samples to be counted. Here the latent plane is cut into triangles, each of which is mapped
linearly, so the model's density at a point is a sum over the triangles whose images hold it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ganrun.datasets.synthetic import Mixture
from ganrun.divergence import cells
from ganrun.divergence.estimate import LOG_2
from ganrun.divergence.plane_cover import Strips, Triangles, coordinates, hits, inside, stretch
from ganrun.divergence.plane_grid import END, FRAMES, Grid, Push, pushed
from ganrun.divergence.plane_pieces import Rectifiers, linear_triangles

FLAT = 0.01  # share of the model on lines and points that float32 may make of thin images
FAINT = -690.0  # log densities below this are too small for exp
AGREEMENT = 0.02  # by which a generator and its layers may differ, of the largest image: some devices round to 8 bits


@dataclass(frozen=True)
class Plane:
    """Divergences between data and model in the plane.

    Attributes:
        jsd: Jensen-Shannon divergence, nats.
        kl_forward: KL(data, model), nats; infinite where ``missed`` is not 0.
        kl_reverse: KL(model, data), nats; infinite where the model puts mass on lines or points.
        missed: share of the data where the model has no density.
        error: how far ``jsd`` may be off, nats.
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
    """Follow two latent numbers through a generator and compare what comes out with a density in the plane.

    The divergence is log 2 less the entropy of the side that a point came from, given the point, averaged over
    points of both sides: no score lies outside of [0, log 2]. Points are spread evenly, one to a cell of a grid, over
    each of the data's modes and over the prior.

    With ``network`` its linear pieces are followed. Without it, or where it has more than 2 ``nodes``^2 of them, a
    grid of nodes is pushed. What that loses goes with the width of its cells where the generator has kinks or folds,
    so it is extrapolated from every second node. Mass on images without an area has no density and shares nothing
    with the data; on the grid that is as far as float32 can tell.

    The normal prior is followed to |z| = 1e8 with its density in logs, so that a model narrower than the data has a
    finite ``kl_forward``: ``missed`` is what no latent reaches. Beyond |z| = 6 a generator without ``network`` counts
    as linear between nodes that grow apart, and a tail is left out where its images are not finite. What the model
    leaves out is met only as far as it has the mass of one of the points.

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
    # A grid that is too coarse for what it shows may change little once, by chance.
    lost = max(abs(queries.mean(change)), abs(queries.mean(before)) / 2)
    extrapolated = [part + more for part, more in zip(fine, change, strict=True)]
    return queries.summary(levels[0], extrapolated, lost=lost, flat=FLAT)


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

    def log_ratios(self, triangles: Triangles, owners: np.ndarray) -> list[np.ndarray]:
        """Return log(q / p), nats, at points of each mode and of the model, whose mass ``triangles`` carry.

        ``owners`` are the numbers of the triangles in which the latents lie.
        """
        n, thinned = len(self.data), _inverse(stretch(triangles))
        images = inside(triangles.images[owners], *coordinates(triangles.latents[owners], self.latents))
        owner = np.append(np.full(n, -1), owners)
        q = np.append(np.zeros(n), np.exp(self._log_prior(self.latents)) * thinned[owners])
        faint = np.full(len(q), -np.inf)
        # On an image without an area the model's density is infinite, whatever else is there.
        wide, asked = np.flatnonzero(thinned), np.flatnonzero(np.append(np.ones(n), thinned[owners]))
        for place, number, u, w in hits(Strips(np.concatenate([self.data, images])[asked]), triangles.images[wide]):
            # Whatever rounding makes of its image, a latent lies in its own triangle, and once.
            other = owner[asked[place]] != wide[number]
            point, triangle = asked[place[other]], wide[number[other]]
            there = inside(triangles.latents[triangle], u[other], w[other])
            logs = self._log_prior(there) + np.log(thinned[triangle])
            q += np.bincount(point, np.exp(logs), len(q))
            # What is too small a number for a sum: then the largest alone is as good as all.
            np.maximum.at(faint, point[logs < FAINT], logs[logs < FAINT])
        q[n:][thinned[owners] == 0] = np.inf
        with np.errstate(divide="ignore"):
            log_q = np.where(q > np.exp(FAINT), np.log(q), faint)
        ratios = log_q - np.append(self.log_p, cells.log_density(self.density, images))
        return np.split(ratios, np.cumsum(self.sides**2))

    def _log_prior(self, latents: np.ndarray) -> np.ndarray:
        if self.prior == "uniform":
            return np.full(len(latents), np.log(0.25))
        return -0.5 * np.sum(latents**2, axis=1) - np.log(2 * np.pi)

    def scores(self, ratios: list[np.ndarray]) -> list[np.ndarray]:
        """Return what each point tells of the side that it came from, nats, from :meth:`log_ratios`."""
        return [LOG_2 - _entropy(part) for part in ratios]

    def mean(self, parts: list[np.ndarray]) -> float:
        """Return the mean over both sides of what is given for points of each mode and of the model."""
        return float(self._shares @ [part.mean() for part in parts])

    @property
    def _shares(self) -> np.ndarray:
        return 0.5 * np.append(self.weights, 1.0)

    def summary(self, ratios: list[np.ndarray], scores: list[np.ndarray], lost: float, flat: float) -> Plane:
        """Summarise; ``lost`` is the error but for sampling, ``flat`` the share of points without area to leave out."""
        on_model = ratios[-1]
        singular = np.isposinf(on_model)
        variances = [_variance(part) for part in scores]
        forward = -float(self.weights @ [part.mean() for part in ratios[:-1]])
        return Plane(
            jsd=float(np.clip(self.mean(scores), 0.0, LOG_2)),
            kl_forward=forward,
            kl_reverse=float("inf") if singular.mean() > flat else float(on_model[~singular].mean()),
            missed=float(self.weights @ [np.mean(np.isneginf(part)) for part in ratios[:-1]]),
            # What has less mass than a few points may not have been met at all.
            error=2 * float(np.sqrt(self._shares**2 @ variances)) + LOG_2 / len(on_model) + lost,
        )


def _frames(prior: str) -> tuple[float, ...]:
    """Return where the square of latents and the frames around it end, for a network that is linear in pieces."""
    frames = FRAMES[prior]
    return frames if len(frames) == 1 else (frames[0], (frames[0] * frames[-1]) ** 0.5, frames[-1])


def _difference(one: list[np.ndarray], other: list[np.ndarray]) -> list[np.ndarray]:
    return [a - b for a, b in zip(one, other, strict=True)]


def _even(side: int, rng: np.random.Generator) -> np.ndarray:
    """Return a point in each of ``side``^2 cells of the unit square, ``(side^2, 2)``."""
    corner = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1).reshape(-1, 2)
    return np.clip((corner + rng.random(corner.shape)) / side, 1e-16, 1 - 1e-16)


def _entropy(log_odds: np.ndarray) -> np.ndarray:
    """Return the entropy of a coin with these log-odds, nats."""
    size = np.minimum(np.abs(log_odds), 700)
    return np.log1p(np.exp(-size)) + size / (1 + np.exp(size))


def _variance(scores: np.ndarray) -> float:
    """Return the variance of the mean of ``scores``, one from each cell of a square grid.

    What a score differs by from the mean of its neighbours has 3/2 of the variance within a cell, if scores are
    either noise or change evenly from cell to cell.
    """
    square = scores.reshape(round(len(scores) ** 0.5), -1)
    bends = [side[1:-1] - 0.5 * (side[:-2] + side[2:]) for side in (square, square.T)]
    return float(np.mean([np.mean(bend**2) for bend in bends])) / 1.5 / len(scores)


def _inverse(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, 1 / np.where(x > 0, x, 1.0), 0.0)


def _piece_owners(triangles: Triangles, latents: np.ndarray) -> np.ndarray:
    """Return the number of the triangle that each of ``latents`` lies in."""
    owners = np.zeros(len(latents), np.int64)
    for point, triangle, _, _ in hits(Strips(latents), triangles.latents, slack=1e-6):
        owners[point] = triangle
    return owners


def _require_same(push: Push, triangles: Triangles) -> None:
    some = slice(None, None, len(triangles.latents) // 500 + 1)
    centres, expected = triangles.latents[some].mean(axis=1), triangles.images[some].mean(axis=1)
    off = np.abs(pushed(push, centres) - expected).max()
    if off > AGREEMENT * np.abs(expected).max() + 1e-6:
        raise ValueError(f"the network is not the generator: their images differ by up to {off:.3g}.")
