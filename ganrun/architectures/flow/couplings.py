"""Couplings: one half of the numbers is transformed by functions that depend on the other half only."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.flow.conditioners import Dense, Residual
from ganrun.architectures.flow.elements import Affine, Scaling, Spline, total


class Couplings(nn.Module):
    """A sequence of couplings of the two halves of the last axis, each after a learned scaling.

    Couplings with an even index transform the second half given the first one, the others the first half given the
    second. After each such pair but the last, the halves are interleaved, so that other numbers meet in the next pair.

    Formula: z_1 = x_1, z_2 = f(x_2; h(x_1)), with log|det dz/dx| = sum of log f'
    Paper: Dinh et al. 2017, "Density estimation using Real NVP", section 3.2.

    Attributes:
        features: size of the last axis, at least 2.
        count: number of couplings.
        elements: the functions f of single numbers.
        conditioner: the networks h.
        classes: number of classes that the networks are conditioned on; 0 for none.
    """

    features: int
    count: int
    elements: Affine | Spline
    conditioner: Dense | Residual
    classes: int = 0

    def setup(self) -> None:
        sizes = [self._sizes(index)[1] for index in range(self.count)]
        self.scalings = [Scaling(self.features) for _ in sizes]
        self.maps = [self.elements.build(size) for size in sizes]
        self.networks = [self.conditioner.build(size * self.elements.outputs, self.classes) for size in sizes]

    def _sizes(self, index: int) -> tuple[int, int]:
        """Return the numbers of features that coupling ``index`` keeps and transforms."""
        first = self.features // 2
        return (self.features - first, first) if index % 2 else (first, self.features - first)

    def __call__(self, x: jax.Array, y: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Return z, of the shape of ``x`` ``(n, ..., features)``, and the log-determinants ``(n,)``."""
        log_det = jnp.zeros(x.shape[:1], x.dtype)
        for index in range(self.count):
            x, of_scaling = self.scalings[index].forward(x)
            kept, moved = self._halves(x, index)
            moved, of_map = self.maps[index].forward(moved, self.networks[index](kept, y))
            x = self._joined(kept, moved, index)
            log_det = log_det + total(of_scaling) + total(of_map)
            x = interleaved(x) if self._interleaves(index) else x
        return x, log_det

    def inverse(self, z: jax.Array, y: jax.Array | None = None) -> jax.Array:
        """Return the x of ``z`` ``(n, ..., features)``."""
        for index in reversed(range(self.count)):
            z = separated(z) if self._interleaves(index) else z
            kept, moved = self._halves(z, index)
            moved = self.maps[index].inverse(moved, self.networks[index](kept, y))
            z = self.scalings[index].inverse(self._joined(kept, moved, index))
        return z

    def _interleaves(self, index: int) -> bool:
        return index % 2 == 1 and index + 1 < self.count

    def _halves(self, x: jax.Array, index: int) -> tuple[jax.Array, jax.Array]:
        """Return the half of ``x`` that coupling ``index`` keeps, and the one that it transforms."""
        first, second = jnp.split(x, [self.features // 2], axis=-1)
        return (second, first) if index % 2 else (first, second)

    def _joined(self, kept: jax.Array, moved: jax.Array, index: int) -> jax.Array:
        return jnp.concatenate([moved, kept] if index % 2 else [kept, moved], axis=-1)


def interleaved(x: jax.Array) -> jax.Array:
    """Interleave the two halves of the last axis; of an odd number, the last becomes the first.

    Of 0 1 2 3 this is 0 2 1 3, and of 0 1 2 3 4 it is 4 0 2 1 3.
    """
    half = x.shape[-1] // 2
    first, second, last = jnp.split(x, [half, 2 * half], axis=-1)
    pairs = jnp.stack([first, second], axis=-1).reshape(*x.shape[:-1], 2 * half)
    return jnp.concatenate([last, pairs], axis=-1)


def separated(x: jax.Array) -> jax.Array:
    """Undo :func:`interleaved`."""
    size = x.shape[-1]
    last, pairs = jnp.split(x, [size % 2], axis=-1)
    pairs = pairs.reshape(*x.shape[:-1], size // 2, 2)
    return jnp.concatenate([pairs[..., 0], pairs[..., 1], last], axis=-1)
