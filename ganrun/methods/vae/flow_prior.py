"""A learned prior of the latents of a VAE: a normalizing flow maps them to standard normal noise.

A flexible prior lets the mean of q(z|x) over the data, which it is to match, have another shape than that of a normal
distribution. It is the same as a standard normal prior of a decoder that begins with the inverse of the flow.

Formula: log p(z) = log N(f(z); 0, I) + log|det df/dz|
Paper: Chen et al. 2017, "Variational lossy autoencoder", section 3.2, with couplings (Dinh et al. 2017, "Density
estimation using Real NVP", section 3) instead of an autoregressive flow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from ganrun.architectures.flow.conditioners import Dense
from ganrun.architectures.flow.couplings import Couplings
from ganrun.architectures.flow.elements import Affine
from ganrun.methods.base import Tree


@dataclass(frozen=True)
class FlowPrior:
    """Affine couplings between latents and standard normal noise of the same dimension. It computes in float32.

    Attributes:
        dim: dimension of the latents, at least 2.
        couplings: their number.
        hidden: units of the hidden layer of each coupling's network.
    """

    dim: int
    couplings: int
    hidden: int

    @property
    def _module(self) -> Couplings:
        return Couplings(self.dim, self.couplings, Affine(), Dense((self.hidden,), "relu"))

    def _apply(self, params: Tree, x: jax.Array, method: str = "__call__") -> Any:
        return self._module.apply({"params": params}, x, method=method)

    def init(self, key: jax.Array) -> Tree:
        """Return the initial parameters, with which the flow is the identity."""
        return self._module.init(key, jnp.zeros((1, self.dim)))["params"]

    def log_prob(self, params: Tree, z: jax.Array) -> jax.Array:
        """Return log p(z) of the latents ``(..., dim)``, in nats: ``(...)``."""
        noise, log_det = self._apply(params, z.reshape(-1, self.dim))
        normal = -0.5 * jnp.sum(noise**2, axis=1) - 0.5 * self.dim * math.log(2.0 * math.pi)
        return (normal + log_det).reshape(z.shape[:-1])

    def to_noise(self, params: Tree, z: jax.Array) -> jax.Array:
        """Return the noise ``(n, dim)`` of the latents ``z``."""
        return self._apply(params, z)[0]

    def from_noise(self, params: Tree, noise: jax.Array) -> jax.Array:
        """Return the latents ``(n, dim)`` of standard normal ``noise``: draws from p(z)."""
        return self._apply(params, noise, "inverse")
