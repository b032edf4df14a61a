"""What the generator imitates: synthetic densities and images, each with a training and a held-out split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.datasets import images, synthetic
from ganrun.datasets.sampler import Pixels, Source

__all__ = ["Data", "images", "load", "synthetic"]


@dataclass(frozen=True)
class Data:
    """A dataset on the device.

    Attributes:
        train: what Algorithm 1 draws its minibatches from (None where nothing is trained).
        held_out: the same kind of source, never trained on.
        shape: of one example: ``(dim,)`` or ``(height, width, channel)``.
        density: the known density, where there is one.
    """

    train: Source | None
    held_out: Source | None
    shape: tuple[int, ...]
    density: synthetic.Mixture | None


def load(option: Any, folder: Path, seed: int) -> Data:
    """Bring the dataset ``option`` onto the device; ``folder`` holds one folder per dataset of files.

    Raises:
        ConfigError: files are missing, damaged, or not what they claim to be.
    """
    if hasattr(option, "density"):
        density = option.density()
        return Data(train=density, held_out=density, shape=option.shape, density=density)
    arrays = option.load(folder)
    order = jax.random.key_data(jax.random.key(seed))
    return Data(
        train=_pixels(arrays.train, order, arrays.shape),
        held_out=_pixels(arrays.held_out, order, arrays.shape),
        shape=arrays.shape,
        density=None,
    )


def reordered(data: Data, seed: int) -> Data:
    """Return the finite set ``data`` in the order of another ``seed``; the examples themselves are not copied."""
    order = jax.random.key_data(jax.random.key(seed))
    train, held_out = (replace(part, order=order) for part in (data.train, data.held_out))  # type: ignore[type-var]
    return replace(data, train=train, held_out=held_out)


def _pixels(flat: np.ndarray, order: jax.Array, shape: tuple[int, ...]) -> Pixels:
    return Pixels(flat=jnp.asarray(flat), order=order, shape=shape)
