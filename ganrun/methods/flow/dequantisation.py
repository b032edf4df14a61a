"""8-bit images as points of a continuous space, in which a density can be defined.

A pixel of level k = 0, ..., 255 becomes (k + u) / 256 with u uniform on [0, 1), and its logit is what a flow models. By
Jensen's inequality, the expectation of the log density of the dequantised image, plus the log volume of the cube of
all u, is a lower bound on the log-probability of the 8-bit image.

Formula: log P(k) = log integral of p((k + u) / 256) du / 256^d >= E_u log p((k + u) / 256) - d log 256
Paper: Theis et al. 2016, "A note on the evaluation of generative models", section 3.1; Dinh et al. 2017, "Density
estimation using Real NVP", section 4.1, for the logit of a + (1 - 2 a) y with a = 0.05.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

LEVELS = 256  # values of an 8-bit pixel, evenly spaced in [-1, 1]
ALPHA = 0.05  # distance of the ends of [0, 1] from 0 and 1 before the logit is taken, which is infinite there
MIDDLE = 0.5  # the u of the middle of a level's interval


def dequantised(x: jax.Array, u: jax.Array | float) -> jax.Array:
    """Return the pixels (k + u) / 256 of images with levels k.

    Args:
        x: images ``(n, *shape)`` in [-1, 1], rounded to the nearest level.
        u: in [0, 1), of the shape of ``x`` or a number.
    """
    levels = jnp.clip(jnp.rint((x + 1.0) * ((LEVELS - 1) / 2.0)), 0, LEVELS - 1)
    return (levels + u) / LEVELS


def quantised(y: jax.Array) -> jax.Array:
    """Return the images in [-1, 1] of pixels ``y``: of the middle of a level's interval, the level."""
    return (y * LEVELS - MIDDLE) * (2.0 / (LEVELS - 1)) - 1.0


def to_logits(y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return v = logit(a + (1 - 2 a) y) of pixels ``y`` ``(n, *shape)``, and log|det dv/dy| ``(n,)``."""
    share = ALPHA + (1.0 - 2.0 * ALPHA) * y
    below, above = jnp.log(share), jnp.log1p(-share)
    slopes = math.log(1.0 - 2.0 * ALPHA) - below - above
    return below - above, jnp.sum(slopes, axis=tuple(range(1, y.ndim)))


def from_logits(v: jax.Array) -> jax.Array:
    """Return the pixels of ``v``, which may be slightly beyond [0, 1]: the inverse of :func:`to_logits`."""
    return (jax.nn.sigmoid(v) - ALPHA) / (1.0 - 2.0 * ALPHA)


def log_volume(shape: tuple[int, ...]) -> float:
    """Return the log of the volume of the cube that stands for one image of ``shape``, nats."""
    return -math.prod(shape) * math.log(LEVELS)


def bits_per_dim(log_likelihood: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return the bits per number of an image of ``shape`` with log-probability ``log_likelihood`` in nats."""
    return -log_likelihood / (math.prod(shape) * math.log(2.0))
