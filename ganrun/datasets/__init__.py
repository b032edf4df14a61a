"""Datasets: synthetic densities and images, each with a training and a held-out split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.datasets import array, images, point, synthetic
from ganrun.datasets.rows import Rows, spaced
from ganrun.datasets.sampler import Pixels, Source
from ganrun.datasets.streaming import HostPixels

__all__ = [
    "HELD_OUT_BYTES",
    "Data",
    "array",
    "from_data_units",
    "images",
    "in_data_units",
    "load",
    "log_volume",
    "point",
    "reordered",
    "resolved",
    "synthetic",
]


HELD_OUT_BYTES = 1 << 27  # maximum size of the held-out examples on the device


@dataclass(frozen=True)
class Data:
    """A dataset.

    Attributes:
        train: the source of training minibatches, on the device or on the host; None if nothing is trained.
        held_out: the same kind of source, never trained on, on the device: evenly spaced examples if all of them take
            more than 128 MiB.
        shape: shape of one example: ``(dim,)`` or ``(height, width, channel)``.
        density: the density if it is known, otherwise None.
        classes: number of classes of the labels; 0 if there are no labels or they were not requested.
        log_volume: see :func:`log_volume`.
    """

    train: Source | HostPixels | None
    held_out: Source | None
    shape: tuple[int, ...]
    density: synthetic.Mixture | None
    classes: int = 0
    log_volume: float = 0.0


def resolved(option: Any, folder: Path, accept: Callable[[Any], None] = lambda option: None) -> Any:
    """Return ``option`` with the settings that are only known once its files are open, such as ``shape``.

    An option that needs this has a method ``resolve(folder)``, which returns a copy of it with these settings filled
    in. They are then part of the run's config, so that a run can be sampled without its data. An option that knows the
    shape long before the rest has a method ``resolve_accepted(folder, accept)`` too.

    Args:
        option: of a dataset.
        folder: contains its files.
        accept: called with the option as soon as its shape is known; raises ConfigError for one that is of no use.

    Raises:
        ConfigError: files are missing or damaged, or ``accept`` has raised it.
    """
    if hasattr(option, "resolve_accepted"):
        return option.resolve_accepted(folder, accept)
    return option.resolve(folder) if hasattr(option, "resolve") else option


def in_data_units(option: Any, x: np.ndarray) -> np.ndarray:
    """Return examples ``(..., *shape)`` of the model in the units of the data, for an option that scales them."""
    return option.in_data_units(x) if hasattr(option, "in_data_units") else x


def from_data_units(option: Any, x: np.ndarray) -> np.ndarray:
    """Return examples in the units of the data as the model sees them: the inverse of :func:`in_data_units`."""
    return option.from_data_units(x) if hasattr(option, "from_data_units") else x


def log_volume(option: Any) -> float:
    """Return the log of the volume, in the units of the data, of a unit cube of the model, nats.

    It is subtracted from a log density of the model for that in the units of the data.
    """
    return getattr(option, "log_volume", 0.0)


def load(option: Any, folder: Path, seed: int, labels: bool = False, device_bytes: int | None = None) -> Data:
    """Load the dataset ``option``.

    An option with a method ``density`` has a known density, an option with a method ``source`` has an infinite source
    without a density, and any other is a finite set that its ``load`` reads.

    Args:
        option: the dataset's option.
        folder: contains one folder per dataset that is read from files.
        seed: determines the order of a finite set.
        labels: whether to read the labels of a finite set.
        device_bytes: maximum bytes of the training examples of a finite set that are copied to the device; more are
            left on the host. None: no limit.

    Raises:
        ConfigError: files are missing, damaged, or not what they claim to be.
    """
    if hasattr(option, "density"):
        density = option.density()
        return Data(train=density, held_out=density, shape=option.shape, density=density, classes=density.classes)
    if hasattr(option, "source"):
        source = option.source()
        return Data(train=source, held_out=source, shape=option.shape, density=None, classes=source.classes)
    arrays: images.ImageArrays = option.load(folder, labels=labels)
    order = jax.random.key_data(jax.random.key(seed))
    classes = option.classes if labels else 0

    flip = bool(getattr(option, "flip", False)) and len(arrays.shape) == 3

    def pixels(flat: np.ndarray | Rows, targets: np.ndarray | None, flip: bool = False) -> Pixels:
        on_device = None if targets is None else jnp.asarray(targets)
        return Pixels(jnp.asarray(flat), order, arrays.shape, on_device, classes, flip)

    fits = device_bytes is None or arrays.train.nbytes <= device_bytes
    on_host = HostPixels(arrays.train, order, arrays.shape, arrays.train_labels, classes, flip)
    some = spaced(arrays.held_out, HELD_OUT_BYTES)
    held_out_labels = None if arrays.held_out_labels is None else arrays.held_out_labels[some]
    return Data(
        train=pixels(arrays.train, arrays.train_labels, flip) if fits else on_host,
        held_out=pixels(arrays.held_out[some], held_out_labels),
        shape=arrays.shape,
        density=None,
        classes=classes,
        log_volume=log_volume(option),
    )


def reordered(data: Data, seed: int) -> Data:
    """Return a finite ``data`` in the order of another ``seed``, without copying the examples.

    An infinite source has no order and is returned unchanged.
    """
    order = jax.random.key_data(jax.random.key(seed))

    def reorder(source: Any) -> Any:
        return replace(source, order=order) if isinstance(source, (Pixels, HostPixels)) else source

    return replace(data, train=reorder(data.train), held_out=reorder(data.held_out))
