"""What an architecture hands to the rest of the program, and the shapes of data that networks take and make."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from flax import linen as nn

from ganrun.errors import ConfigError

# The side of the smallest feature map: halving any side that fits ends at exactly one of these.
BASES = (4, 5, 6, 7)


@dataclass(frozen=True)
class Networks:
    """The two players. Hashable and compared by value, so a jitted function can take them as a static argument.

    Attributes:
        generator: ``(z, train, y=None)`` with ``z`` of shape ``(n, latent_dim)`` to samples ``(n, *shape)``, float32.
        discriminator: ``(x, train, y=None, z=None)`` with ``x`` of shape ``(n, *shape)`` to logits ``(n,)``, float32,
            or ``(n, outputs)`` where it was built with more than one output. Its size comes from ``x``: where it
            ``packs``, it may also be given several examples joined along the last axis.
        encoder: ``(x, train)`` to latents ``(n, latent_dim)``, float32; None where the architecture has none.
        packs: whether the discriminator can be given several examples at once.

    ``y`` are labels ``(n,)``, int32, which networks that were built with ``classes`` need, from ``init`` on; others
    ignore them. A discriminator that is given latents ``z`` ``(n, latent_dim)`` judges the pair (x, z); it must be
    initialised with them.

    With ``train=True`` all use the statistics of the batch and update the collection ``batch_stats``, and dropout
    draws from the rng named ``dropout``; with ``train=False`` they use running averages and no dropout.
    A discriminator applied with ``features`` mutable leaves its last hidden activations ``(n, f)`` under
    ``features/last``.
    """

    generator: nn.Module
    discriminator: nn.Module
    encoder: nn.Module | None = None
    packs: bool = True


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


def base_and_stages(shape: tuple[int, ...], name: str = "dcgan") -> tuple[int, int]:
    """Return ``(base, n)`` with side = base * 2**n, 4 <= base <= 7 and n >= 1.

    Raises:
        ConfigError: the shape is not that of a square image with such a side; ``name`` is the architecture it names.
    """
    if not is_image(shape):
        raise ConfigError(f"architecture={name} takes square images; the data is {describe(shape)}. Try mlp or maxout.")
    base, stages = shape[0], 0
    while base > max(BASES) and base % 2 == 0:
        base, stages = base // 2, stages + 1
    if shape[0] != shape[1] or base not in BASES or stages < 1:
        raise ConfigError(
            f"architecture={name} takes square images whose side is 4, 5, 6 or 7 times a power of two "
            f"(8, 10, 12, 14, 16, ..., 28, 32, ...); the data is {describe(shape)}."
        )
    return base, stages


def as_data(flat: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Turn ``(n, prod(shape))`` into samples ``(n, *shape)``: tanh for images in [-1, 1], unchanged for vectors."""
    return nn.tanh(flat).reshape(-1, *shape) if is_image(shape) else flat
