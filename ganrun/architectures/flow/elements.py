"""Invertible functions of single numbers, whose parameters a conditioner computes: affine maps and splines.

Each kind is a linen module for the numbers along the last axis, with ``forward`` and ``inverse``. Where the conditioner
returns zeros, the function is the identity.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.flow import splines


class AffineMap(nn.Module):
    """Scales and shifts each number; the log of the scale is bounded by a learned factor, which is initially 1.

    Formula: z = x exp(f tanh(a)) + b, with a and b from the conditioner
    Paper: Dinh et al. 2017, "Density estimation using Real NVP", eqs. 4 and 8, and section 4.1 for the bound.

    Attributes:
        features: numbers along the last axis.
    """

    features: int

    def setup(self) -> None:
        self.factor = self.param("factor", nn.initializers.ones, (self.features,))

    def forward(self, x: jax.Array, raw: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return z and the logs of the derivatives, each ``(..., features)``; ``raw`` is ``(..., 2 features)``."""
        log_scale, shift = self._parameters(raw)
        return x * jnp.exp(log_scale) + shift, log_scale

    def inverse(self, z: jax.Array, raw: jax.Array) -> jax.Array:
        """Return the x of ``z``, ``(..., features)``."""
        log_scale, shift = self._parameters(raw)
        return (z - shift) * jnp.exp(-log_scale)

    def _parameters(self, raw: jax.Array) -> tuple[jax.Array, jax.Array]:
        log_scale, shift = jnp.split(raw, 2, axis=-1)
        return self.factor * jnp.tanh(log_scale), shift


class SplineMap(nn.Module):
    """A monotone rational-quadratic spline of each number (:mod:`ganrun.architectures.flow.splines`).

    Attributes:
        features: numbers along the last axis.
        bins: of each spline.
        bound: the splines are the identity beyond it.
    """

    features: int
    bins: int
    bound: float

    def forward(self, x: jax.Array, raw: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return z and the logs of the derivatives, each ``(..., features)``."""
        return splines.forward(self._knots(raw), x)

    def inverse(self, z: jax.Array, raw: jax.Array) -> jax.Array:
        """Return the x of ``z``, ``(..., features)``."""
        return splines.inverse(self._knots(raw), z)

    def _knots(self, raw: jax.Array) -> splines.Knots:
        return splines.knots(raw.reshape(*raw.shape[:-1], self.features, splines.outputs(self.bins)), self.bound)


@dataclass(frozen=True)
class Affine:
    """The settings of an :class:`AffineMap`: it has none."""

    @property
    def outputs(self) -> int:
        """The parameters per number."""
        return 2

    def build(self, features: int) -> AffineMap:
        return AffineMap(features)


@dataclass(frozen=True)
class Spline:
    """The settings of a :class:`SplineMap`.

    Attributes:
        bins: of each spline.
        bound: the splines are the identity beyond it.
    """

    bins: int
    bound: float

    @property
    def outputs(self) -> int:
        """The parameters per number."""
        return splines.outputs(self.bins)

    def build(self, features: int) -> SplineMap:
        return SplineMap(features, self.bins, self.bound)


class Scaling(nn.Module):
    """A learned scale and offset for each feature, initially 1 and 0: an affine map that has no condition.

    It is activation normalisation without an initialisation by data, so that the initial parameters are a function of
    the seed alone.

    Formula: z = (x + b) exp(a)
    Paper: Kingma & Dhariwal 2018, "Glow", section 3.1.

    Attributes:
        features: numbers along the last axis.
    """

    features: int

    def setup(self) -> None:
        self.log_scale = self.param("log_scale", nn.initializers.zeros, (self.features,))
        self.offset = self.param("offset", nn.initializers.zeros, (self.features,))

    def forward(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return z and the logs of the derivatives, each ``(..., features)``."""
        return (x + self.offset) * jnp.exp(self.log_scale), jnp.broadcast_to(self.log_scale, x.shape)

    def inverse(self, z: jax.Array) -> jax.Array:
        """Return the x of ``z``, ``(..., features)``."""
        return z * jnp.exp(-self.log_scale) - self.offset


def total(log_slopes: jax.Array) -> jax.Array:
    """Return the log-determinant of a map of single numbers: the sum over all axes but the first, ``(n,)``."""
    return jnp.sum(log_slopes, axis=tuple(range(1, log_slopes.ndim)))
