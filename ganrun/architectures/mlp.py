"""Fully connected networks: the small pair for vectors, the usual first pair for images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
from flax import linen as nn

from ganrun.architectures.layers import batch_norm, leaky_relu
from ganrun.architectures.networks import Networks, as_data, checked_shape, is_image
from ganrun.registry import choice, number, register

# LeCun's scale, half of He's variance: a discriminator that starts flat covered more of the ring's modes.
hidden_init = nn.initializers.lecun_normal()


class MlpGenerator(nn.Module):
    """Dense layers with leaky ReLU, then a dense layer to the data.

    Attributes:
        shape: shape of one sample.
        hidden: units of each hidden layer.
        batch_norm: normalise before the activation of every hidden layer but the first.
    """

    shape: tuple[int, ...]
    hidden: tuple[int, ...]
    batch_norm: bool

    @nn.compact
    def __call__(self, z: jax.Array, train: bool) -> jax.Array:
        """Map latents ``(n, latent_dim)`` to samples ``(n, *shape)``."""
        for index, features in enumerate(self.hidden):
            z = nn.Dense(features, kernel_init=hidden_init)(z)
            # The first layer only mixes a latent whose distribution never moves: there is nothing to normalise.
            if self.batch_norm and index > 0:
                z = batch_norm(train)(z)
            z = leaky_relu(z)
        return as_data(nn.Dense(math.prod(self.shape))(z), self.shape)


class MlpDiscriminator(nn.Module):
    """Dense layers with leaky ReLU on the flattened example, then one logit.

    Attributes:
        hidden: units of each hidden layer.
    """

    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Map examples ``(n, *shape)`` to logits ``(n,)``."""
        x = x.reshape(x.shape[0], -1)
        for features in self.hidden:
            x = leaky_relu(nn.Dense(features, kernel_init=hidden_init)(x))
        return nn.Dense(1)(x)[:, 0]


@register("architecture", "mlp")
@dataclass(frozen=True)
class Mlp:
    """Multilayer perceptrons for vectors and images.

    Attributes:
        generator_hidden: units of each hidden layer; empty means 64, 64, 64 for vectors, 256, 512, 1024 for images.
        discriminator_hidden: likewise; empty means 64, 64, 64 for vectors and 512, 256 for images.
        generator_norm: ``batch``, ``none``, or ``auto``: batch for images, none for vectors, where the statistics of a
            batch would tie the samples of a few modes to each other.
    """

    generator_hidden: tuple[int, ...] = number((), low=1)
    discriminator_hidden: tuple[int, ...] = number((), low=1)
    generator_norm: str = choice("auto", ("auto", "batch", "none"))
    name: str = "mlp"

    def build(self, shape: tuple[int, ...], latent_dim: int) -> Networks:
        """Return the networks for examples of ``shape``; raise :class:`ConfigError` for a shape they cannot have."""
        shape = checked_shape(shape, latent_dim)
        image = is_image(shape)
        generator_hidden = tuple(self.generator_hidden) or ((256, 512, 1024) if image else (64, 64, 64))
        discriminator_hidden = tuple(self.discriminator_hidden) or ((512, 256) if image else (64, 64, 64))
        normalise = image if self.generator_norm == "auto" else self.generator_norm == "batch"
        return Networks(MlpGenerator(shape, generator_hidden, normalise), MlpDiscriminator(discriminator_hidden))
