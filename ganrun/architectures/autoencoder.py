"""Fully connected encoders and decoders of variational autoencoders."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.conditional import with_label, with_one_hot
from ganrun.architectures.networks import checked_shape, is_image
from ganrun.config.registry import choice, number, register

# Each activation with the initializer that keeps the variance of its layers: He's for ReLU, LeCun's for tanh. They are
# created once, because modules compare initializers by identity.
ACTIVATIONS = {"relu": (nn.relu, nn.initializers.he_normal()), "tanh": (nn.tanh, nn.initializers.lecun_normal())}


class DenseLayers(nn.Module):
    """Dense hidden layers, then a dense layer to the outputs.

    Attributes:
        hidden: units of each hidden layer; empty for an affine map.
        outputs: number of outputs.
        activation: activation of the hidden layers, ``relu`` or ``tanh``.
        classes: number of classes whose embedding is a further input; 0 for none.
    """

    hidden: tuple[int, ...]
    outputs: int
    activation: str
    classes: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None = None) -> jax.Array:
        """Map ``(n, inputs)``, and labels ``(n,)`` if there are classes, to ``(n, outputs)``."""
        activation, kernel_init = ACTIVATIONS[self.activation]
        x = with_label(x, y, self.classes)
        for features in self.hidden:
            x = activation(nn.Dense(features, kernel_init=kernel_init)(x))
        return nn.Dense(self.outputs)(x)


class MlpAutoencoder(nn.Module):
    """An encoder of examples to diagonal normal distributions of latents, and a decoder of latents.

    With classes, both also get the label of the example: q(z|x, y), p(x|z, y) (Sohn et al. 2015, "Learning structured
    output representation using deep conditional generative models", eq. 4). The encoder gets it as a one-hot vector.
    The decoder gets an embedding of the scale of the latents, which can hold the class as well: of samples of MNIST
    after 1500 steps, a one-hot vector there has a classification accuracy score of 0.73, and the embedding 0.89.

    Attributes:
        shape: shape of one example.
        latent_dim: dimension of the latents.
        outputs: outputs of the decoder per element of an example: the parameters of its distribution.
        encoder_hidden: units of each hidden layer of the encoder.
        decoder_hidden: units of each hidden layer of the decoder.
        activation: activation of the hidden layers, ``relu`` or ``tanh``.
        classes: number of classes that both are conditioned on; 0 for none.
    """

    shape: tuple[int, ...]
    latent_dim: int
    outputs: int
    encoder_hidden: tuple[int, ...]
    decoder_hidden: tuple[int, ...]
    activation: str = "relu"
    classes: int = 0

    def setup(self) -> None:
        self.encoder = DenseLayers(self.encoder_hidden, 2 * self.latent_dim, self.activation)
        self.decoder = DenseLayers(
            self.decoder_hidden, math.prod(self.shape) * self.outputs, self.activation, self.classes
        )

    def __call__(
        self, x: jax.Array, noise: jax.Array, train: bool, y: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Encode ``x``, and decode the latents mean + standard deviation * ``noise``.

        Args:
            x: examples ``(n, *shape)``.
            noise: standard normal ``(n, latent_dim)``, or ``(k, n, latent_dim)`` for k latents per example.
            train: whether batch statistics, if there are any, are those of the batch.
            y: labels of the examples ``(n,)``, int32; None unless there are classes.

        Returns:
            The mean and the log variance of the latents, each ``(n, latent_dim)``, and the decoder's outputs ``(n,
            *shape, outputs)``, or ``(k n, *shape, outputs)``.
        """
        mean, log_variance = self.encode(x, train, y)
        z = mean + jnp.exp(log_variance / 2) * noise
        of_latents = None if y is None else jnp.broadcast_to(y, z.shape[:-1]).reshape(-1)
        return mean, log_variance, self.decode(z.reshape(-1, self.latent_dim), train, of_latents)

    def encode(self, x: jax.Array, train: bool, y: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Map examples ``(n, *shape)`` to the mean and the log variance of their latents, each ``(n, latent_dim)``."""
        del train
        # Most pixels are black, and the first layer is better conditioned if their input is 0 instead of -1. On MNIST
        # the ELBO is 1.4 nats higher after 13 epochs.
        inputs = (x + 1.0) / 2.0 if is_image(self.shape) else x
        inputs = with_one_hot(inputs.reshape(x.shape[0], -1), y, self.classes)
        mean, log_variance = jnp.split(self.encoder(inputs), 2, axis=-1)
        return mean, log_variance

    def decode(self, z: jax.Array, train: bool, y: jax.Array | None = None) -> jax.Array:
        """Map latents ``(n, latent_dim)`` to the decoder's outputs ``(n, *shape, outputs)``."""
        del train
        return self.decoder(z, y).reshape(-1, *self.shape, self.outputs)


@register("architecture", "mlp_vae")
@dataclass(frozen=True)
class MlpVae:
    """A fully connected encoder and decoder for ``method=vae``, for vectors and for small images.

    Formula: h <- f(W h + b) layer by layer; then W h + b, with f = ReLU or tanh
    Paper: Kingma & Welling 2014, "Auto-encoding variational Bayes", appendix C.

    Attributes:
        encoder_hidden: units of each hidden layer of the encoder; empty means 64, 64, 64 for vectors, 500, 500 for
            images.
        decoder_hidden: likewise, of the decoder.
        activation: activation of the hidden layers: ``relu`` (initialised by He's scale), ``tanh`` (by LeCun's), or
            ``auto``: tanh for vectors and relu for images, as measured. On rings and grids of Gaussians tanh has about
            half the divergence of ReLU; on MNIST the ELBO of ReLU is 2.7 nats higher after 13 epochs.
    """

    encoder_hidden: tuple[int, ...] = number((), low=1, high=1_000_000, most=100)
    decoder_hidden: tuple[int, ...] = number((), low=1, high=1_000_000, most=100)
    activation: str = choice("auto", ("auto", *ACTIVATIONS))
    name: str = "mlp_vae"

    def build_autoencoder(
        self, shape: tuple[int, ...], latent_dim: int, outputs: int, classes: int = 0
    ) -> MlpAutoencoder:
        """Return the encoder and the decoder, as one module, for examples of ``shape``.

        Args:
            shape: shape of one example.
            latent_dim: dimension of the latents.
            outputs: outputs of the decoder per element of an example.
            classes: number of classes that both are conditioned on; 0 for none.

        Raises:
            ConfigError: the shape is not supported.
        """
        shape = checked_shape(shape, latent_dim)
        default, suited = ((500, 500), "relu") if is_image(shape) else ((64, 64, 64), "tanh")
        return MlpAutoencoder(
            shape=shape,
            latent_dim=latent_dim,
            outputs=outputs,
            encoder_hidden=tuple(self.encoder_hidden) or default,
            decoder_hidden=tuple(self.decoder_hidden) or default,
            activation=suited if self.activation == "auto" else self.activation,
            classes=classes,
        )
