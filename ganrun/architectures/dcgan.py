"""Deep convolutional networks for images (Radford et al. 2015, figure 1 and section 3), of any number of stages."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from flax import linen as nn

from ganrun.architectures.layers import FORMS, StridedConv, TransposedConv, batch_norm, dcgan_init, leaky_relu
from ganrun.architectures.networks import Networks, checked_shape, describe, is_image
from ganrun.errors import ConfigError
from ganrun.registry import choice, number, register

# The side of the smallest feature map: halving any side that fits ends at exactly one of these.
BASES = (4, 5, 6, 7)


class DcganGenerator(nn.Module):
    """A dense layer to a small map, then transposed convolutions that each double it and halve its channels.

    Attributes:
        base: side of the small map.
        stages: how often it is doubled.
        channels: channels of an image.
        width: channels before the last stage.
        batch_norm: normalise every layer but the last.
        form: how convolutions are computed, see :class:`ganrun.architectures.layers.TransposedConv`.
    """

    base: int
    stages: int
    channels: int
    width: int
    batch_norm: bool
    form: str

    @nn.compact
    def __call__(self, z: jax.Array, train: bool) -> jax.Array:
        """Map latents ``(n, latent_dim)`` to images ``(n, side, side, channels)`` in [-1, 1]."""
        widths = [self.width * 2**stage for stage in reversed(range(self.stages))]
        x = nn.Dense(self.base * self.base * widths[0], kernel_init=dcgan_init)(z)
        x = self._activate(x.reshape(-1, self.base, self.base, widths[0]), train)
        for features in widths[1:]:
            x = self._activate(TransposedConv(features, self.form)(x), train)
        return nn.tanh(TransposedConv(self.channels, self.form)(x))

    def _activate(self, x: jax.Array, train: bool) -> jax.Array:
        return nn.relu(batch_norm(train)(x) if self.batch_norm else x)


class DcganDiscriminator(nn.Module):
    """Strided convolutions that each halve the image and double the channels, then one logit.

    Attributes:
        stages: how often the image is halved.
        width: channels after the first convolution.
        batch_norm: normalise every convolution but the first.
        form: how convolutions are computed, see :class:`ganrun.architectures.layers.StridedConv`.
    """

    stages: int
    width: int
    batch_norm: bool
    form: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Map images ``(n, side, side, channel)`` to logits ``(n,)``."""
        for stage in range(self.stages):
            x = StridedConv(self.width * 2**stage, self.form)(x)
            x = leaky_relu(batch_norm(train)(x) if self.batch_norm and stage > 0 else x)
        return nn.Dense(1, kernel_init=dcgan_init)(x.reshape(x.shape[0], -1))[:, 0]


@register("architecture", "dcgan")
@dataclass(frozen=True)
class Dcgan:
    """DCGAN for square images whose side is 4, 5, 6 or 7 times a power of two.

    Attributes:
        width: channels of the discriminator's first layer, doubled at each further one; the generator mirrors it.
        batch_norm: normalise all layers but the generator's last and the discriminator's first.
        convolution: ``matmul``, ``xla``, or ``auto`` for the one that suits the backend (lanes always take ``matmul``).
    """

    width: int = number(64, low=1)
    batch_norm: bool = True
    convolution: str = choice("auto", FORMS)
    name: str = "dcgan"

    def build(self, shape: tuple[int, ...], latent_dim: int) -> Networks:
        """Return the networks for images of ``shape``; raise :class:`ConfigError` for a shape they cannot have."""
        shape = checked_shape(shape, latent_dim)
        base, stages = base_and_stages(shape)
        return Networks(
            DcganGenerator(base, stages, shape[-1], self.width, self.batch_norm, self.convolution),
            DcganDiscriminator(stages, self.width, self.batch_norm, self.convolution),
        )


def base_and_stages(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return ``(base, n)`` with side = base * 2**n, 4 <= base <= 7 and n >= 1.

    Raises:
        ConfigError: the shape is not that of a square image with such a side.
    """
    if not is_image(shape):
        raise ConfigError(f"architecture=dcgan takes square images; the data is {describe(shape)}. Try mlp or maxout.")
    base, stages = shape[0], 0
    while base > max(BASES) and base % 2 == 0:
        base, stages = base // 2, stages + 1
    if shape[0] != shape[1] or base not in BASES or stages < 1:
        raise ConfigError(
            "architecture=dcgan takes square images whose side is 4, 5, 6 or 7 times a power of two "
            f"(8, 10, 12, 14, 16, ..., 28, 32, ...); the data is {describe(shape)}."
        )
    return base, stages
