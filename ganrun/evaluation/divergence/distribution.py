"""A distribution in a comparison, and its construction from data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ganrun.config.folders import data_folder
from ganrun.storage.array_files import HALF_RANGES

if TYPE_CHECKING:
    from ganrun.datasets import Data
    from ganrun.datasets.synthetic import Mixture
    from ganrun.evaluation.divergence.exact.plane_pieces import Rectifiers
    from ganrun.evaluation.divergence.pixel_range import Range

MAX_BYTES = 1 << 26  # of the held-out examples of a run, evenly spaced if there are more; floats take four times this
BATCH = 4096  # points drawn at once from a density: one shape, compiled once


@dataclass(frozen=True, eq=False)
class Distribution:
    """One of the two distributions in a comparison; its samples are rows of ``d`` numbers.

    Attributes:
        label: as the user gave it, made printable.
        shape: of one example.
        rows: a finite set of samples, float32 or float64 ``(n, d)``.
        draw: ``draw(n, seed)`` returns fresh samples ``(n, d)`` float32, for any n. The same seed gives the same rows,
            and two distributions may share a source of noise: draw A and B with different seeds.
        density: the density of ``draw``'s samples, if known.
        push: a run's generator, in float32: latents ``(n, latent_dim)`` to samples ``(n, d)`` float32.
        prior: of the latents: ``normal``, or ``uniform`` on [-1, 1].
        latent_dim: dimension of the latents; 0 if there is no generator.
        rank: upper bound on the dimension of the generator's range; 0 if unknown.
        log_density: the exact log density of ``draw``'s samples, if a model computes it: points ``(n, d)`` to nats,
            float64 ``(n,)``.
        layers: the generator's layers, if it is a piecewise linear map from the plane to the plane.
        training: the run's training set ``(n, d)``, if it is finite and available.
        held_out: the examples ``(n, d)`` held out from training.
        span: the pixel range of images, if known; always known for runs and datasets.
        notes: how the samples were interpreted, if the user should know; each becomes a warning.
        about: a short description of the distribution.
    """

    label: str
    shape: tuple[int, ...]
    rows: np.ndarray | None = None
    draw: Callable[[int, int], np.ndarray] | None = None
    density: Mixture | None = None
    push: Callable[[np.ndarray], np.ndarray] | None = None
    prior: str = "normal"
    latent_dim: int = 0
    rank: int = 0
    log_density: Callable[[np.ndarray], np.ndarray] | None = None
    layers: Rectifiers | None = None
    training: np.ndarray | None = None
    held_out: np.ndarray | None = None
    span: Range | None = None
    notes: tuple[str, ...] = ()
    about: str = ""

    @property
    def d(self) -> int:
        """The number of dimensions of one example, flattened."""
        return math.prod(self.shape)

    @property
    def is_singular(self) -> bool:
        """Whether the samples lie on a set of measure zero, so that the model has no density."""
        return min(self.rank or self.d, self.latent_dim or self.d) < self.d


def data_distribution(label: str, data: Data) -> Distribution:
    """Return a run's data as a distribution: the known density, or the images held out from training."""
    if data.density is not None:
        return Distribution(label, data.shape, draw=drawing(data.density), density=data.density)
    from ganrun.datasets.rows import spaced  # its package imports JAX

    flat = getattr(data.held_out, "flat", None)
    rows = None if flat is None else to_unit_range(np.asarray(flat[spaced(flat, MAX_BYTES)]))
    return Distribution(label, data.shape, rows=rows)


def load_images(option: Any, data_dir: str | None) -> Any:
    """Return the splits of the image dataset ``option`` from disk; raise :class:`ConfigError` if they are missing."""
    if hasattr(option, "download"):
        option = dataclasses.replace(option, download=False)  # a comparison downloads nothing
    return option.load(data_folder(data_dir))


def drawing(density: Mixture) -> Callable[[int, int], np.ndarray]:
    """Return ``draw(n, seed)`` of ``density``; sample i depends only on the seed and i."""
    import jax

    from ganrun.datasets.sampler import Cursor

    draw_batch = jax.jit(lambda key: density.minibatch(key, Cursor.start(), BATCH)[0])

    def draw(n: int, seed: int) -> np.ndarray:
        key = jax.random.key(np.uint32(seed & 0xFFFFFFFF))
        starts = range(0, n, BATCH)
        return np.concatenate([np.asarray(draw_batch(jax.random.fold_in(key, start))) for start in starts])[:n]

    return draw


def to_unit_range(pixels: np.ndarray) -> np.ndarray:
    """Map bytes 0...255, or 16-bit levels, to float32 in [-1, 1] on the host; other numbers are not changed."""
    half = HALF_RANGES.get(pixels.dtype.name)
    return pixels if half is None else pixels.astype(np.float32) / np.float32(half) - np.float32(1.0)
