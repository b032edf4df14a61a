"""The linear pieces of a network of dense layers and (leaky) rectifiers on the plane.

Such a network is linear on convex pieces of the latent plane, computed layer by layer: a layer is linear on the pieces
of the previous layers, so the sign of each unit changes along a line there (Montufar et al. 2014, section 2).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganrun.architectures.maxout import MaxoutGenerator
from ganrun.architectures.mlp import MlpGenerator
from ganrun.evaluation.divergence.exact.plane_cover import Triangles, doubled_areas

NORM_EPSILON = 1e-5  # of Flax's and ganrun's batch normalisation
BLOCK = 2**20  # pieces times units per block
PRECISION = 1e-12  # relative precision of images
SLIVER = 1e-9  # a piece is not cut if less than this share of it would lie on one side


@dataclass(frozen=True)
class Rectifiers:
    """Dense layers, each but the last followed by max(x, slope * x).

    Attributes:
        layers: kernel ``(inputs, outputs)`` and bias ``(outputs,)`` of each.
        slope: for negative inputs; 0 for ReLU.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    slope: float


def rectifiers(generator: Any, variables: Any) -> Rectifiers | None:
    """Return ``generator`` with ``variables`` as dense layers in double precision; None if it is not of that form."""
    known = isinstance(generator, (MlpGenerator, MaxoutGenerator)) and not generator.classes
    if not known or len(generator.shape) != 1:
        return None
    layers = []
    for index in range(len(generator.hidden) + 1):
        dense = variables["params"][f"Dense_{index}"]
        kernel, bias = np.asarray(dense["kernel"], np.float64), np.asarray(dense["bias"], np.float64)
        if isinstance(generator, MlpGenerator) and generator.batch_norm and 0 < index < len(generator.hidden):
            name = f"BatchNorm_{index - 1}"
            norm, statistics = (
                {k: np.asarray(v, np.float64) for k, v in variables[part][name].items()} for part in NORM
            )
            scale = norm["scale"] / np.sqrt(statistics["var"] + NORM_EPSILON)
            kernel, bias = kernel * scale, (bias - statistics["mean"]) * scale + norm["bias"]
        layers.append((kernel, bias))
    return Rectifiers(tuple(layers), generator.slope if isinstance(generator, MlpGenerator) else 0.0)


NORM = ("params", "batch_stats")


@dataclass(frozen=True)
class _Pieces:
    """Convex pieces: corners ``(n, corners, 2)``, padded with the last one, and maps ``(n, 3, units)`` of (z, 1)."""

    corners: np.ndarray
    maps: np.ndarray

    def values(self) -> np.ndarray:
        """Return the value of each unit at each corner, ``(n, corners, units)``."""
        return self.corners @ self.maps[:, :2] + self.maps[:, 2:]


@dataclass(frozen=True)
class _Cut:
    """Pieces that one layer is linear on, of which the maps of its units would take too much memory all at once.

    Attributes:
        corners: of the pieces, as of :class:`_Pieces`.
        parent: the number of the piece of ``maps`` that each is a part of.
        maps: of the units before they are rectified.
        slope: of the rectifiers for negative inputs.
    """

    corners: np.ndarray
    parent: np.ndarray
    maps: np.ndarray
    slope: float

    def part(self, index: slice) -> _Cut:
        return _Cut(self.corners[index], self.parent[index], self.maps, self.slope)

    def rectified(self) -> _Pieces:
        """Return the pieces with the maps of the rectified units."""
        maps, within = self.maps[self.parent], self.corners.mean(axis=1)
        value = maps[:, 2] + within[:, :1] * maps[:, 0] + within[:, 1:] * maps[:, 1]
        return _Pieces(self.corners, maps * np.where(value > 0, 1.0, self.slope)[:, None])


def linear_triangles(network: Rectifiers, ends: Sequence[float], max_triangles: int) -> Triangles | None:
    """Triangulate a square of latents and the frames around it into triangles on which ``network`` is linear.

    Args:
        network: the layers.
        ends: the square is [-ends[0], ends[0]]^2, the frame around it reaches to ends[1], and so on. Each frame starts
            as four pieces, so that tolerances relative to a piece's size suit its distance from 0.
        max_triangles: the maximum number of triangles.

    Returns:
        The triangles, or None if there were more than ``max_triangles``.

    Raises:
        ValueError: the weights are not finite.
    """
    if not all(np.isfinite(part).all() for layer in network.layers for part in layer):
        raise ValueError("the network's weights are not finite.")
    start = _frames(ends)
    identity = np.repeat(np.eye(3)[None, :, :2], len(start), axis=0)
    waiting = [(0, _Cut(start, np.arange(len(start)), identity, slope=1.0))]
    latents, images, count = [], [], 0
    while waiting:
        depth, rest = waiting.pop()
        pieces = rest.rectified()
        kernel, bias = network.layers[depth]
        maps = (pieces.maps.reshape(-1, len(kernel)) @ kernel).reshape(-1, 3, len(bias))
        maps[:, 2] += bias
        pieces = _Pieces(pieces.corners, maps)
        if depth == len(network.layers) - 1:
            latent, image = _fan(pieces.corners), _fan(pieces.values())
            kept = doubled_areas(latent) != 0
            latents.append(latent[kept])
            images.append(image[kept])
            count += len(latents[-1])
            if count > max_triangles:
                return None
            continue
        cut = _cut(pieces, network.slope, max_triangles - count)  # every piece has a triangle at least
        if cut is None:
            return None
        size = max(64, BLOCK // len(bias))
        waiting += [(depth + 1, cut.part(slice(i, i + size))) for i in range(0, len(cut.corners), size)]
    return Triangles(np.concatenate(latents), np.concatenate(images), PRECISION)


def _frames(ends: Sequence[float]) -> np.ndarray:
    """Return the square and four trapezoids per frame, ``(n, 4, 2)``, all counter-clockwise."""
    unit = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    following = np.roll(unit, -1, axis=0)
    frames = [
        np.stack([far * unit, far * following, near * following, near * unit], axis=1)
        for near, far in itertools.pairwise(ends)
    ]
    return np.concatenate([ends[0] * unit[None], *frames])


def _fan(corners: np.ndarray) -> np.ndarray:
    """Return the triangle fans ``(n, 3, 2)`` of convex pieces ``(m, corners, 2)``, including degenerate triangles."""
    first = np.broadcast_to(corners[:, :1], corners[:, 2:].shape)
    return np.stack([first, corners[:, 1:-1], corners[:, 2:]], axis=2).reshape(-1, 3, 2)


def _cut(pieces: _Pieces, slope: float, most: int) -> _Cut | None:
    """Cut ``pieces`` along the zeros of each unit; return None as soon as there are more than ``most``."""
    crossed = _crossed(pieces.values())
    corners, parent = pieces.corners, np.arange(len(crossed))
    for unit in np.flatnonzero(crossed.any(axis=0)):
        cut = np.flatnonzero(crossed[parent, unit])
        maps = pieces.maps[parent[cut], :, unit]
        value = np.einsum("ncd,nd->nc", corners[cut], maps[:, :2]) + maps[:, 2:]
        is_crossed = _crossed(value)
        cut, value = cut[is_crossed], value[is_crossed]
        # Both halves at once: the time depends on the number of calls, not of pieces.
        halves = _side(np.concatenate([corners[cut]] * 2), np.concatenate([value, -value]))
        width = max(corners.shape[1], halves.shape[1])
        corners, halves = _padded(corners, width), _padded(halves, width)
        corners[cut] = halves[: len(cut)]
        corners, parent = np.concatenate([corners, halves[len(cut) :]]), np.concatenate([parent, parent[cut]])
        if len(corners) > most:
            return None
    return _Cut(corners, parent, pieces.maps, slope)


def _crossed(value: np.ndarray) -> np.ndarray:
    """Return whether ``value`` ``(n, corners, ...)`` is clearly positive at one corner and negative at another."""
    low, high = value.min(axis=1), value.max(axis=1)
    return np.minimum(high, -low) > SLIVER * (high - low)


def _side(corners: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return the part of convex pieces ``(n, corners, 2)`` where the linear ``value`` ``(n, corners)`` is positive."""
    following, following_value = np.roll(corners, -1, axis=1), np.roll(value, -1, axis=1)
    changes = value * following_value < 0
    fraction = np.where(changes, value, 0.0) / np.where(changes, value - following_value, 1.0)
    n, width = value.shape
    points, kept = np.empty((n, 2 * width, 2)), np.empty((n, 2 * width), bool)
    points[:, ::2], points[:, 1::2] = corners, corners + fraction[..., None] * (following - corners)
    kept[:, ::2], kept[:, 1::2] = (value >= 0) & (corners != following).any(axis=2), changes
    count = kept.sum(axis=1)
    order = np.argsort(~kept, axis=1, kind="stable")
    last = np.minimum(np.arange(count.max(initial=1)), np.maximum(count, 1)[:, None] - 1)
    return np.take_along_axis(points, np.take_along_axis(order, last, axis=1)[..., None], axis=1)


def _padded(corners: np.ndarray, width: int) -> np.ndarray:
    missing = width - corners.shape[1]
    return np.concatenate([corners, np.repeat(corners[:, -1:], missing, axis=1)], axis=1) if missing else corners
