"""Layers that let a discriminator see how alike the rows of a minibatch are: one made of copies gives itself away.

Rows are compared within groups of consecutive ones. A group is the largest divisor of their number up to 128, so that
judging 10 000 examples at once stays affordable. A row alone in its group, as where the number is a large prime, has
nothing to be compared with.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.layers import largest_divisor

MINIBATCH = ("none", "stddev", "discrimination")
GROUP = 128
# Keeps the gradient of the root finite where rows are equal.
EPSILON = 1e-8


def standard_deviation(h: jax.Array) -> jax.Array:
    """Return how much a group varies, one number ``(n, 1)`` that its rows share, for features ``(n, f)``.

    Formula: mean over features of sqrt(variance over the rows of the group + 1e-8).
    Paper: Karras et al. 2018, "Progressive growing of GANs for improved quality, stability, and variation", section 3.
    """
    groups = _grouped(h)
    deviation = jnp.sqrt(jnp.var(groups, axis=1) + EPSILON).mean(axis=-1)
    return jnp.broadcast_to(deviation[:, None, None], (*groups.shape[:2], 1)).reshape(-1, 1)


class MinibatchDiscrimination(nn.Module):
    """How close each row is to the others of its group, in ``kernels`` learned projections.

    Formula: o_b(x_i) = mean over j != i of exp(-||M_ib - M_jb||_1), with M_i = h_i T. The paper sums instead, over
    j = i too, and the result would grow with the group, which need not be the same in training and when looking.
    Paper: Salimans et al. 2016, "Improved techniques for training GANs", section 3.2.

    Attributes:
        kernels: projections, the paper's B.
        row: numbers in each projection, the paper's C.
    """

    kernels: int
    row: int

    @nn.compact
    def __call__(self, h: jax.Array) -> jax.Array:
        """Map features ``(n, f)`` to closeness ``(n, kernels)`` in [0, 1]."""
        projected = nn.Dense(self.kernels * self.row, use_bias=False)(h)
        groups = _grouped(projected).reshape(-1, largest_divisor(h.shape[0], GROUP), self.kernels, self.row)
        closeness = jnp.exp(-jnp.abs(groups[:, :, None] - groups[:, None]).sum(axis=-1))
        size = groups.shape[1]
        others = 1.0 - jnp.eye(size)[None, :, :, None]
        return ((closeness * others).sum(axis=2) / max(size - 1, 1)).reshape(-1, self.kernels)


def with_minibatch(h: jax.Array, kind: str, kernels: int, row: int) -> jax.Array:
    """Join to features ``(n, f)`` inside a network what ``kind`` of :data:`MINIBATCH` says of the minibatch."""
    if kind == "stddev":
        return jnp.concatenate([h, standard_deviation(h)], axis=-1)
    if kind == "discrimination":
        return jnp.concatenate([h, MinibatchDiscrimination(kernels, row)(h)], axis=-1)
    if kind != "none":
        raise ValueError(f"unknown kind '{kind}' of minibatch layer: it is one of {', '.join(MINIBATCH)}")
    return h


def _grouped(h: jax.Array) -> jax.Array:
    """Split ``(n, f)`` into ``(groups, rows, f)``."""
    return h.reshape(-1, largest_divisor(h.shape[0], GROUP), h.shape[-1])
