"""The smallest game: one parameter a side, whose training dynamics are known (Mescheder et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.discriminator import keep_features
from ganrun.architectures.networks import Networks, checked_shape, describe
from ganrun.errors import ConfigError
from ganrun.registry import register


class DiracGenerator(nn.Module):
    """G(z) = theta, whatever z is; theta starts at 1."""

    @nn.compact
    def __call__(self, z: jax.Array, train: bool, y: jax.Array | None = None) -> jax.Array:
        """Map latents ``(n, latent_dim)`` to ``n`` times the one sample, ``(n, 1)``."""
        theta = self.param("theta", nn.initializers.ones, (1,))
        return jnp.broadcast_to(theta, (z.shape[0], 1))


class DiracDiscriminator(nn.Module):
    """D(x) = psi x; psi starts at -1."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None = None, z: jax.Array | None = None) -> jax.Array:
        """Map examples ``(n, 1)`` to logits ``(n,)``; raise ValueError for longer ones, or for pairs with a latent."""
        if x.shape[1:] != (1,) or z is not None:
            raise ValueError(f"the dirac discriminator judges single numbers; it was given {x.shape[1:]}")
        keep_features(self, x)
        return self.param("psi", nn.initializers.constant(-1.0), (1,)) * x[:, 0]


@register("architecture", "dirac")
@dataclass(frozen=True)
class Dirac:
    """One parameter a side: a point against a line through zero, for data of one number.

    Both start at a distance of 1 from the equilibrium (0, 0). In the paper D is high on samples, and psi starts at 1.

    Formula: G(z) = theta from 1, D(x) = psi x from -1
    Paper: Mescheder et al. 2018, "Which training methods for GANs do actually converge?", section 2.
    """

    name: str = "dirac"

    def build(self, shape: tuple[int, ...], latent_dim: int, classes: int = 0, outputs: int = 1) -> Networks:
        """Return the two players; raise :class:`ConfigError` for data of more than one number, classes or outputs."""
        shape = checked_shape(shape, latent_dim)
        if shape != (1,):
            raise ConfigError(f"architecture=dirac takes vectors of 1; the data is {describe(shape)}. Try mlp.")
        if classes or outputs != 1:
            raise ConfigError("architecture=dirac has one parameter a side: no classes, and one output. Try mlp.")
        return Networks(DiracGenerator(), DiracDiscriminator(), packs=False)
