"""Divergences between a known density and a model given as a generator, dense samples or a density.

On the line, the distribution of a generator with a one-dimensional latent is computed by transporting the mass of short
prior intervals. Otherwise samples are counted in cells, which are narrow around the data's modes. Discretisation into
cells can only lower a divergence (data processing inequality), so all estimates increase to the limit as cells shrink.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ganrun.datasets import cells
from ganrun.datasets.cells import LINE_CELLS, line_edges, outside, rounding
from ganrun.datasets.synthetic import Mixture
from ganrun.evaluation.divergence.exact import masses, pushed

NEGLIGIBLE = 1e-12  # data mass that is ignored when deciding whether a divergence is finite
AROUND_A_BEND = np.array([0, *(sign * 2.0**k for sign in (-1, 1) for k in range(-1, 6))])  # in units of 1 / its slope
FEWEST = 1000  # minimum number of samples for an error estimate


@dataclass(frozen=True)
class Exact:
    """Divergences between data and model.

    Attributes:
        jsd: Jensen-Shannon divergence, nats.
        kl_forward: KL(data, model), nats; infinite where the model has no mass on part of the data.
        kl_reverse: KL(model, data), nats.
        w1: Wasserstein-1 distance in the data's units; None in two dimensions.
        error: error bound of ``jsd``, nats: discretisation error plus two standard errors of sampling.
    """

    jsd: float
    kl_forward: float
    kl_reverse: float
    w1: float | None
    error: float


def of_push(density: Mixture, push: Callable[[np.ndarray], np.ndarray], prior: str) -> Exact:
    """Compare a generator with a one-dimensional latent with a density on the line.

    Folds, jumps, constant stretches (atoms) and singular densities are supported: each of 2^17 prior intervals spreads
    its mass evenly over the interval between the images of its ends, and cell edges are images as well as quantiles of
    the data. The normal prior is integrated to |z| = 1e8 with its mass in logs, so that a narrow model has a finite
    ``kl_forward``; a tail is truncated where its images are not finite.

    ``kl_forward`` is infinite if the model has no mass in cells that hold more than 1e-12 of the data in total: less
    than that is indistinguishable from the effects of truncation and rounding, and those cells are ignored.

    Args:
        density: the data, one-dimensional.
        push: the generator, float32 ``(n, 1)`` to ``(n, 1)``.
        prior: ``normal`` or ``uniform`` (on [-1, 1]).

    Raises:
        ValueError: an unknown prior, a density in two dimensions, images of another shape or not finite.
    """
    if density.means.shape[1] != 1:
        raise ValueError(f"the density has {density.means.shape[1]} dimensions; a pushed latent number needs 1.")
    images, mass, tails = pushed.prior_intervals(push, prior)
    edges, starts = pushed.cell_edges(density, images, mass, tails)
    log_p = cells.log_masses(density, edges)
    p = np.exp(log_p)
    log_tails = pushed.spread_tails(edges, tails)
    q = pushed.spread(edges, images, mass) + np.exp(log_tails)
    jsd = masses.jensen_shannon(p, q)
    coarser = masses.jensen_shannon(np.add.reduceat(p, starts), np.add.reduceat(q, starts))
    halved = pushed.spread(edges, images[::2], mass.reshape(-1, 2).sum(axis=1)) + np.exp(log_tails)
    error = jsd - coarser + 2 * abs(jsd - masses.jensen_shannon(p, halved)) + 1e-7

    log_q = np.where(q > 1e-290, np.log(np.maximum(q, 1e-290)), log_tails)
    forward = masses.log_ratio_sum(p, log_p, log_q, NEGLIGIBLE)
    reverse = masses.log_ratio_sum(q, log_q, cells.central_log_masses(density, [edges], log_p, q > 0), NEGLIGIBLE)
    return Exact(jsd, forward, reverse, masses.wasserstein(edges, p, q), error)


def of_samples(density: Mixture, samples: np.ndarray) -> Exact:
    """Compare a density with many samples of a model, counted in cells.

    Cells are narrow around the data's modes and, on the line, also at quantiles of the samples. The bias of the counts
    is subtracted and the discretisation error is extrapolated; ``jsd`` is clipped to [0, log 2] but a KL may be
    negative by chance. ``error`` includes two standard errors; structure much finer than the data's modes, such as a
    model that fills only a curve, makes ``jsd`` too small and increases ``error`` as well.

    Samples cannot show that a model has no mass somewhere: ``kl_forward`` adds half a count to every cell, so it is
    always finite, and far too small where it should be large. In two dimensions the data's mass in cells far from every
    mode is approximated by the density at their centre times their area, accurate to about one per cent of
    ``kl_reverse``.

    Args:
        density: the data, in one or two dimensions.
        samples: ``(n, dim)``; n of at least 1e5 for an error of about 0.001.

    Raises:
        ValueError: samples of another dimension than the density, fewer than 1000, or numbers that are not finite.
    """
    dim, samples = density.means.shape[1], np.asarray(samples)
    if samples.ndim != 2 or samples.shape[1] != dim or len(samples) < FEWEST:
        raise ValueError(f"samples have shape {samples.shape}; need (n, {dim}) with n from {FEWEST} on.")
    if not np.isfinite(samples).all():
        raise ValueError("samples contain numbers that are not finite.")
    return _of_line_samples(density, samples) if dim == 1 else _of_plane_samples(density, samples)


def _of_line_samples(density: Mixture, samples: np.ndarray) -> Exact:
    x = np.sort(samples[:, 0].astype(np.float64))
    n = len(x)
    stride = n // LINE_CELLS + 1
    rare = np.unique(np.geomspace(1, stride, 33).astype(int)) - 1
    some = x[np.unique(np.concatenate([np.arange(0, n, stride), rare, n - 1 - rare]))]
    low, high = rounding(some)
    atoms = rounding(np.unique(some[1:][np.diff(some) == 0]))
    inner = outside(np.concatenate([line_edges(density, LINE_CELLS), low, high[-1:]]), *atoms)
    edges = np.concatenate([[-np.inf], np.unique(np.concatenate([inner, *atoms])), [np.inf]])
    log_p, counts = cells.log_masses(density, edges), np.diff(np.searchsorted(x, edges))
    w1 = masses.wasserstein(edges, np.exp(log_p), counts / n)

    # Cells of equal mass of data and model together have reliable counts. The ends of the samples and atoms are edges
    # at every width, since the density may jump there.
    held = np.cumsum(np.append(0.0, np.exp(log_p) + counts / n))[:-1]
    fixed = np.isin(edges[:-1], np.concatenate([*atoms, low[:1], high[-1:]]))
    width = 2 / min(2000, max(50, n / 300))
    starts = [np.flatnonzero((np.diff(held // (width * k), prepend=-1) > 0) | fixed) for k in (1, 2, 4)]
    levels = [(np.add.reduceat(np.exp(log_p), start), np.add.reduceat(counts, start)) for start in starts]
    jsd, error = masses.extrapolated_jensen_shannon(levels)
    return Exact(jsd, *_line_kl(density, edges, counts, starts[0]), w1, error)


def _line_kl(density: Mixture, edges: np.ndarray, counts: np.ndarray, starts: np.ndarray) -> tuple[float, float]:
    """Return both KL, nats, from the cells that begin at ``starts``, or far from all modes, from the cells in them."""
    wide = np.append(edges[starts], np.inf)
    log_p, total = cells.log_masses(density, wide), np.add.reduceat(counts, starts)
    p = np.exp(log_p)
    inside = edges.clip(edges[1], edges[-2])
    centres = 0.5 * (inside[:-1] + inside[1:])
    weighted_log_density = np.add.reduceat(counts * cells.log_density(density, centres[:, None]), starts)
    far = (log_p < cells.FAR) & (total > 0)
    log_p[far] = weighted_log_density[far] / total[far] + np.log(np.diff(wide.clip(edges[1], edges[-2]))[far])
    return masses.counted_kl(p, log_p, total)


def _of_plane_samples(density: Mixture, samples: np.ndarray) -> Exact:
    means, stds, _ = cells.components(density)
    # A trade-off of discretisation and counting errors; tuned with 65 000 and 500 000 samples per mode.
    step = float(np.clip(2.5 * (len(samples) / len(stds)) ** (-1 / 6), 0.2, 1.0))
    ends = zip(samples.min(axis=0), samples.max(axis=0), strict=True)
    inner = [cells.mode_edges(means[:, k], stds, step, cells.REACH, *end) for k, end in enumerate(ends)]
    edges = [np.concatenate([[-np.inf], axis, [np.inf]]) for axis in inner]
    p, counts = cells.cell_masses(density, edges), cells.sample_counts(samples, edges)
    levels = [(p, counts)]
    for _ in range(2):
        levels.append((masses.merged(levels[-1][0]), masses.merged(levels[-1][1])))
    jsd, error = masses.extrapolated_jensen_shannon(levels)
    log_p = cells.central_log_masses(density, edges, np.log(np.maximum(p, 1e-300)), counts > 0)
    return Exact(jsd, *masses.counted_kl(p, log_p, counts), None, error)


def of_densities(p: Mixture, q: Mixture) -> Exact:
    """Compare data ``p`` and model ``q`` of known densities by Gauss-Legendre quadrature in narrow cells.

    Raises:
        ValueError: the two differ in dimension.
    """
    if p.means.shape[1] != q.means.shape[1]:
        raise ValueError(f"the densities have {p.means.shape[1]} and {q.means.shape[1]} dimensions; need the same.")
    parts = [cells.components(density) for density in (p, q)]
    means, stds = (np.concatenate(pair) for pair in list(zip(*parts, strict=True))[:2])
    max_stds, max_edges = (9.0, 20_000) if means.shape[1] == 1 else (8.0, 1000)
    low, high = (means - max_stds * stds[:, None]).min(axis=0), (means + max_stds * stds[:, None]).max(axis=0)
    axes = [
        cells.mode_edges(means[:, k], stds, 0.5, max_stds, low[k], high[k], max_edges) for k in range(means.shape[1])
    ]
    if means.shape[1] == 1:
        axes = [np.unique(np.concatenate([*axes, *(_bends(density).clip(low, high) for density in (p, q))]))]
    rough, (jsd, forward, reverse, left_out) = (_quadrature(p, q, axes, order).tolist() for order in (3, 4))
    w1 = None
    if means.shape[1] == 1:
        edges = np.unique(np.concatenate([line_edges(density, LINE_CELLS) for density in (p, q)]))
        edges = np.concatenate([[-np.inf], edges, [np.inf]])
        w1 = masses.wasserstein(edges, *(cells.cell_masses(density, [edges]) for density in (p, q)))
    return Exact(jsd, forward, reverse, w1, abs(jsd - rough[0]) + left_out + 1e-9)


def _bends(density: Mixture) -> np.ndarray:
    """Return cell edges around the points where two components of a mixture on the line have equal density.

    Far from both components, the slope of the log density changes there over a distance that may be much shorter than
    the width of any component.
    """
    means, stds, weights = cells.components(density)
    heights = np.log(np.maximum(weights, 1e-300)) - np.log(stds)
    edges = []
    for i, j in itertools.combinations(range(len(stds)), 2):
        # The log density of a component is quadratic; the coefficients, highest degree first.
        one, other = (
            np.array([-0.5 / stds[k] ** 2, means[k, 0] / stds[k] ** 2, heights[k] - 0.5 * (means[k, 0] / stds[k]) ** 2])
            for k in (i, j)
        )
        change = one - other
        roots = [root.real for root in np.roots(change) if root.imag == 0]
        edges += [root + AROUND_A_BEND / max(abs(np.polyval(np.polyder(change), root)), 1e-3) for root in roots]
    return np.concatenate(edges) if edges else np.zeros(0)


def _quadrature(p: Mixture, q: Mixture, axes: list[np.ndarray], order: int) -> np.ndarray:
    """Return JSD, both KL (nats) and the error of the total masses, with ``order`` nodes per cell and axis."""
    node, weight = np.polynomial.legendre.leggauss(order)
    middles, halves = [0.5 * (axis[1:] + axis[:-1])[:, None] for axis in axes], [0.5 * np.diff(axis) for axis in axes]
    points = [(middle + half[:, None] * node).ravel() for middle, half in zip(middles, halves, strict=True)]
    weights = [np.outer(half, weight).ravel() for half in halves] + [np.ones(1)] * (2 - len(axes))
    total, whole = np.zeros(3), np.zeros(2)
    rows = max(1, 2**20 // len(weights[1]))
    for start in range(0, len(points[0]), rows):
        part = slice(start, start + rows)
        area = np.outer(weights[0][part], weights[1])
        grid = [points[0][part], *points[1:]]
        values = [_values(density, grid).reshape(area.shape) for density in (p, q)]
        held = values[0] * area, values[1] * area
        logs = [_logs(density, grid, values[i], held[1 - i] > 1e-18) for i, density in enumerate((p, q))]
        ratio = logs[0] - logs[1]
        total += masses.jensen_shannon(*held), np.sum(held[0] * ratio), -np.sum(held[1] * ratio)
        whole += held[0].sum(), held[1].sum()
    return np.append(total, np.abs(1 - whole).sum())


def _values(density: Mixture, grid: list[np.ndarray]) -> np.ndarray:
    """Return the density at the points of a grid, ``(nx,)`` or ``(nx, ny)``."""
    means, stds, weights = cells.components(density)
    parts = []
    for points, centres in zip(grid, means.T, strict=True):
        offset = (points - centres[:, None]) / stds[:, None]
        parts.append(np.exp(-0.5 * offset**2 - cells.LOG_ROOT_2PI) / stds[:, None])
    return weights @ parts[0] if len(parts) == 1 else (weights[:, None] * parts[0]).T @ parts[1]


def _logs(density: Mixture, grid: list[np.ndarray], values: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """Return the log of ``values``, computed in logs where they have underflowed and are ``needed``."""
    logs = np.log(np.maximum(values, 1e-290))
    underflowed = np.nonzero(needed & (values < 1e-290))
    logs[underflowed] = cells.log_density(
        density, np.stack([axis[i] for axis, i in zip(grid, underflowed, strict=False)], axis=1)
    )
    return logs
