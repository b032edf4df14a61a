"""Flows of vectors: couplings of their halves, and on the line a chain of splines."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.conditional import Embedding
from ganrun.architectures.flow.conditioners import Dense
from ganrun.architectures.flow.couplings import Couplings
from ganrun.architectures.flow.elements import Affine, Scaling, Spline, total

# Equal splines would have equal gradients and remain equal: these differ, and are nearly the identity.
_unequal = nn.initializers.normal(0.1)


class VectorFlow(nn.Module):
    """An invertible map between examples, flattened, and latents of the same dimension: a sequence of couplings.

    Attributes:
        shape: shape of one example, of at least two numbers.
        count: number of couplings.
        elements: the functions of single numbers.
        conditioner: the networks that compute their parameters.
        classes: number of classes that the networks are conditioned on; 0 for none.
    """

    shape: tuple[int, ...]
    count: int
    elements: Affine | Spline
    conditioner: Dense
    classes: int = 0

    def setup(self) -> None:
        size = math.prod(self.shape)
        self.couplings = Couplings(size, self.count, self.elements, self.conditioner, self.classes)

    def __call__(self, x: jax.Array, y: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Map examples ``(n, *shape)``, and labels ``(n,)`` if there are classes, to latents and log-determinants.

        Returns:
            z ``(n, prod(shape))``, and log|det dz/dx| ``(n,)``.
        """
        return self.couplings(x.reshape(x.shape[0], -1), y)

    def inverse(self, z: jax.Array, y: jax.Array | None = None) -> jax.Array:
        """Map latents ``(n, prod(shape))`` to the examples ``(n, *shape)`` whose latents they are."""
        return self.couplings.inverse(z, y).reshape(-1, *self.shape)


class LineFlow(nn.Module):
    """A monotone map of numbers on the line: splines after each other, each after a learned scaling.

    A number has no other half that could condition it, so the parameters are learned without a network; with classes,
    they are those of each class.

    Attributes:
        count: number of splines.
        spline: their settings.
        classes: number of classes; 0 for none.
    """

    count: int
    spline: Spline
    classes: int = 0

    def setup(self) -> None:
        self.scalings = [Scaling(1) for _ in range(self.count + 1)]
        self.maps = [self.spline.build(1) for _ in range(self.count)]
        if self.classes:
            self.tables = [Embedding(self.classes, self.spline.outputs, _unequal) for _ in range(self.count)]
        else:
            shape = (self.spline.outputs,)
            self.parameters = [self.param(f"spline_{index}", _unequal, shape) for index in range(self.count)]

    def _raw(self, index: int, y: jax.Array | None) -> jax.Array:
        """Return the parameters of spline ``index``: ``(n, outputs)``, or without classes ``(1, outputs)`` for all."""
        return self.tables[index](y) if self.classes else self.parameters[index][None]

    def __call__(self, x: jax.Array, y: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Return z ``(n, 1)`` and the log-determinants ``(n,)`` of ``x`` ``(n, 1)``."""
        log_det = jnp.zeros(x.shape[:1], x.dtype)
        for index, element in enumerate(self.maps):
            x, of_scaling = self.scalings[index].forward(x)
            x, of_map = element.forward(x, self._raw(index, y))
            log_det = log_det + total(of_scaling) + total(of_map)
        x, of_scaling = self.scalings[-1].forward(x)
        return x, log_det + total(of_scaling)

    def inverse(self, z: jax.Array, y: jax.Array | None = None) -> jax.Array:
        """Return the x ``(n, 1)`` of ``z`` ``(n, 1)``."""
        z = self.scalings[-1].inverse(z)
        for index in reversed(range(self.count)):
            z = self.maps[index].inverse(z, self._raw(index, y))
            z = self.scalings[index].inverse(z)
        return z
