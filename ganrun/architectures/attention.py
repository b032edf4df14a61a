"""Self-attention on feature maps (Zhang et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterable

import jax
import jax.numpy as jnp
from flax import linen as nn

REDUCTION = 8  # ratio of the input channels to those of queries, keys and values


class SelfAttention(nn.Module):
    """Self-attention over the positions of a feature map, with a residual connection; the identity at initialisation.

    Formula: y_j = gamma v(sum_i beta_ji h(x_i)) + x_j, beta_ji = softmax over i of f(x_i) . g(x_j), with 1x1
    convolutions f, g, h to an eighth of the channels and v back, and gamma learned from 0.
    Paper: Zhang et al. 2019, "Self-attention generative adversarial networks", section 3.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)`` to the same shape."""
        n, height, width, channels = x.shape
        inner = max(1, channels // REDUCTION)
        flat = x.reshape(n, height * width, channels)
        # A 1x1 convolution is a dense layer applied at each position.
        f, g, h = (nn.Dense(inner, use_bias=False, name=name)(flat) for name in "fgh")
        beta = jax.nn.softmax(jnp.einsum("njc,nic->nji", g, f), axis=-1)
        attended = nn.Dense(channels, use_bias=False, name="v")(beta @ h)
        gamma = self.param("gamma", nn.initializers.zeros, ())
        return x + gamma * attended.reshape(x.shape)


def attended_side(sides: Iterable[int], minimum: int) -> int:
    """Return the smallest of ``sides`` that is at least ``minimum``, or the largest if there is none."""
    sides = sorted(sides)
    return next((side for side in sides if side >= minimum), sides[-1])


def attend(x: jax.Array, side: int) -> jax.Array:
    """Apply self-attention if the map ``x`` has this ``side``; return it unchanged otherwise. Call inside a network."""
    return SelfAttention()(x) if x.shape[1] == side else x
