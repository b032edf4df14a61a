"""Cells of the line or of a rectilinear grid, and the mass of a known density or of samples in each cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import KDTree
from scipy.special import log_ndtr, logsumexp

from ganrun.datasets.synthetic import Mixture

LINE_REACH = 8.5  # standard deviations around a mode that cells on the line cover; a mass of 2e-17 lies outside
LINE_CELLS = 8192  # number of cells on the line if they are placed by the data alone
REACH = 5.0  # standard deviations around a mode that are covered by narrow cells
GROWTH = 1.5  # ratio of the widths of successive cells outside of those
FAR = np.log(1e-8)  # log of the data mass below which a cell counts as far from every mode
CHUNK = 2**19  # samples processed at a time
MAX_TERMS = 2**26  # number of modes times points up to which every mode is evaluated at every point
NEAREST = 16  # number of nearest modes of each width that are evaluated otherwise
LOG_ROOT_2PI = 0.5 * float(np.log(2 * np.pi))


def components(density: Mixture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means ``(modes, dim)``, stds and weights ``(modes,)`` in double precision, without zero-weight modes."""
    means, stds, weights = (np.asarray(part, np.float64) for part in (density.means, density.stds, density.weights))
    if means.ndim != 2 or means.shape[1] not in (1, 2):
        raise ValueError(f"the density has means of shape {means.shape}; need (modes, 1) or (modes, 2).")
    kept = weights > 0
    return means[kept], stds[kept], weights[kept] / weights[kept].sum()


def log_normal_masses(edges: np.ndarray) -> np.ndarray:
    """Return the log of the standard normal's mass between successive ``edges`` ``(n,)``: ``(n - 1,)``, nats.

    The relative error of the mass is small even for far or narrow intervals. The edges may be infinite.
    """
    low, high = edges[:-1], edges[1:]
    # Reflect intervals to the negative half-line, where the mass is not computed as 1 minus a small number.
    flip = low + high > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    width = high - low
    narrow = (width > 0) & (width * np.maximum(1.0, -low) < 1e-4)
    wide = (width > 0) & ~narrow
    out = np.full(len(low), -np.inf)
    out[narrow] = np.log(width[narrow]) - 0.5 * (0.5 * (low + high)[narrow]) ** 2 - LOG_ROOT_2PI
    top = log_ndtr(high[wide])
    out[wide] = top + np.log(-np.expm1(log_ndtr(low[wide]) - top))
    return out


def log_masses(density: Mixture, edges: np.ndarray) -> np.ndarray:
    """Return the log of the mass of a 1-D ``density`` between successive ``edges`` ``(n,)``: ``(n - 1,)``, nats."""
    means, stds, weights = components(density)
    out = np.full(len(edges) - 1, -np.inf)
    for mean, std, weight in zip(means[:, 0], stds, weights, strict=True):
        out = np.logaddexp(out, np.log(weight) + log_normal_masses((edges - mean) / std))
    return out


def cell_masses(density: Mixture, edges: Sequence[np.ndarray]) -> np.ndarray:
    """Return the exact mass of ``density`` in every cell of a rectilinear grid.

    Args:
        density: a mixture in one or two dimensions.
        edges: for each axis, the increasing edges ``(n,)`` of its cells; the outermost may be infinite.

    Returns:
        Masses ``(nx - 1,)`` or ``(nx - 1, ny - 1)``; they sum to 1 if the cells cover the whole space.

    Raises:
        ValueError: the number of axes differs from the density's dimension, or edges do not increase.
    """
    means, stds, weights = components(density)
    axes = check_edges(edges, means.shape[1])
    if len(axes) == 1:
        return np.exp(log_masses(density, axes[0]))
    x, y = (_mode_masses(axis, centres, stds) for axis, centres in zip(axes, means.T, strict=True))
    return (weights[:, None] * x).T @ y


def _mode_masses(axis: np.ndarray, centres: np.ndarray, stds: np.ndarray) -> np.ndarray:
    """Return the mass of each mode between the edges of one axis, ``(modes, n - 1)``."""
    # Modes on a grid share their coordinates.
    modes, index = np.unique(np.stack([centres, stds], axis=1), axis=0, return_inverse=True)
    return np.stack([np.exp(log_normal_masses((axis - centre) / std)) for centre, std in modes])[index]


def sample_counts(samples: np.ndarray, edges: Sequence[np.ndarray]) -> np.ndarray:
    """Count ``samples`` ``(n, dim)`` in the cells of a grid with the ``edges`` of :func:`cell_masses`.

    A cell includes its lower edge. Samples outside the grid are not counted.

    Raises:
        ValueError: the samples do not have one column for each axis, or edges do not increase.
    """
    if samples.ndim != 2 or samples.shape[1] != len(edges):
        raise ValueError(f"samples have shape {samples.shape}; need (n, {len(edges)}), one column for each axis.")
    axes = check_edges(edges, len(edges))
    # One extra cell at both ends of each axis catches samples outside the grid, so that none has to be masked.
    shape = tuple(len(axis) + 1 for axis in axes)
    size = int(np.prod(shape))
    total = np.zeros(size, np.int64)
    for start in range(0, len(samples), CHUNK):
        part = samples[start : start + CHUNK].astype(np.float64)
        index = np.zeros(len(part), np.int64)
        for axis, column, count in zip(axes, part.T, shape, strict=True):
            index = index * count + np.searchsorted(axis, np.ascontiguousarray(column), side="right")
        total += np.bincount(index, minlength=size)
    return total.reshape(shape)[(slice(1, -1),) * len(shape)]


def log_density(density: Mixture, points: np.ndarray) -> np.ndarray:
    """Return the log density, nats, at ``points`` ``(n, dim)``; with very many modes and points, from nearby modes."""
    means, stds, weights = components(density)
    out = np.full(len(points), -np.inf)
    if len(points) * len(stds) > MAX_TERMS:
        return _nearby_log_density(points, means, stds, weights)
    for mean, std, weight in zip(means, stds, weights, strict=True):
        square = np.sum(((points - mean) / std) ** 2, axis=1)
        out = np.logaddexp(out, np.log(weight) - 0.5 * square - len(mean) * (np.log(std) + LOG_ROOT_2PI))
    return out


def _nearby_log_density(points: np.ndarray, means: np.ndarray, stds: np.ndarray, weights: np.ndarray) -> np.ndarray:
    out = np.full(len(points), -np.inf)
    for std in np.unique(stds):
        group = np.flatnonzero(stds == std)
        tree = KDTree(means[group])
        for start in range(0, len(points), CHUNK):
            part = slice(start, start + CHUNK)
            distance, nearest = (
                np.reshape(array, (len(points[part]), -1))
                for array in tree.query(points[part], min(len(group), NEAREST))
            )
            logs = np.log(weights[group][nearest]) - 0.5 * (distance / std) ** 2
            logs -= means.shape[1] * (np.log(std) + LOG_ROOT_2PI)
            out[part] = np.logaddexp(out[part], logsumexp(logs, axis=1))
    return out


def central_log_masses(
    density: Mixture, edges: Sequence[np.ndarray], log_masses: np.ndarray, needed: np.ndarray
) -> np.ndarray:
    """Return ``log_masses``, with those of ``needed`` cells far from every mode replaced by a midpoint estimate.

    The estimate is the density at the cell's centre times the cell's size. Nearly all of the mass of such a cell lies
    at its edge, whereas the density at the centre is what a sample in the cell is expected to have.
    """
    out = log_masses.copy()
    index = np.nonzero(needed & (log_masses < FAR))
    low = np.stack([axis[i] for axis, i in zip(edges, index, strict=True)], axis=1)
    high = np.stack([axis[i + 1] for axis, i in zip(edges, index, strict=True)], axis=1)
    bounded = np.isfinite(low + high).all(axis=1)
    low, high = low[bounded], high[bounded]
    out[tuple(i[bounded] for i in index)] = log_density(density, 0.5 * (low + high)) + np.log(high - low).sum(axis=1)
    return out


def check_edges(edges: Sequence[np.ndarray], dim: int) -> list[np.ndarray]:
    """Return the edges of each axis in double precision; raise ValueError if they are not a grid with ``dim`` axes."""
    axes = [np.asarray(axis, np.float64) for axis in edges]
    if len(axes) != dim:
        raise ValueError(f"edges are given for {len(axes)} axes; the density has {dim}.")
    for axis in axes:
        if axis.ndim != 1 or len(axis) < 2 or not np.all(np.diff(axis) > 0):
            raise ValueError("the edges of an axis must be at least two increasing numbers.")
    return axes


def line_edges(density: Mixture, count: int) -> np.ndarray:
    """Return about ``count`` edges, at least 64 per mode, spaced evenly in the mode's standard deviations around it."""
    means, stds, _ = components(density)
    around = np.linspace(-LINE_REACH, LINE_REACH, max(64, count // len(means)))
    return (means + stds[:, None] * around).ravel()


def rounding(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper ends ``(n,)`` of the intervals of numbers that float32 rounds to ``x``."""
    single = x.clip(-1e38, 1e38).astype(np.float32)
    down, up = (np.nextafter(single, np.float32(sign * np.inf)).astype(np.float64) for sign in (-1, 1))
    return x - 0.5 * (single - down), x + 0.5 * (up - single)


def outside(edges: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the ``edges`` that lie in none of the intervals from ``low`` to ``high``, which are sorted."""
    return edges[edges >= np.append(-np.inf, high)[np.searchsorted(low, edges)]]


def mode_edges(
    centres: np.ndarray, stds: np.ndarray, step: float, reach: float, low: float, high: float, maximum: int = 1500
) -> np.ndarray:
    """Place the edges of one axis: narrow cells around every mode, and growing cells between modes and to both ends.

    Between ``low`` and ``high``, where the samples are, no cell far from a mode is much wider than 1/64 of the range.

    Args:
        centres: the modes on this axis, ``(modes,)``.
        stds: their standard deviations, ``(modes,)``.
        step: width of the cells around a mode, in its standard deviations.
        reach: distance from a mode that these cells cover, in its standard deviations.
        low: the first edge lies below this.
        high: the last edge lies above this.
        maximum: the step is widened if there are more edges than this.

    Returns:
        Increasing edges ``(n,)``, all finite.
    """
    centres, stds = np.unique(np.stack([centres, stds], axis=1), axis=0).T
    growth = GROWTH
    while True:
        around = np.linspace(-reach, reach, max(2, round(2 * reach / step) + 1))
        edges = centres[:, None] + stds[:, None] * around
        widths = np.broadcast_to(stds[:, None] * (around[1] - around[0]), edges.shape)
        edges = _filled(*_thinned(edges.ravel(), widths.ravel()), low, high, growth)
        if len(edges) <= maximum or len(around) == 2:
            return np.unique(np.append(edges[:: -(-len(edges) // maximum)], edges[-1]))
        step, growth = 1.25 * step, 1.25 * growth


def _thinned(edges: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop each edge whose distance from the previous one is less than 0.6 of the narrower of their cells."""
    order = np.argsort(edges, kind="stable")
    kept = [order[0]]
    for i in order[1:]:
        if edges[i] - edges[kept[-1]] >= 0.6 * min(widths[i], widths[kept[-1]]):
            kept.append(i)
    return edges[kept], widths[kept]


def _filled(edges: np.ndarray, widths: np.ndarray, low: float, high: float, growth: float) -> np.ndarray:
    """Fill wide gaps, and the ranges to ``low`` and ``high``, with cells that grow with the distance from a mode."""
    parts = [edges, edges[0] - _growing(widths[0], edges[0] - low, growth)]
    for i in np.flatnonzero(np.diff(edges) > 3 * (widths[:-1] + widths[1:])):
        half = 0.5 * (edges[i + 1] - edges[i])
        for start, width, sign in (edges[i], widths[i], 1), (edges[i + 1], widths[i + 1], -1):
            distances = _growing(width, half, growth)
            parts.append(start + sign * distances[distances < half - 0.25 * width])
    parts.append(edges[-1] + _growing(widths[-1], high - edges[-1], growth))
    edges = np.unique(np.concatenate(parts))
    even = np.linspace(low, high, 65)
    above = np.searchsorted(edges, even, side="right")
    wide = edges[above] - edges[above - 1] > 1.5 * max(even[1] - even[0], widths.max())
    return np.unique(np.append(edges, even[wide]))


def _growing(width: float, length: float, growth: float) -> np.ndarray:
    """Return distances whose steps grow by the factor ``growth``, the last one just past ``length``."""
    count = int(np.log1p(max(length, 0.0) / width * (growth - 1)) / np.log(growth)) + 2
    distances = width * (growth ** np.arange(1, count + 1) - 1) / (growth - 1)
    # The last distance exceeds the length by more than a rounding error, however large it is.
    return np.append(distances[distances < length], (1 + 1e-9) * max(length, 0.0) + width)
