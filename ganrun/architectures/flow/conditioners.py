"""The networks that compute the parameters of a coupling: dense layers for vectors, convolutions for images.

Their last layer is initially zero, so that a coupling is initially the identity. Labels add a bias for each class to
the first layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
from flax import linen as nn

from ganrun.architectures.autoencoder import ACTIVATIONS
from ganrun.architectures.conditional import Embedding
from ganrun.architectures.layers import Conv

_zeros, _he = nn.initializers.zeros, nn.initializers.he_normal()  # created once: modules compare them by identity
# An embedding of the classes has no effect on the initial flow, but on the gradient of the last layer.
_embedding = nn.initializers.normal(1.0)


class DenseConditioner(nn.Module):
    """Dense hidden layers, then a dense layer to the outputs.

    Attributes:
        hidden: units of each hidden layer, at least one layer.
        outputs: number of outputs.
        activation: of the hidden layers, a key of :data:`ganrun.architectures.autoencoder.ACTIVATIONS`.
        classes: number of classes; 0 for none.
    """

    hidden: tuple[int, ...]
    outputs: int
    activation: str
    classes: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None = None) -> jax.Array:
        """Map ``(n, inputs)``, and labels ``(n,)`` if there are classes, to ``(n, outputs)``."""
        activation, kernel_init = ACTIVATIONS[self.activation]
        for layer, features in enumerate(self.hidden):
            x = nn.Dense(features, kernel_init=kernel_init)(x)
            if layer == 0 and self.classes:
                x = x + Embedding(self.classes, features, _embedding)(y)
            x = activation(x)
        return nn.Dense(self.outputs, kernel_init=_zeros)(x)


class ResidualConditioner(nn.Module):
    """A convolution, residual blocks of two convolutions each, and a 1x1 convolution to the outputs; all keep the side.

    Paper: Dinh et al. 2017, "Density estimation using Real NVP", section 4.1, without batch normalisation.

    Attributes:
        width: channels of the hidden maps.
        blocks: number of residual blocks.
        outputs: output channels.
        form: how convolutions are computed, see :class:`ganrun.architectures.layers.Conv`.
        classes: number of classes; 0 for none.
    """

    width: int
    blocks: int
    outputs: int
    form: str = "auto"
    classes: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None = None) -> jax.Array:
        """Map ``(n, h, w, channels)``, and labels ``(n,)`` if there are classes, to ``(n, h, w, outputs)``."""
        h = Conv(self.width, form=self.form)(x)
        if self.classes:
            h = h + Embedding(self.classes, self.width, _embedding)(y)[:, None, None, :]
        for _ in range(self.blocks):
            r = Conv(self.width, form=self.form, kernel_init=_he)(nn.relu(h))
            h = h + Conv(self.width, form=self.form, kernel_init=_he)(nn.relu(r))
        return Conv(self.outputs, size=1, form=self.form, kernel_init=_zeros)(nn.relu(h))


@dataclass(frozen=True)
class Dense:
    """The settings of a :class:`DenseConditioner`, whose attributes these are."""

    hidden: tuple[int, ...]
    activation: str

    def build(self, outputs: int, classes: int) -> DenseConditioner:
        return DenseConditioner(self.hidden, outputs, self.activation, classes)


@dataclass(frozen=True)
class Residual:
    """The settings of a :class:`ResidualConditioner`, whose attributes these are."""

    width: int
    blocks: int
    form: str

    def build(self, outputs: int, classes: int) -> ResidualConditioner:
        return ResidualConditioner(self.width, self.blocks, outputs, self.form, classes)
