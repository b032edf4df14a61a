"""The pushforward of a one-dimensional prior to the line by a generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ganrun.datasets import cells
from ganrun.datasets.cells import LINE_CELLS, line_edges, outside, rounding
from ganrun.datasets.synthetic import Mixture

INTERVALS = 2**17  # of the prior
STRIDE = 16  # intervals per cell
BULK = 5.0  # |z| of the normal prior below which intervals have equal width; a mass of 6e-7 lies beyond
# The normal prior's tails: start and end of each range, and the number of intervals in it.
TAIL = ((BULK, 1e4, 512), (1e4, 1e8, 32))
MAX_ATOMS = 2**13
MAX_TURNS = 2**11  # maximum number of turning points (folds) with cells of their own

Push = Callable[[np.ndarray], np.ndarray]
Tail = tuple[np.ndarray, np.ndarray]


def prior_intervals(push: Push, prior: str) -> tuple[np.ndarray, np.ndarray, list[Tail]]:
    """Divide a prior into intervals and push their ends through a generator.

    Returns:
        The images ``(n + 1,)`` of the ends, the mass ``(n,)`` of the intervals and, for the normal prior, the two tails
        beyond: distances |z| from 0 and their images.

    Raises:
        ValueError: an unknown prior, images of another shape than z, or (except in the tails) not finite.
    """
    if prior not in ("normal", "uniform"):
        raise ValueError(f"prior is {prior!r}; allowed: 'normal', 'uniform'.")
    end = BULK if prior == "normal" else 1.0
    # The generator's input is float32, so the masses have to be those of intervals between float32 numbers.
    z = np.linspace(-end, end, INTERVALS + 1, dtype=np.float32).astype(np.float64)
    images = _images(push, z)
    if not np.isfinite(images).all():
        raise ValueError("the generator returned numbers that are not finite.")
    if prior == "uniform":
        return images, np.diff(z) / 2, []
    return images, np.exp(cells.log_normal_masses(z)), [_tail(push, sign) for sign in (-1, 1)]


def _images(push: Push, z: np.ndarray) -> np.ndarray:
    images = np.asarray(push(z.astype(np.float32)[:, None]))
    if images.shape != (len(z), 1):
        raise ValueError(f"the generator returned shape {images.shape} for ({len(z)}, 1) numbers; need the same.")
    return images[:, 0].astype(np.float64)


def _tail(push: Push, sign: int) -> Tail:
    """Return the distances from 0 beyond ``BULK`` in one tail and their images, up to the first that is not finite."""
    distance = np.unique(np.concatenate([np.geomspace(low, high, count + 1) for low, high, count in TAIL]))
    distance = distance.astype(np.float32).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        images = _images(push, sign * distance)
    lost = np.flatnonzero(~np.isfinite(images))
    kept = lost[0] if len(lost) else len(images)
    return distance[:kept], images[:kept]


def cell_edges(
    density: Mixture, images: np.ndarray, mass: np.ndarray, tails: list[Tail]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges ``(n,)`` of the cells, infinite at both ends, and the starts of cells about twice as wide.

    Edges that isolate an atom, a fold or an end of the model's support are kept in the wider cells.
    """
    step = np.diff(images)
    constant_images, index = np.unique(images[:-1][step == 0], return_inverse=True)
    atoms = constant_images[
        np.argsort(np.bincount(index, mass[step == 0], minlength=len(constant_images)))[-MAX_ATOMS:]
    ]
    turns = images[1:-1][step[1:] * step[:-1] < 0]
    # Images are float32: cells start where rounding to an image starts, so that images merged by rounding stay in one
    # cell and a true atom gets a cell too narrow to hold any data.
    special = np.unique(np.concatenate([atoms, turns[:: len(turns) // MAX_TURNS + 1], [images.min(), images.max()]]))
    low, high = rounding(special)
    ordinary = np.concatenate([images[::STRIDE], *(images for _, images in tails)])
    ordinary = np.concatenate([line_edges(density, LINE_CELLS), rounding(ordinary)[0]])
    special = np.concatenate([low, high])
    edges = np.unique(np.concatenate([special, outside(ordinary, low, high)]))
    kept = np.isin(edges, special) | (np.arange(len(edges)) % 2 == 0)
    return np.concatenate([[-np.inf], edges, [np.inf]]), np.append(0, 1 + np.flatnonzero(kept))


def spread(edges: np.ndarray, images: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Spread each ``mass`` ``(n,)`` uniformly between successive ``images`` ``(n + 1,)``; return the mass per cell."""
    low, high = np.minimum(images[:-1], images[1:]), np.maximum(images[:-1], images[1:])
    count = len(edges) - 1
    first = np.searchsorted(edges, low, side="right") - 1
    last = np.maximum(first, np.searchsorted(edges, high, side="left") - 1)
    out = np.bincount(first, np.where(first == last, mass, 0.0), minlength=count)
    across = first < last
    low, high, first, last = low[across], high[across], first[across], last[across]
    if not len(first):
        return out
    thickness = mass[across] / (high - low)
    out += np.bincount(first, thickness * (edges[first + 1] - low), minlength=count)
    out += np.bincount(last, thickness * (high - edges[last]), minlength=count)
    # Only fully covered cells use cumulative sums, where no thickness exceeds a mass divided by the width of a cell.
    # Rounding errors of the sum must neither add mass to uncovered cells nor remove it from covered ones.
    change = np.bincount(first + 1, thickness, minlength=count) - np.bincount(last, thickness, minlength=count)
    cover = np.cumsum(np.bincount(first + 1, minlength=count) - np.bincount(last, minlength=count))
    total = np.maximum(np.cumsum(change, dtype=np.longdouble).astype(np.float64), thickness.min())
    covered = cover > 0
    out[covered] += total[covered] * np.diff(edges)[covered]
    return out


def spread_tails(edges: np.ndarray, tails: list[Tail]) -> np.ndarray:
    """Return the log of the tails' mass in each cell, with images interpolated linearly between the given z."""
    out = np.full(len(edges) - 1, -np.inf)
    for distance, images in tails:
        for near, far, start, stop in zip(distance[:-1], distance[1:], images[:-1], images[1:], strict=True):
            first = np.searchsorted(edges, min(start, stop), side="right") - 1
            last = max(first, np.searchsorted(edges, max(start, stop), side="left") - 1)
            forward = slice(None, None, 1 if start <= stop else -1)
            inner = edges[first + 1 : last + 1][forward]
            share = (inner - start) / (stop - start) if len(inner) else inner
            cuts = np.concatenate([[near], np.minimum(near + share * (far - near), far), [far]])
            width = np.diff(cuts)
            # The midpoint rule, not the exact mass: far out, that is nearly all at the near end and would dominate.
            part = np.full(len(width), -np.inf)
            np.log(width, where=width > 0, out=part)
            part -= 0.5 * (cuts[:-1] + 0.5 * width) ** 2 + cells.LOG_ROOT_2PI
            out[first : last + 1] = np.logaddexp(out[first : last + 1], part[forward])
    return out
