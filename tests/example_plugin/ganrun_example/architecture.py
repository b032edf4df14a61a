"""The smallest networks for vectors and images."""

import math
from dataclasses import dataclass

import jax
from flax import linen as nn

from ganrun.architectures import Networks
from ganrun.architectures.discriminator import Discriminator
from ganrun.config.registry import number, register


class AffineGenerator(nn.Module):
    """G(z) = W z + b.

    Attributes:
        shape: shape of one sample.
    """

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, z: jax.Array, train: bool, y: jax.Array | None = None) -> jax.Array:
        """Map latents ``(n, latent_dim)`` to samples ``(n, *shape)``."""
        return nn.Dense(math.prod(self.shape))(z).reshape(-1, *self.shape)


class TanhDiscriminator(Discriminator):
    """One hidden layer with tanh, then the logit.

    Attributes:
        hidden: units of the hidden layer.
    """

    hidden: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None = None, z: jax.Array | None = None) -> jax.Array:
        """Map examples ``(n, *shape)`` to logits ``(n,)``."""
        return self.head(nn.tanh(nn.Dense(self.hidden)(x.reshape(x.shape[0], -1))), y, z)


@register("architecture", "affine")
@dataclass(frozen=True)
class Affine:
    """An affine generator, and a discriminator with one hidden layer.

    Formula: G(z) = W z + b, D(x) = v tanh(U x + c) + d
    """

    name: str = "affine"
    hidden: int = number(16, low=1, high=65_536)

    def build(self, shape: tuple[int, ...], latent_dim: int, classes: int = 0, outputs: int = 1) -> Networks:
        """Return the networks for examples of ``shape``."""
        return Networks(AffineGenerator(tuple(shape)), TanhDiscriminator(self.hidden, classes=classes, outputs=outputs))
