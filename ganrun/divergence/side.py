"""One of two distributions whose divergence is asked for, and how data become one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ganrun.config import Train, data_folder

if TYPE_CHECKING:
    from ganrun.datasets import Data
    from ganrun.datasets.synthetic import Mixture
    from ganrun.divergence.pixel_range import Range
    from ganrun.divergence.plane_pieces import Rectifiers

BATCH = 4096  # points drawn at once from a density: one program of one size


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two distributions whose divergence is asked for; its samples are rows of ``d`` numbers.

    Attributes:
        label: as the person gave it, made printable.
        shape: of one example.
        rows: a finite set of samples, float32 or float64 ``(n, d)``.
        draw: ``draw(n, seed)`` gives ``(n, d)`` float32, fresh samples without end. The same seed gives the same rows,
            and two sides may share a source of noise: draw A and B with different seeds.
        density: the density that ``draw`` draws from, where it is known.
        push: a run's generator: latents ``(n, latent_dim)`` to samples ``(n, d)`` float32.
        prior: of the latents: ``normal``, or ``uniform`` on [-1, 1].
        latent_dim: numbers in one latent; 0 where there is no generator.
        rank: samples of the generator lie on sets of at most this dimension; 0 where that is not known.
        layers: the generator's own layers, where it goes from the plane to the plane in linear pieces.
        training: ``(n, d)`` what the run was trained on, where that is a finite set which is at hand.
        held_out: ``(n, d)`` what was kept from its training.
        span: the range of the pixels, where the samples are images and it is known; that of runs and data sets is.
        notes: how the samples were read, where a person should know; each becomes a warning.
        about: what the label stands for, in a few words.
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
    layers: Rectifiers | None = None
    training: np.ndarray | None = None
    held_out: np.ndarray | None = None
    span: Range | None = None
    notes: tuple[str, ...] = ()
    about: str = ""

    @property
    def d(self) -> int:
        """How many numbers one example has."""
        return math.prod(self.shape)

    @property
    def is_singular(self) -> bool:
        """Whether samples lie on a set without volume, so that the model has no density."""
        return min(self.rank or self.d, self.latent_dim or self.d) < self.d


def data_side(label: str, data: Data) -> Side:
    """Return what a run imitates as a side: a known density, or the images that are held out from training."""
    if data.density is not None:
        return Side(label, data.shape, draw=drawing(data.density), density=data.density)
    flat = getattr(data.held_out, "flat", None)
    return Side(label, data.shape, rows=None if flat is None else to_unit_range(np.asarray(flat)))


def load_images(option: Any, data_dir: str | None) -> Any:
    """Return the splits of the image dataset ``option`` from disk; raise :class:`ConfigError` where they are not."""
    if hasattr(option, "download"):
        option = dataclasses.replace(option, download=False)  # to compare is no order to fetch anything
    return option.load(data_folder(Train(data_dir=data_dir)))


def drawing(density: Mixture) -> Callable[[int, int], np.ndarray]:
    """Return ``draw(n, seed)`` of ``density``: sample i depends on the seed and i alone."""
    import jax

    from ganrun.datasets.sampler import Cursor

    one = jax.jit(lambda key: density.minibatch(key, Cursor.start(), BATCH)[0])

    def draw(n: int, seed: int) -> np.ndarray:
        key = jax.random.key(np.uint32(seed & 0xFFFFFFFF))
        starts = range(0, n, BATCH)
        return np.concatenate([np.asarray(one(jax.random.fold_in(key, start))) for start in starts])[:n]

    return draw


def to_unit_range(pixels: np.ndarray) -> np.ndarray:
    """Map bytes 0...255 to float32 in [-1, 1], on the host."""
    return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1.0)
