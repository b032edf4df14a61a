"""Point location in the plane: all triangles that contain each point, for overlapping triangles of any size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

STRIP = 256  # points per strip
BLOCK = 2**15  # triangles per block
PAIRS = 2**18  # pairs of triangles and strips per block
KNOTS = 512  # knots of the interpolation that maps heights to ranks
SLACK = 1e-9  # tolerance of searches by rank: far above rounding errors
TINY = 1e-30  # smaller values count as 0


@dataclass(frozen=True)
class Triangles:
    """A triangulated prior: triangles of latents and their images, ``(n, 3, 2)`` each.

    Attributes:
        latents: corners in the latent plane.
        images: corners in the data's plane; a triangle is mapped linearly onto its image.
        precision: relative precision of the images' coordinates.
    """

    latents: np.ndarray
    images: np.ndarray
    precision: float


def doubled_areas(corners: np.ndarray) -> np.ndarray:
    """Return twice the area ``(n,)`` of triangles ``(n, 3, 2)``, negative where they turn clockwise."""
    x, y = corners[..., 0], corners[..., 1]
    return (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])


def stretch(triangles: Triangles) -> np.ndarray:
    """Return the ratio of the areas of images and latents, ``(n,)``; 0 where the image's area is within rounding."""
    area, latent = np.abs(doubled_areas(triangles.images)), np.abs(doubled_areas(triangles.latents))
    size, extent = np.abs(triangles.images).max(axis=1), np.ptp(triangles.images, axis=1)
    rounding = triangles.precision * (size * extent[:, ::-1]).sum(axis=1)
    return np.where(area > rounding, area / np.maximum(latent, TINY), 0.0)


class Strips:
    """Points ``(n, 2)`` sorted into vertical strips with equal numbers of points, and by height within each strip.

    The points of a strip between two heights are contiguous, so two binary searches find them.
    """

    def __init__(self, points: np.ndarray) -> None:
        across = np.argsort(points[:, 0], kind="stable")
        self._across = points[across, 0]
        self._knots = np.unique(np.quantile(points[:, 1], np.linspace(0, 1, KNOTS + 1)))
        strip = np.arange(len(points)) // STRIP
        self.order = across[np.lexsort((points[across, 1], strip))]
        self.x, self.y = points[self.order].T.copy()
        self._keys = strip + self._within(self.y)
        self._left = self._across[::STRIP]
        self._right = np.append(self._across[STRIP - 1 :: STRIP], self._across[-1])[: len(self._left)]

    def _within(self, y: np.ndarray) -> np.ndarray:
        """Return heights mapped to ranks in [1/4, 3/4], which is robust to outliers."""
        return np.interp(y, self._knots, np.linspace(0.25, 0.75, len(self._knots)))

    def between(self, strip: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the start in ``order`` and the number of the points of each ``strip`` from ``low`` to ``high``."""
        start = np.searchsorted(self._keys, strip + self._within(low) - SLACK)
        return start, np.searchsorted(self._keys, strip + self._within(high) + SLACK, side="right") - start

    def boxed(self, corners: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield indices of triangles ``(n, 3, 2)`` and of strips that have points in the triangle's bounding box."""
        low, high = corners.min(axis=1), corners.max(axis=1)
        start = np.searchsorted(self._across, low[:, 0])
        end = np.searchsorted(self._across, high[:, 0], side="right")
        kept = np.flatnonzero((end > start) & (high[:, 1] >= self._knots[0]) & (low[:, 1] <= self._knots[-1]))
        first = start[kept] // STRIP
        count = (end[kept] - 1) // STRIP - first + 1
        total = np.cumsum(count)
        parts = np.searchsorted(total, np.arange(PAIRS, total[-1] if len(total) else 0, PAIRS))
        for part in np.split(np.arange(len(kept)), np.unique(parts)):
            owner, strip = runs(first[part], count[part])
            triangle = kept[part][owner]
            _, count_inside = self.between(strip, low[triangle, 1], high[triangle, 1])
            some = count_inside > 0
            yield triangle[some], strip[some]

    def heights(self, strip: np.ndarray, corners: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the minimum and maximum height in ``strip`` ``(n,)`` of triangles of 3 ``corners`` ``(n, 2)``."""
        left, right = self._left[strip], self._right[strip]
        low, high = np.full(len(strip), np.inf), np.full(len(strip), -np.inf)
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            run, rise = b[:, 0] - a[:, 0], b[:, 1] - a[:, 1]
            # Both ends of a vertical edge are ends of other edges as well.
            inverse = np.where(np.abs(run) < TINY, 0.0, 1 / np.where(np.abs(run) < TINY, 1.0, run))
            enters, leaves = (np.clip((side - a[:, 0]) * inverse, 0, 1) for side in (left, right))
            outside = (np.maximum(a[:, 0], b[:, 0]) < left) | (np.minimum(a[:, 0], b[:, 0]) > right)
            ends = a[:, 1] + enters * rise, a[:, 1] + leaves * rise
            low = np.minimum(low, np.where(outside, np.inf, np.minimum(*ends)))
            high = np.maximum(high, np.where(outside, -np.inf, np.maximum(*ends)))
        return low, high


def runs(start: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return i and j for every j in the runs ``start[i], start[i] + 1, ...`` of ``count[i]`` integers."""
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) - (np.cumsum(count) - count - start)[owner]


def hits(
    strips: Strips, corners: np.ndarray, slack: float = 0.0
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the points in each triangle: indices of point and triangle, and the point's two coordinates in it.

    Args:
        strips: the points.
        corners: ``(n, 3, 2)``; degenerate triangles contain no points.
        slack: tolerance for points outside, relative to the triangle's size.
    """
    for first in range(0, len(corners), BLOCK):
        block = corners[first : first + BLOCK]
        for triangle, strip in strips.boxed(block):
            a, b, c = (block[triangle, k] for k in range(3))
            low, high = strips.heights(strip, [a, b, c])
            start, count = strips.between(strip, low, high)
            some = np.flatnonzero((count > 0) & (low <= high))
            origin, right, up = a[some], (b - a)[some], (c - a)[some]
            area = right[:, 0] * up[:, 1] - right[:, 1] * up[:, 0]
            inverse = 1 / np.where(np.abs(area) < TINY, 1.0, area)
            owner, place = runs(start[some], np.where(np.abs(area) < TINY, 0, count[some]))
            x, y = strips.x[place] - origin[owner, 0], strips.y[place] - origin[owner, 1]
            u = x * (up[:, 1] * inverse)[owner] - y * (up[:, 0] * inverse)[owner]
            w = y * (right[:, 0] * inverse)[owner] - x * (right[:, 1] * inverse)[owner]
            held = np.flatnonzero((u >= -slack) & (w >= -slack) & (u + w <= 1 + slack))
            yield strips.order[place[held]], first + triangle[some[owner[held]]], u[held], w[held]


def inside(corners: np.ndarray, u: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return the points ``(n, 2)`` with coordinates ``u`` and ``w`` ``(n,)`` in triangles ``(n, 3, 2)``."""
    a, b, c = (corners[:, k] for k in range(3))
    return a + u[:, None] * (b - a) + w[:, None] * (c - a)


def coordinates(corners: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of ``points`` ``(n, 2)`` in triangles ``(n, 3, 2)``; (0, 0) is the first corner."""
    a, b, c = (corners[:, k] for k in range(3))
    right, up, (x, y) = b - a, c - a, (points - a).T
    area = right[:, 0] * up[:, 1] - right[:, 1] * up[:, 0]
    return (x * up[:, 1] - y * up[:, 0]) / area, (y * right[:, 0] - x * right[:, 1]) / area
