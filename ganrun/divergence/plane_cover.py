"""Points in the plane and the triangles that hold them, where triangles differ in size and lie upon each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

STRIP = 256  # points in a strip
BLOCK = 2**15  # triangles looked at together
PAIRS = 2**18  # of triangles and strips looked at together
KNOTS = 512  # at which heights are ranked
SLACK = 1e-9  # of all ranks that a search looks further up and down: far more than rounding
TINY = 1e-30  # what is smaller counts as 0


@dataclass(frozen=True)
class Triangles:
    """A cut-up prior: triangles of latents, and of the images of their corners, ``(n, 3, 2)`` each.

    Attributes:
        latents: corners in the latent plane.
        images: corners in the data's plane; a triangle is mapped linearly onto its image.
        precision: of the images' coordinates, as a part of them.
    """

    latents: np.ndarray
    images: np.ndarray
    precision: float


def doubled_areas(corners: np.ndarray) -> np.ndarray:
    """Return twice the area ``(n,)`` of triangles ``(n, 3, 2)``, negative where they turn clockwise."""
    x, y = corners[..., 0], corners[..., 1]
    return (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])


def stretch(triangles: Triangles) -> np.ndarray:
    """Return by how much images are larger than their latents, ``(n,)``; 0 where rounding may be all they have."""
    area, latent = np.abs(doubled_areas(triangles.images)), np.abs(doubled_areas(triangles.latents))
    size, extent = np.abs(triangles.images).max(axis=1), np.ptp(triangles.images, axis=1)
    rounding = triangles.precision * (size * extent[:, ::-1]).sum(axis=1)
    return np.where(area > rounding, area / np.maximum(latent, TINY), 0.0)


class Strips:
    """Points ``(n, 2)`` sorted into strips, each as many points from left to right, and upwards within a strip.

    The points of a strip between two heights follow each other, so they are found by two searches.
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
        """Return heights by rank, between 1/4 and 3/4: a few points may be very far from the others."""
        return np.interp(y, self._knots, np.linspace(0.25, 0.75, len(self._knots)))

    def between(self, strip: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the points of each ``strip`` from ``low`` to ``high`` begin in ``order``, and how many."""
        start = np.searchsorted(self._keys, strip + self._within(low) - SLACK)
        return start, np.searchsorted(self._keys, strip + self._within(high) + SLACK, side="right") - start

    def boxed(self, corners: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield triangles ``(n, 3, 2)`` by number and strips, where a strip has points in a triangle's bounding box."""
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
            _, found = self.between(strip, low[triangle, 1], high[triangle, 1])
            some = found > 0
            yield triangle[some], strip[some]

    def heights(self, strip: np.ndarray, corners: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return between which heights the triangle of three ``corners`` ``(n, 2)`` lies in ``strip`` ``(n,)``."""
        left, right = self._left[strip], self._right[strip]
        low, high = np.full(len(strip), np.inf), np.full(len(strip), -np.inf)
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            run, rise = b[:, 0] - a[:, 0], b[:, 1] - a[:, 1]
            # Both ends of an upright edge are ends of other edges as well.
            inverse = np.where(np.abs(run) < TINY, 0.0, 1 / np.where(np.abs(run) < TINY, 1.0, run))
            enters, leaves = (np.clip((side - a[:, 0]) * inverse, 0, 1) for side in (left, right))
            beside = (np.maximum(a[:, 0], b[:, 0]) < left) | (np.minimum(a[:, 0], b[:, 0]) > right)
            ends = a[:, 1] + enters * rise, a[:, 1] + leaves * rise
            low = np.minimum(low, np.where(beside, np.inf, np.minimum(*ends)))
            high = np.maximum(high, np.where(beside, -np.inf, np.maximum(*ends)))
        return low, high


def runs(start: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for every number of the runs ``start[i], start[i] + 1, ...`` (``count[i]`` of them) i and the number."""
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(len(owner)) - (np.cumsum(count) - count - start)[owner]


def hits(
    strips: Strips, corners: np.ndarray, slack: float = 0.0
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield every point in every triangle: numbers of point and triangle, and the point's two coordinates in it.

    Args:
        strips: the points.
        corners: ``(n, 3, 2)``; triangles that are lines or points hold nothing.
        slack: how far outside a point may be, as a part of the triangle's size.
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
    """Return the points ``(n, 2)`` that have coordinates ``u`` and ``w`` ``(n,)`` in triangles ``(n, 3, 2)``."""
    a, b, c = (corners[:, k] for k in range(3))
    return a + u[:, None] * (b - a) + w[:, None] * (c - a)


def coordinates(corners: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates in triangles ``(n, 3, 2)`` of ``points`` ``(n, 2)``: 0 and 0 at the first corner."""
    a, b, c = (corners[:, k] for k in range(3))
    right, up, (x, y) = b - a, c - a, (points - a).T
    area = right[:, 0] * up[:, 1] - right[:, 1] * up[:, 0]
    return (x * up[:, 1] - y * up[:, 0]) / area, (y * right[:, 0] - x * right[:, 1]) / area
