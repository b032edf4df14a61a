"""Convolutional encoders and decoders of variational autoencoders."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.conditional import with_label, with_one_hot
from ganrun.architectures.convolution import FORMS
from ganrun.architectures.layers import Conv
from ganrun.architectures.networks import base_and_stages, checked_shape
from ganrun.config.registry import choice, number, register

he_normal = nn.initializers.he_normal()  # created once, because modules compare initializers by identity


class ConvEncoder(nn.Module):
    """3x3 convolutions with average pooling that each halve the sides and double the channels, then dense layers.

    Attributes:
        stages: number of halvings.
        width: channels of the first convolution.
        hidden: units of the dense layer before the outputs.
        outputs: number of outputs.
        form: how convolutions are computed, see :class:`ganrun.architectures.layers.Conv`.
        classes: number of classes whose one-hot vector is a further input of the dense layers; 0 for none.
    """

    stages: int
    width: int
    hidden: int
    outputs: int
    form: str
    classes: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None = None) -> jax.Array:
        """Map images ``(n, height, width, channel)``, and their labels if there are classes, to ``(n, outputs)``."""
        for stage in range(self.stages):
            features = self.width * 2**stage
            x = nn.relu(Conv(features, form=self.form, resample="down", kernel_init=he_normal)(x))
        features = with_one_hot(x.reshape(x.shape[0], -1), y, self.classes)
        x = nn.relu(nn.Dense(self.hidden, kernel_init=he_normal)(features))
        return nn.Dense(self.outputs)(x)


class ConvDecoder(nn.Module):
    """Dense layers to a small map, then upsampling with 3x3 convolutions that each double the sides.

    Attributes:
        base: height and width of the small map.
        stages: number of doublings.
        width: channels before the last convolution; twice as many at each smaller map.
        hidden: units of the first dense layer.
        outputs: channels of the output.
        form: how convolutions are computed, see :class:`ganrun.architectures.layers.Conv`.
        classes: number of classes whose embedding is a further input; 0 for none.
    """

    base: tuple[int, int]
    stages: int
    width: int
    hidden: int
    outputs: int
    form: str
    classes: int = 0

    @nn.compact
    def __call__(self, z: jax.Array, y: jax.Array | None = None) -> jax.Array:
        """Map latents ``(n, latent_dim)``, and labels if there are classes, to ``(n, height, width, outputs)``."""
        widths = [self.width * 2**stage for stage in reversed(range(self.stages))]
        x = nn.relu(nn.Dense(self.hidden, kernel_init=he_normal)(with_label(z, y, self.classes)))
        x = nn.relu(nn.Dense(math.prod(self.base) * widths[0], kernel_init=he_normal)(x))
        x = x.reshape(-1, *self.base, widths[0])
        for features in widths[1:]:
            x = nn.relu(Conv(features, form=self.form, resample="up", kernel_init=he_normal)(x))
        return Conv(self.outputs, form=self.form, resample="up")(x)


class ConvAutoencoder(nn.Module):
    """A convolutional encoder of images to diagonal normal distributions of latents, and a decoder of latents.

    Its functions are those of :class:`ganrun.architectures.autoencoder.MlpAutoencoder`.

    Attributes:
        shape: ``(height, width, channel)`` of an image.
        latent_dim: dimension of the latents.
        outputs: outputs of the decoder per element of an example: the parameters of its distribution.
        width: channels of the encoder's first convolution; the decoder mirrors it.
        hidden: units of the dense layer between convolutions and latents.
        form: how convolutions are computed, see :class:`ganrun.architectures.layers.Conv`.
        classes: number of classes that both are conditioned on; 0 for none.
    """

    shape: tuple[int, ...]
    latent_dim: int
    outputs: int
    width: int
    hidden: int
    form: str = "auto"
    classes: int = 0

    def setup(self) -> None:
        base, stages = base_and_stages(self.shape, "conv_vae")
        self.encoder = ConvEncoder(stages, self.width, self.hidden, 2 * self.latent_dim, self.form, self.classes)
        outputs = self.shape[-1] * self.outputs
        self.decoder = ConvDecoder(base, stages, self.width, self.hidden, outputs, self.form, self.classes)

    def __call__(
        self, x: jax.Array, noise: jax.Array, train: bool, y: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Encode ``x``, and decode the latents mean + standard deviation * ``noise``."""
        mean, log_variance = self.encode(x, train, y)
        z = mean + jnp.exp(log_variance / 2) * noise
        of_latents = None if y is None else jnp.broadcast_to(y, z.shape[:-1]).reshape(-1)
        return mean, log_variance, self.decode(z.reshape(-1, self.latent_dim), train, of_latents)

    def encode(self, x: jax.Array, train: bool, y: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Map images ``(n, *shape)`` to the mean and the log variance of their latents, each ``(n, latent_dim)``."""
        del train
        features = self.encoder((x + 1.0) / 2.0, y)  # black is 0, as in MlpAutoencoder
        mean, log_variance = jnp.split(features, 2, axis=-1)
        return mean, log_variance

    def decode(self, z: jax.Array, train: bool, y: jax.Array | None = None) -> jax.Array:
        """Map latents ``(n, latent_dim)`` to the decoder's outputs ``(n, *shape, outputs)``."""
        del train
        return self.decoder(z, y).reshape(-1, *self.shape, self.outputs)


@register("architecture", "conv_vae")
@dataclass(frozen=True)
class ConvVae:
    """Convolutions with pooling and upsampling for ``method=vae``, for images of the sizes of ``dcgan``.

    Paper: Kingma & Welling 2014, "Auto-encoding variational Bayes", for the model; ResNet-like resampling by pooled and
    upsampled 3x3 convolutions as in Gulrajani et al. 2017, appendix F, without residual connections.

    Attributes:
        width: channels of the encoder's first convolution, doubled at each further one; the decoder mirrors it.
        hidden: units of the dense layer between convolutions and latents.
        convolution: how convolutions are computed, see docs/performance.md.
    """

    width: int = number(32, low=1, high=65_536)
    hidden: int = number(256, low=1, high=1_000_000)
    convolution: str = choice("auto", FORMS)
    name: str = "conv_vae"

    def build_autoencoder(
        self, shape: tuple[int, ...], latent_dim: int, outputs: int, classes: int = 0
    ) -> ConvAutoencoder:
        """Return the encoder and the decoder, as one module, for images of ``shape``.

        Args:
            shape: ``(height, width, channel)`` of an image.
            latent_dim: dimension of the latents.
            outputs: outputs of the decoder per element of an example.
            classes: number of classes that both are conditioned on; 0 for none.

        Raises:
            ConfigError: the shape is not supported.
        """
        shape = checked_shape(shape, latent_dim)
        base_and_stages(shape, self.name, "mlp_vae")
        return ConvAutoencoder(shape, latent_dim, outputs, self.width, self.hidden, self.convolution, classes)
