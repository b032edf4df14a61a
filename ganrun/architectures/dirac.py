"""The Dirac-GAN: one parameter per network, with known training dynamics (Mescheder et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.discriminator import keep_features
from ganrun.architectures.networks import Networks, checked_shape, describe
from ganrun.config.registry import register
from ganrun.errors import ConfigError


class DiracGenerator(nn.Module):
    """G(z) = theta for every z; theta is initialised to 1."""

    @nn.compact
    def __call__(self, z: jax.Array, train: bool, y: jax.Array | None = None) -> jax.Array:
        """Map latents ``(n, latent_dim)`` to ``n`` copies of the sample theta, ``(n, 1)``."""
        theta = self.param("theta", nn.initializers.ones, (1,))
        return jnp.broadcast_to(theta, (z.shape[0], 1))


class DiracDiscriminator(nn.Module):
    """D(x) = psi x; psi is initialised to -1."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None = None, z: jax.Array | None = None) -> jax.Array:
        """Map examples ``(n, 1)`` to logits ``(n,)``; raise ValueError for other shapes, or if latents are given."""
        if x.shape[1:] != (1,) or z is not None:
            raise ValueError(f"the dirac discriminator takes examples of shape (1,) without latents, not {x.shape[1:]}")
        keep_features(self, x)
        return self.param("psi", nn.initializers.constant(-1.0), (1,)) * x[:, 0]


@register("architecture", "dirac")
@dataclass(frozen=True)
class Dirac:
    """One parameter per network, for one-dimensional data: G is a point, D is linear.

    Each parameter starts at a distance of 1 from the equilibrium (0, 0). In the paper D is high on samples, and psi
    starts at 1.

    Formula: G(z) = theta from 1, D(x) = psi x from -1
    Paper: Mescheder et al. 2018, "Which training methods for GANs do actually converge?", section 2.
    """

    name: str = "dirac"

    def build(self, shape: tuple[int, ...], latent_dim: int, classes: int = 0, outputs: int = 1) -> Networks:
        """Return the networks; raise :class:`ConfigError` for data of more than one dimension, classes or outputs."""
        shape = checked_shape(shape, latent_dim)
        if shape != (1,):
            raise ConfigError(
                f"architecture=dirac takes one-dimensional data, and the data is {describe(shape)}. "
                "Use architecture=mlp."
            )
        if classes or outputs != 1:
            raise ConfigError(
                "architecture=dirac supports neither conditional=true nor losses with several outputs. "
                "Use architecture=mlp."
            )
        return Networks(DiracGenerator(), DiracDiscriminator(), packs=False, by_example=True, piecewise_linear=True)
