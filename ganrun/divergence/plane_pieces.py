"""The linear pieces of a network of dense layers and (leaky) rectifiers on the plane.

Such a network is linear on convex pieces of the latent plane, which its units cut out one after the other: each layer
is linear on the pieces of the layers before, so a unit's sign changes on a line (Montufar et al. 2014, section 2).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganrun.architectures.maxout import MaxoutGenerator
from ganrun.architectures.mlp import MlpGenerator
from ganrun.divergence.plane_cover import Triangles, doubled_areas

NORM_EPSILON = 1e-5  # of flax's and our batch normalisation
BLOCK = 2**20  # pieces times units that are cut together
PRECISION = 1e-12  # of images
SLIVER = 1e-9  # of a piece: a cut that leaves less on one side is not made


@dataclass(frozen=True)
class Rectifiers:
    """Dense layers, each but the last followed by max(x, slope * x).

    Attributes:
        layers: kernel ``(inputs, outputs)`` and bias ``(outputs,)`` of each.
        slope: of negative numbers; 0 for ReLU.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    slope: float


def rectifiers(generator: Any, variables: Any) -> Rectifiers | None:
    """Return ``generator`` with ``variables`` as plain layers, in double precision; None where it is something else."""
    known = isinstance(generator, (MlpGenerator, MaxoutGenerator)) and not generator.classes
    if not known or len(generator.shape) != 1:
        return None
    layers = []
    for index in range(len(generator.hidden) + 1):
        dense = variables["params"][f"Dense_{index}"]
        kernel, bias = np.asarray(dense["kernel"], np.float64), np.asarray(dense["bias"], np.float64)
        if isinstance(generator, MlpGenerator) and generator.batch_norm and 0 < index < len(generator.hidden):
            name = f"BatchNorm_{index - 1}"
            norm, seen = ({k: np.asarray(v, np.float64) for k, v in variables[part][name].items()} for part in NORM)
            scale = norm["scale"] / np.sqrt(seen["var"] + NORM_EPSILON)
            kernel, bias = kernel * scale, (bias - seen["mean"]) * scale + norm["bias"]
        layers.append((kernel, bias))
    return Rectifiers(tuple(layers), generator.slope if isinstance(generator, MlpGenerator) else 0.0)


NORM = ("params", "batch_stats")


@dataclass(frozen=True)
class _Pieces:
    """Convex pieces: corners ``(n, corners, 2)``, the last one repeated, and the map ``(n, 3, units)`` of (z, 1)."""

    corners: np.ndarray
    maps: np.ndarray

    def take(self, index: np.ndarray | slice) -> _Pieces:
        return _Pieces(self.corners[index], self.maps[index])

    def values(self) -> np.ndarray:
        """Return what each unit gives at each corner, ``(n, corners, units)``."""
        return self.corners @ self.maps[:, :2] + self.maps[:, 2:]


def linear_triangles(network: Rectifiers, ends: Sequence[float], most: int) -> Triangles | None:
    """Cut a square of latents, and the frames around it, into triangles on which ``network`` is linear.

    Args:
        network: the layers.
        ends: the square reaches from -ends[0] to ends[0] along both axes, the frame around it to ends[1], and so on.
            Each frame starts as four pieces, so that what is negligible at its size is so at its distance from 0.
        most: triangles.

    Returns:
        The triangles, or None where there would be more than ``most``.

    Raises:
        ValueError: weights are not finite.
    """
    if not all(np.isfinite(part).all() for layer in network.layers for part in layer):
        raise ValueError("the network's weights are not finite.")
    start = _frames(ends)
    waiting = [(0, _Pieces(start, np.repeat(np.eye(3)[None, :, :2], len(start), axis=0)))]
    latents, images, count = [], [], 0
    while waiting:
        depth, pieces = waiting.pop()
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
            if count > most:
                return None
            continue
        pieces, size = _cut(pieces, network.slope), max(64, BLOCK // len(bias))
        waiting += [(depth + 1, pieces.take(slice(i, i + size))) for i in range(0, len(pieces.corners), size)]
    return Triangles(np.concatenate(latents), np.concatenate(images), PRECISION)


def _frames(ends: Sequence[float]) -> np.ndarray:
    """Return the square and four trapezoids for each frame around it, ``(n, 4, 2)``, all counter-clockwise."""
    unit = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    following = np.roll(unit, -1, axis=0)
    frames = [
        np.stack([far * unit, far * following, near * following, near * unit], axis=1)
        for near, far in itertools.pairwise(ends)
    ]
    return np.concatenate([ends[0] * unit[None], *frames])


def _fan(corners: np.ndarray) -> np.ndarray:
    """Return the triangles ``(n, 3, 2)`` of convex pieces ``(m, corners, 2)``, among them empty ones."""
    first = np.broadcast_to(corners[:, :1], corners[:, 2:].shape)
    return np.stack([first, corners[:, 1:-1], corners[:, 2:]], axis=2).reshape(-1, 3, 2)


def _cut(pieces: _Pieces, slope: float) -> _Pieces:
    """Cut ``pieces`` where a unit is 0, and rectify the units."""
    crossed = _crossed(pieces.values())
    corners, parent = pieces.corners, np.arange(len(crossed))
    for unit in np.flatnonzero(crossed.any(axis=0)):
        some = np.flatnonzero(crossed[parent, unit])
        maps = pieces.maps[parent[some], :, unit]
        value = np.einsum("ncd,nd->nc", corners[some], maps[:, :2]) + maps[:, 2:]
        still = _crossed(value)
        some, value = some[still], value[still]
        # Both sides at once: what takes time here is the number of calls, not of pieces.
        halves = _side(np.concatenate([corners[some]] * 2), np.concatenate([value, -value]))
        width = max(corners.shape[1], halves.shape[1])
        corners, halves = _padded(corners, width), _padded(halves, width)
        corners[some] = halves[: len(some)]
        corners, parent = np.concatenate([corners, halves[len(some) :]]), np.concatenate([parent, parent[some]])
    maps = pieces.maps[parent]
    within = corners.mean(axis=1)
    value = maps[:, 2] + within[:, :1] * maps[:, 0] + within[:, 1:] * maps[:, 1]
    return _Pieces(corners, maps * np.where(value > 0, 1.0, slope)[:, None])


def _crossed(value: np.ndarray) -> np.ndarray:
    """Return whether ``value`` ``(n, corners, ...)`` is well above 0 at one corner and well below at another."""
    low, high = value.min(axis=1), value.max(axis=1)
    return np.minimum(high, -low) > SLIVER * (high - low)


def _side(corners: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return the part of convex pieces ``(n, corners, 2)`` where ``value`` ``(n, corners)``, linear on each, is > 0."""
    following, other = np.roll(corners, -1, axis=1), np.roll(value, -1, axis=1)
    changes = value * other < 0
    way = np.where(changes, value, 0.0) / np.where(changes, value - other, 1.0)
    n, width = value.shape
    points, kept = np.empty((n, 2 * width, 2)), np.empty((n, 2 * width), bool)
    points[:, ::2], points[:, 1::2] = corners, corners + way[..., None] * (following - corners)
    kept[:, ::2], kept[:, 1::2] = (value >= 0) & (corners != following).any(axis=2), changes
    count = kept.sum(axis=1)
    order = np.argsort(~kept, axis=1, kind="stable")
    last = np.minimum(np.arange(count.max(initial=1)), np.maximum(count, 1)[:, None] - 1)
    return np.take_along_axis(points, np.take_along_axis(order, last, axis=1)[..., None], axis=1)


def _padded(corners: np.ndarray, width: int) -> np.ndarray:
    missing = width - corners.shape[1]
    return np.concatenate([corners, np.repeat(corners[:, -1:], missing, axis=1)], axis=1) if missing else corners
