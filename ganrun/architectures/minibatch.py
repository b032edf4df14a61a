"""Minibatch features: layers that let a discriminator detect samples that are too similar to each other.

Rows are compared within groups of consecutive rows. The size of a group is the largest divisor of the number of rows up
to 128, so that evaluating 10 000 examples at once stays affordable. If the number of rows is a large prime, each row is
alone in its group and is compared with none.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.layers import largest_divisor

MINIBATCH = ("none", "stddev", "discrimination")
GROUP = 128
# Keeps the gradient of the square root finite where rows are equal.
EPSILON = 1e-8


def standard_deviation(h: jax.Array) -> jax.Array:
    """Return the mean standard deviation of features ``(n, f)`` in each group, ``(n, 1)``, equal for all of its rows.

    Formula: mean over features of sqrt(variance over the rows of the group + 1e-8).
    Paper: Karras et al. 2018, "Progressive growing of GANs for improved quality, stability, and variation", section 3.
    """
    groups = _grouped(h)
    deviation = jnp.sqrt(jnp.var(groups, axis=1) + EPSILON).mean(axis=-1)
    return jnp.broadcast_to(deviation[:, None, None], (*groups.shape[:2], 1)).reshape(-1, 1)


class MinibatchDiscrimination(nn.Module):
    """How close each row is to the others of its group, in ``kernels`` learned projections.

    Formula: o_b(x_i) = mean over j != i of exp(-||M_ib - M_jb||_1), with M_i = h_i T. The paper sums over all j,
    including j = i; that sum would grow with the group, whose size may differ between training and evaluation.
    Paper: Salimans et al. 2016, "Improved techniques for training GANs", section 3.2.

    Attributes:
        kernels: number of projections, B in the paper.
        row: dimension of each projection, C in the paper.
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
    """Concatenate features ``(n, f)`` with the minibatch features of this ``kind``. Call inside a network."""
    if kind == "stddev":
        return jnp.concatenate([h, standard_deviation(h)], axis=-1)
    if kind == "discrimination":
        return jnp.concatenate([h, MinibatchDiscrimination(kernels, row)(h)], axis=-1)
    if kind != "none":
        raise ValueError(f"unknown kind '{kind}' of minibatch layer: use one of {', '.join(MINIBATCH)}")
    return h


def _grouped(h: jax.Array) -> jax.Array:
    """Split ``(n, f)`` into ``(groups, rows, f)``."""
    return h.reshape(-1, largest_divisor(h.shape[0], GROUP), h.shape[-1])
