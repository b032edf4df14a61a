"""A triangulated grid of latents and their images under a generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from ganrun.evaluation.divergence.exact.plane_cover import Triangles

END = {"normal": 6.0, "uniform": 1.0}  # half width of the square of latents; 4e-9 of the normal prior lies beyond
# The normal prior is unbounded: frames around the square reach to 1e8, denser where generators may still be nonlinear.
FRAMES = {"normal": (6.0, 8.0, 10.5, 14.0, 20.0, 30.0, 60.0, 250.0, 5e3, 1e6, 1e8), "uniform": (1.0,)}
SPREAD = 3.0**0.5  # std of the normal that the nodes' density follows: optimal for second-order errors
PRECISION = 2.0**-23  # of float32

Push = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Grid:
    """Nodes of a square grid in the latent plane and their images.

    Attributes:
        axis: the coordinates of the nodes along each axis, ``(n,)``.
        images: of the nodes, ``(n, n, 2)``.
        around: the nodes on the outline and farther out along the same rays, ``(frames, 4 n - 4, 2)``.
        around_images: the images of ``around``; not finite where the generator overflows.
    """

    axis: np.ndarray
    images: np.ndarray
    around: np.ndarray
    around_images: np.ndarray

    @classmethod
    def through(cls, push: Push, prior: str, nodes: int) -> Grid:
        """Push a grid of about ``nodes`` nodes per axis (rounded to 4 k + 1) through a generator."""
        end, count = END[prior], nodes // 4 * 4 + 1
        if prior == "uniform":
            axis = np.linspace(-end, end, count)
        else:
            last = ndtr(-end / SPREAD)
            axis = SPREAD * ndtri(np.linspace(last, 1 - last, count))
        # The generator's input is float32, so the prior's mass has to be that between float32 nodes.
        axis = axis.astype(np.float32).astype(np.float64)
        images = pushed(push, _square(axis).reshape(-1, 2)).reshape(count, count, 2)
        outline = _outline(_square(axis))
        factors = np.array(FRAMES[prior])[1:, None, None] / end
        beyond = (factors * outline).astype(np.float32).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            far = _images(push, beyond.reshape(-1, 2)).reshape(beyond.shape)
        return cls(
            axis,
            images,
            np.concatenate([outline[None], beyond]),
            np.concatenate([_outline(images)[None], far]),
        )

    def every(self, step: int) -> Grid:
        """Return the grid of every ``step``-th node."""
        return Grid(
            self.axis[::step], self.images[::step, ::step], self.around[:, ::step], self.around_images[:, ::step]
        )

    def triangles(self) -> Triangles:
        """Return two triangles per cell: the lower left ones of all cells, then the others, then those of the frames.

        Triangles of frames with images that are not finite are left out.
        """
        latents, images = (_halves(_closed(part)) for part in (self.around, self.around_images))
        kept = np.isfinite(images).all(axis=(1, 2))
        return Triangles(
            np.concatenate([_halves(_square(self.axis)), latents[kept]]),
            np.concatenate([_halves(self.images), images[kept]]),
            PRECISION,
        )

    def owners(self, latents: np.ndarray) -> np.ndarray:
        """Return the index of the triangle that contains each of ``latents`` ``(n, 2)``."""
        cells = len(self.axis) - 1
        cell = np.clip(np.searchsorted(self.axis, latents, side="right") - 1, 0, cells - 1)
        part = ((latents - self.axis[cell]) / (self.axis[cell + 1] - self.axis[cell])).sum(axis=1)
        return (cell[:, 0] + (part > 1) * cells) * cells + cell[:, 1]


def pushed(push: Push, latents: np.ndarray) -> np.ndarray:
    """Return the images of ``latents``, ``(n, 2)`` both; raise ValueError for another shape, NaN or Inf."""
    images = _images(push, latents)
    if not np.isfinite(images).all():
        raise ValueError("the generator returned numbers that are not finite.")
    return images


def _images(push: Push, latents: np.ndarray) -> np.ndarray:
    if not len(latents):
        return latents
    images = np.asarray(push(latents.astype(np.float32)))
    if images.shape != latents.shape:
        raise ValueError(f"the generator returned shape {images.shape} for {latents.shape} numbers; need the same.")
    return images.astype(np.float64)


def _square(axis: np.ndarray) -> np.ndarray:
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)


def _outline(nodes: np.ndarray) -> np.ndarray:
    """Return the boundary of ``nodes`` ``(n, n, 2)`` in order around the square, ``(4 n - 4, 2)``."""
    return np.concatenate([nodes[:-1, 0], nodes[-1, :-1], nodes[:0:-1, -1], nodes[0, :0:-1]])


def _closed(around: np.ndarray) -> np.ndarray:
    return np.concatenate([around, around[:, :1]], axis=1)


def _halves(nodes: np.ndarray) -> np.ndarray:
    corner, right, up, opposite = nodes[:-1, :-1], nodes[1:, :-1], nodes[:-1, 1:], nodes[1:, 1:]
    halves = [np.stack(three, axis=2).reshape(-1, 3, 2) for three in ((corner, right, up), (opposite, up, right))]
    return np.concatenate(halves)
