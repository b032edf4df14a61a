"""Fully connected networks, for vectors and small images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.conditional import normalise, with_label
from ganrun.architectures.discriminator import Discriminator, MinibatchOption
from ganrun.architectures.networks import Networks, as_data, checked_shape, is_image
from ganrun.config.registry import choice, number, register

SLOPE = 0.2
# Created once, because modules compare initializers by identity. With the defaults of `ganrun train`, LeCun's scale
# (half of He's variance) covered more modes of the ring, because the discriminator starts flat. With R1 and R2, He's
# scale gave sharper modes.
INITIALIZERS = {"lecun": nn.initializers.lecun_normal(), "he": nn.initializers.he_normal()}


class MlpGenerator(nn.Module):
    """Dense layers with leaky ReLU, then a dense layer to the data.

    Attributes:
        shape: shape of one sample.
        hidden: units of each hidden layer.
        batch_norm: normalise before the activation of every hidden layer but the first.
        classes: number of classes, 0 for none; labels condition the batch norm, or the latent without batch norm.
        slope: negative slope of the leaky ReLU.
        initializer: initializer of the hidden layers, ``lecun`` or ``he``.
    """

    shape: tuple[int, ...]
    hidden: tuple[int, ...]
    batch_norm: bool
    classes: int = 0
    slope: float = SLOPE
    initializer: str = "lecun"

    @nn.compact
    def __call__(self, z: jax.Array, train: bool, y: jax.Array | None = None) -> jax.Array:
        """Map latents ``(n, latent_dim)`` and labels ``(n,)`` to samples ``(n, *shape)``."""
        if not (self.batch_norm and len(self.hidden) > 1):
            z = with_label(z, y, self.classes)
        for index, features in enumerate(self.hidden):
            z = nn.Dense(features, kernel_init=INITIALIZERS[self.initializer])(z)
            # The first layer is not normalised: the distribution of its input, the latent, is fixed.
            if self.batch_norm and index > 0:
                z = normalise(z, train, y, self.classes)
            z = nn.leaky_relu(z, negative_slope=self.slope)
        return as_data(nn.Dense(math.prod(self.shape))(z), self.shape)


class MlpDiscriminator(Discriminator):
    """Dense layers with leaky ReLU on the flattened example, concatenated with the latent if given, then the logit.

    Attributes:
        hidden: units of each hidden layer.
        slope: negative slope of the leaky ReLU.
        initializer: initializer of the hidden layers, ``lecun`` or ``he``.
    """

    hidden: tuple[int, ...]
    slope: float = SLOPE
    initializer: str = "lecun"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None = None, z: jax.Array | None = None) -> jax.Array:
        """Map examples ``(n, *shape)``, labels ``(n,)`` and latents ``(n, latent_dim)`` to logits ``(n,)``."""
        x = x.reshape(x.shape[0], -1)
        x = x if z is None else jnp.concatenate([x, z], axis=-1)
        return self.head(_dense_layers(x, self.hidden, self.slope, self.initializer), y)


class MlpEncoder(nn.Module):
    """The discriminator's hidden layers, then a dense layer to the latent.

    Attributes:
        hidden: units of each hidden layer.
        latent_dim: dimension of the latent.
        slope: negative slope of the leaky ReLU.
        initializer: initializer of the hidden layers, ``lecun`` or ``he``.
    """

    hidden: tuple[int, ...]
    latent_dim: int
    slope: float = SLOPE
    initializer: str = "lecun"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Map examples ``(n, *shape)`` to latents ``(n, latent_dim)``."""
        h = _dense_layers(x.reshape(x.shape[0], -1), self.hidden, self.slope, self.initializer)
        return nn.Dense(self.latent_dim)(h)


def _dense_layers(x: jax.Array, hidden: tuple[int, ...], slope: float, initializer: str) -> jax.Array:
    for features in hidden:
        x = nn.leaky_relu(nn.Dense(features, kernel_init=INITIALIZERS[initializer])(x), negative_slope=slope)
    return x


@register("architecture", "mlp")
@dataclass(frozen=True)
class Mlp(MinibatchOption):
    """Fully connected networks with leaky ReLU, for vectors and for small images.

    Formula: h <- leaky(W h + b) layer by layer; then W h + b, for images followed by tanh.
    Paper: Goodfellow et al. 2014, "Generative adversarial nets", section 3, for two multilayer perceptrons.

    Attributes:
        generator_hidden: units of each hidden layer; empty means 64, 64, 64 for vectors, 256, 512, 1024 for images.
        discriminator_hidden: likewise; empty means 64, 64, 64 for vectors and 512, 256 for images.
        generator_norm: ``batch``, ``none``, or ``auto``: batch for images, none for vectors, where batch statistics
            would make the samples of a few modes depend on each other.
        slope: negative slope of the leaky ReLU. The smaller it is, the sharper the edges that a network can represent.
        initializer: initializer of the hidden layers: ``lecun`` (variance 1 / inputs) or ``he`` (twice that).
    """

    generator_hidden: tuple[int, ...] = number((), low=1, high=1_000_000, most=100)
    discriminator_hidden: tuple[int, ...] = number((), low=1, high=1_000_000, most=100)
    generator_norm: str = choice("auto", ("auto", "batch", "none"))
    slope: float = number(SLOPE, low=0.0, below=1.0)
    initializer: str = choice("lecun", tuple(INITIALIZERS))
    name: str = "mlp"

    def build(self, shape: tuple[int, ...], latent_dim: int, classes: int = 0, outputs: int = 1) -> Networks:
        """Return the networks for examples of ``shape``; raise :class:`ConfigError` if it is not supported."""
        shape = checked_shape(shape, latent_dim)
        image = is_image(shape)
        generator_hidden = tuple(self.generator_hidden) or ((256, 512, 1024) if image else (64, 64, 64))
        hidden = tuple(self.discriminator_hidden) or ((512, 256) if image else (64, 64, 64))
        normalised = image if self.generator_norm == "auto" else self.generator_norm == "batch"
        return Networks(
            MlpGenerator(shape, generator_hidden, normalised, classes, self.slope, self.initializer),
            MlpDiscriminator(hidden, self.slope, self.initializer, **self.head_options(classes, outputs)),
            MlpEncoder(hidden, latent_dim, self.slope, self.initializer),
            by_example=self.minibatch == "none",
            piecewise_linear=self.minibatch == "none",
        )
