"""What an architecture hands to the rest of the program, and the shapes of data that networks take and make."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from flax import linen as nn

from ganrun.errors import ConfigError


@dataclass(frozen=True)
class Networks:
    """The two players. Hashable and compared by value, so a jitted function can take them as a static argument.

    Attributes:
        generator: ``(z, train)`` with ``z`` of shape ``(n, latent_dim)`` to samples ``(n, *shape)``, float32.
        discriminator: ``(x, train)`` with ``x`` of shape ``(n, *shape)`` to logits ``(n,)``, float32.

    With ``train=True`` both use the statistics of the batch and update the collection ``batch_stats``, and dropout
    draws from the rng named ``dropout``; with ``train=False`` they use running averages and no dropout.
    """

    generator: nn.Module
    discriminator: nn.Module


def is_image(shape: tuple[int, ...]) -> bool:
    """Tell whether ``shape`` is ``(height, width, channel)`` rather than ``(dim,)``."""
    return len(shape) == 3


def describe(shape: tuple[int, ...]) -> str:
    """Say in words what an example of ``shape`` is, for messages."""
    if is_image(shape):
        height, width, channels = shape
        return f"{height} x {width} pixels with {channels} channel{'s' if channels > 1 else ''}"
    return f"vectors of {shape[0]}"


def checked_shape(shape: tuple[int, ...], latent_dim: int) -> tuple[int, ...]:
    """Return ``shape`` as a tuple of ints; raise :class:`ConfigError` if no network can have it or the latent."""
    shape = tuple(int(size) for size in shape)
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise ConfigError(f"networks take vectors (dim,) or images (height, width, channel); the data is {shape}.")
    if latent_dim < 1:
        raise ConfigError(f"latent.dim must be at least 1; it is {latent_dim}.")
    return shape


def as_data(flat: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Turn ``(n, prod(shape))`` into samples ``(n, *shape)``: tanh for images in [-1, 1], unchanged for vectors."""
    return nn.tanh(flat).reshape(-1, *shape) if is_image(shape) else flat
