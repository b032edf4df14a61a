"""Downsampling and upsampling of feature maps, without parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def average_pool(x: jax.Array) -> jax.Array:
    """Halve the side: each pixel is the mean of 2x2; ``(n, h, w, c)``, even sides, to ``(n, h / 2, w / 2, c)``."""
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


def nearest_upsample(x: jax.Array) -> jax.Array:
    """Double the side: each pixel becomes 2x2 equal ones; ``(n, h, w, c)`` to ``(n, 2h, 2w, c)``."""
    n, height, width, channels = x.shape
    blocks = jnp.broadcast_to(x[:, :, None, :, None], (n, height, 2, width, 2, channels))
    return blocks.reshape(n, 2 * height, 2 * width, channels)


def bilinear_upsample(x: jax.Array) -> jax.Array:
    """Double the side: along each axis, each pixel is 3/4 of the nearest input pixel plus 1/4 of the next nearest.

    Edge pixels are repeated outside. ``(n, h, w, c)`` to ``(n, 2h, 2w, c)``.
    """
    return _doubled(_doubled(x, axis=1), axis=2)


def _doubled(x: jax.Array, axis: int) -> jax.Array:
    size = x.shape[axis]
    before = jnp.concatenate([_part(x, 0, 1, axis), _part(x, 0, size - 1, axis)], axis)
    after = jnp.concatenate([_part(x, 1, size, axis), _part(x, size - 1, size, axis)], axis)
    pairs = jnp.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis + 1)
    return pairs.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])


def _part(x: jax.Array, start: int, end: int, axis: int) -> jax.Array:
    return jax.lax.slice_in_dim(x, start, end, axis=axis)
