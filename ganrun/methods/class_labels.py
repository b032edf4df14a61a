"""The classes that a class-conditional method draws, with the frequencies of the data."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ganrun.config.settings import Train
from ganrun.datasets.sampler import Source
from ganrun.datasets.streaming import HostPixels
from ganrun.errors import ConfigError


def draw_labels(probabilities: jax.Array, key: jax.Array, n: int) -> jax.Array:
    """Return ``n`` int32 labels, class i with probability ``probabilities[i]``."""
    return jax.random.choice(key, probabilities.shape[0], (n,), p=probabilities).astype(jnp.int32)


def class_probabilities(config: Train, train: Source | HostPixels | None = None) -> tuple[float, ...]:
    """Return the frequency of each class in the data of a class-conditional run; they sum to 1.

    ``train`` is the training data; None if it has not been loaded. Without data the frequencies are uniform: a restored
    run has the true ones in its state.
    """
    source = config.dataset.density() if hasattr(config.dataset, "density") else train
    if source is None:
        return (1.0 / config.dataset.classes,) * config.dataset.classes
    return tuple(float(share) for share in source.class_probabilities)


def require_classes(config: Train) -> None:
    """Raise :class:`ConfigError` if a class-conditional run has data without classes."""
    if config.conditional and not getattr(config.dataset, "classes", 0):
        raise ConfigError(f"conditional=true needs a dataset with classes, and {config.dataset.name} has none.")
