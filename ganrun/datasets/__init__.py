"""What the generator imitates: synthetic densities and images, each with a training and a held-out split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.datasets import images, point, synthetic
from ganrun.datasets.sampler import Pixels, Source

__all__ = ["Data", "images", "load", "point", "reordered", "synthetic"]


@dataclass(frozen=True)
class Data:
    """A dataset on the device.

    Attributes:
        train: what Algorithm 1 draws its minibatches from (None where nothing is trained).
        held_out: the same kind of source, never trained on.
        shape: of one example: ``(dim,)`` or ``(height, width, channel)``.
        density: the known density, where there is one.
        classes: how many labels its sources tell apart; 0 where they have none or none were asked for.
    """

    train: Source | None
    held_out: Source | None
    shape: tuple[int, ...]
    density: synthetic.Mixture | None
    classes: int = 0


def load(option: Any, folder: Path, seed: int, labels: bool = False) -> Data:
    """Bring the dataset ``option`` onto the device; ``folder`` holds one folder per dataset of files.

    An option with a ``density`` is a known one, an option with a ``source`` has no end and no density, and any other
    is a finite set that ``load`` reads. A finite set has its labels only where ``labels`` asks for them.

    Raises:
        ConfigError: files are missing, damaged, or not what they claim to be.
    """
    if hasattr(option, "density"):
        density = option.density()
        return Data(train=density, held_out=density, shape=option.shape, density=density, classes=density.classes)
    if hasattr(option, "source"):
        source = option.source()
        return Data(train=source, held_out=source, shape=option.shape, density=None, classes=source.classes)
    arrays = option.load(folder, labels=labels)
    order = jax.random.key_data(jax.random.key(seed))
    classes = option.classes if labels else 0

    def pixels(flat: np.ndarray, targets: np.ndarray | None) -> Pixels:
        on_device = None if targets is None else jnp.asarray(targets)
        return Pixels(jnp.asarray(flat), order, arrays.shape, on_device, classes)

    return Data(
        train=pixels(arrays.train, arrays.train_labels),
        held_out=pixels(arrays.held_out, arrays.held_out_labels),
        shape=arrays.shape,
        density=None,
        classes=classes,
    )


def reordered(data: Data, seed: int) -> Data:
    """Return the finite set ``data`` in the order of another ``seed``; the examples themselves are not copied.

    Data without end has no order, and comes back as it is.
    """
    order = jax.random.key_data(jax.random.key(seed))

    def turned(part: Source | None) -> Source | None:
        return replace(part, order=order) if isinstance(part, Pixels) else part

    return replace(data, train=turned(data.train), held_out=turned(data.held_out))
