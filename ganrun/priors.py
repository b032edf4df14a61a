"""Priors p(z) of the latents, shared by all methods that have latents."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ganrun.mesh import over_data


@dataclass(frozen=True)
class Prior:
    """The distribution of the latents of a method.

    Attributes:
        name: ``normal`` (standard normal) or ``uniform`` (on [-1, 1]), independent in each dimension.
        dim: number of dimensions.
    """

    name: str
    dim: int

    def draw(self, key: jax.Array, n: int) -> jax.Array:
        """Return ``n`` independent draws, float32 ``(n, dim)``."""
        shape = (n, self.dim)
        if self.name == "uniform":
            return over_data(jax.random.uniform(key, shape, minval=-1.0, maxval=1.0))
        return over_data(jax.random.normal(key, shape))

    def quantiles(self, n: int) -> jax.Array:
        """Return the quantiles of one dimension at the probabilities (i + 1/2) / n, ``(n,)``."""
        probability = (jnp.arange(n) + 0.5) / n
        return 2.0 * probability - 1.0 if self.name == "uniform" else jax.scipy.stats.norm.ppf(probability)
