"""The network of the classifier: a small convolutional network for images of any size, dense layers for vectors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

from ganrun.architectures.convolution import strided_convolution

FEATURES = 128  # of the penultimate layer
WIDTH, WIDEST = 32, 128  # channels after the first halving of the side, and at most
SMALLEST = 7  # maximum side of the last map
HIDDEN = 256  # units of the dense layers for vectors


class ClassifierNetwork(nn.Module):
    """Maps examples to the logits of their classes, and to the features of the layer before.

    An image is halved by 4x4 convolutions with stride 2, each followed by a ReLU, until both sides are at most 7. A
    vector passes two dense layers with ReLU. A dense layer with ReLU then gives the features, and another the logits.

    Attributes:
        classes: number of classes.
        form: how convolutions are computed, see :mod:`ganrun.architectures.convolution.forms`.
    """

    classes: int
    form: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map ``(n, height, width, channel)`` or ``(n, dim)`` to features ``(n, 128)`` and logits ``(n, classes)``."""
        if x.ndim == 4:
            width = WIDTH
            while max(x.shape[1:3]) > SMALLEST or x.shape[-1] < WIDTH:
                x = nn.relu(HalvingConv(width, self.form)(x))
                width = min(WIDEST, 2 * width)
            x = x.reshape(len(x), -1)
        else:
            for _ in range(2):
                x = nn.relu(nn.Dense(HIDDEN, kernel_init=nn.initializers.he_normal())(x))
        features = nn.relu(nn.Dense(FEATURES, kernel_init=nn.initializers.he_normal())(x))
        return features, nn.Dense(self.classes)(features)


class HalvingConv(nn.Module):
    """A 4x4 convolution with stride 2 that halves the sides; odd sides are first padded with a row or column of zeros.

    Parameters: ``kernel`` ``(4, 4, input channels, features)``, He et al.'s initializer, and ``bias``, zero.

    Attributes:
        features: output channels.
        form: how it is computed.
    """

    features: int
    form: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)`` to ``(n, ceil(height / 2), ceil(width / 2), features)``."""
        x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
        kernel = self.param("kernel", nn.initializers.he_normal(), (4, 4, x.shape[-1], self.features))
        return strided_convolution(x, kernel, self.form) + self.param("bias", nn.initializers.zeros, (self.features,))
