"""Fully connected networks that compute the distribution of an example from a corrupted copy of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
from flax import linen as nn

from ganrun.architectures.autoencoder import ACTIVATIONS, DenseLayers
from ganrun.architectures.networks import checked_shape, is_image
from ganrun.config.registry import choice, number, register


class MlpDenoiser(nn.Module):
    """A map from corrupted examples to the parameters of the distributions of the examples.

    Attributes:
        shape: shape of one example.
        outputs: outputs per element of an example: the parameters of its distribution.
        hidden: units of each hidden layer.
        activation: activation of the hidden layers, ``relu`` or ``tanh``.
    """

    shape: tuple[int, ...]
    outputs: int
    hidden: tuple[int, ...]
    activation: str = "relu"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Map ``x`` ``(n, *shape)`` to the parameters ``(n, *shape, outputs)``; black pixels are inputs of 0."""
        del train
        inputs = (x + 1.0) / 2.0 if is_image(self.shape) else x
        layers = DenseLayers(self.hidden, math.prod(self.shape) * self.outputs, self.activation)
        return layers(inputs.reshape(x.shape[0], -1)).reshape(-1, *self.shape, self.outputs)


@register("architecture", "mlp_denoiser")
@dataclass(frozen=True)
class MlpDenoiserOption:
    """A fully connected denoiser for ``method=gsn``, for vectors and for small images.

    Formula: h <- f(W h + b) layer by layer; then W h + b, with f = ReLU or tanh
    Paper: Bengio et al. 2014, "Deep generative stochastic networks trainable by backprop".

    Attributes:
        hidden: units of each hidden layer; empty means 64, 64, 64 for vectors, 500, 500 for images.
        activation: activation of the hidden layers: ``relu`` (initialised by He's scale), ``tanh`` (by LeCun's), or
            ``auto``: tanh for vectors and relu for images, as for autoencoders.
    """

    hidden: tuple[int, ...] = number((), low=1, high=1_000_000, most=100)
    activation: str = choice("auto", ("auto", *ACTIVATIONS))
    name: str = "mlp_denoiser"

    def build_denoiser(self, shape: tuple[int, ...], outputs: int) -> MlpDenoiser:
        """Return the denoiser for examples of ``shape`` and ``outputs`` parameters per element.

        Raises:
            ConfigError: the shape is not supported.
        """
        shape = checked_shape(shape, 1)
        default, suited = ((500, 500), "relu") if is_image(shape) else ((64, 64, 64), "tanh")
        return MlpDenoiser(
            shape=shape,
            outputs=outputs,
            hidden=tuple(self.hidden) or default,
            activation=suited if self.activation == "auto" else self.activation,
        )
