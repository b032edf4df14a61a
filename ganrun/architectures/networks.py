"""The networks that an architecture builds, and checks of the data shapes that networks support."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn

from ganrun.config.registry import options
from ganrun.errors import ConfigError

# Sides of the smallest feature map: halving any supported side ends at exactly one of these.
BASES = (4, 5, 6, 7)


@dataclass(frozen=True)
class Networks:
    """The networks of a GAN. Hashable and compared by value, so they can be static arguments of jitted functions.

    Attributes:
        generator: maps ``(z, train, y=None)`` with ``z`` of shape ``(n, latent_dim)`` to samples ``(n, *shape)``,
            float32.
        discriminator: maps ``(x, train, y=None, z=None)`` with ``x`` of shape ``(n, *shape)`` to logits ``(n,)``,
            float32, or ``(n, outputs)`` if it was built with more than one output. Its input size is inferred from
            ``x``: if ``packs``, ``x`` may be several examples concatenated along the last axis.
        encoder: maps ``(x, train)`` to latents ``(n, latent_dim)``, float32; None if the architecture has none.
        packs: whether the discriminator accepts packed examples.
        by_example: whether the discriminator's output on an example in training is a function of that example alone:
            without batch norm, dropout or minibatch features.
        piecewise_linear: whether the discriminator in training is also piecewise linear, and homogeneous in the example
            and its parameters named ``bias`` together: layers that are linear up to the bias, ReLU, maxima, means.
        unit_weights: whether the discriminator divides its weights by their norms, so that no constraint of the stored
            weights constrains it.

    ``y`` are labels ``(n,)``, int32. Networks that were built with ``classes`` require them, including in ``init``;
    others ignore them. A discriminator that gets latents ``z`` ``(n, latent_dim)`` classifies the pair (x, z); it must
    be initialised with latents.

    With ``train=True`` the networks use batch statistics, update the collection ``batch_stats``, and draw dropout masks
    from the rng named ``dropout``; with ``train=False`` they use running averages and no dropout. A discriminator
    applied with the collection ``features`` mutable stores its last hidden activations ``(n, f)`` as ``features/last``.
    """

    generator: nn.Module
    discriminator: nn.Module
    encoder: nn.Module | None = None
    packs: bool = True
    by_example: bool = False
    piecewise_linear: bool = False
    unit_weights: bool = False


def builder(option: Any, name: str, method: str) -> Callable[..., Any]:
    """Return the function of an architecture option that builds the networks of ``method``.

    Methods differ in the networks that they need: ``build`` returns those of a GAN, ``build_autoencoder`` an encoder
    and a decoder. An architecture has one or several of these functions.

    Args:
        option: the architecture option.
        name: name of the function.
        method: name of the method, for the message.

    Raises:
        ConfigError: the architecture does not have the function.
    """
    if not hasattr(option, name):
        able = [other for other, kind in sorted(options("architecture").items()) if hasattr(kind, name)]
        listed = " or ".join(", ".join(able).rsplit(", ", 1))
        raise ConfigError(f"architecture={option.name} has no networks for method={method}: use architecture={listed}.")
    return getattr(option, name)


def is_image(shape: tuple[int, ...]) -> bool:
    """Return whether ``shape`` is ``(height, width, channel)`` and not ``(dim,)``."""
    return len(shape) == 3


def describe(shape: tuple[int, ...]) -> str:
    """Describe examples of ``shape`` in words, for messages."""
    if is_image(shape):
        height, width, channels = shape
        return f"{height} x {width} pixels with {channels} channel{'s' if channels > 1 else ''}"
    return f"vectors of {shape[0]}"


def checked_shape(shape: tuple[int, ...], latent_dim: int) -> tuple[int, ...]:
    """Return ``shape`` as a tuple of ints; raise :class:`ConfigError` if it or ``latent_dim`` is not supported."""
    shape = tuple(int(size) for size in shape)
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise ConfigError(f"networks take vectors (dim,) or images (height, width, channel); the data is {shape}.")
    if latent_dim < 1:
        raise ConfigError(f"latent.dim must be at least 1; it is {latent_dim}.")
    return shape


def base_and_stages(
    shape: tuple[int, ...], name: str = "dcgan", others: str = "mlp or maxout"
) -> tuple[tuple[int, int], int]:
    """Return the height and width of the smallest map, the shorter one from 4 to 7, and how often it doubles, n >= 1.

    Args:
        shape: shape of one example.
        name: the architecture, for error messages.
        others: architectures for vectors, likewise.

    Raises:
        ConfigError: ``shape`` is not that of an image whose shorter side is such a number times 2**n, and whose other
            side is a multiple of 2**n.
    """
    if not is_image(shape):
        raise ConfigError(f"architecture={name} takes images; the data is {describe(shape)}. Try {others}.")
    base, stages = min(shape[:2]), 0
    while base > max(BASES) and base % 2 == 0:
        base, stages = base // 2, stages + 1
    scale = 2**stages
    if base not in BASES or stages < 1 or max(shape[:2]) % scale:
        raise ConfigError(
            f"architecture={name} takes images whose shorter side is 4, 5, 6 or 7 times a power of two (8, 10, 12, 14, "
            f"16, ..., 28, 32, ...), of which the other side is a multiple; the data is {describe(shape)}."
        )
    return (shape[0] // scale, shape[1] // scale), stages


def as_data(flat: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Reshape ``(n, prod(shape))`` to samples ``(n, *shape)``, with tanh for images in [-1, 1]."""
    return nn.tanh(flat).reshape(-1, *shape) if is_image(shape) else flat
