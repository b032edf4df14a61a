"""Deep convolutional networks for images (Radford et al. 2015, figure 1 and section 3), with any number of stages."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
from flax import linen as nn

from ganrun.architectures.attention import attend, attended_side
from ganrun.architectures.conditional import normalise, with_label
from ganrun.architectures.convolution import FORMS
from ganrun.architectures.discriminator import Discriminator, MinibatchOption
from ganrun.architectures.layers import StridedConv, TransposedConv, batch_norm, dcgan_init, leaky_relu
from ganrun.architectures.networks import Networks, base_and_stages, checked_shape
from ganrun.config.registry import choice, number, register


class DcganGenerator(nn.Module):
    """A dense layer to a small map, then transposed convolutions that each double its side and halve its channels.

    Attributes:
        base: height and width of the small map.
        stages: number of doublings.
        channels: channels of an image.
        width: channels before the last stage.
        batch_norm: normalise every layer but the last.
        form: how convolutions are computed, see :class:`ganrun.architectures.layers.TransposedConv`.
        classes: number of classes, 0 for none; labels condition the batch norm, or the latent without batch norm.
        attention: height of the map with self-attention; 0: none.
    """

    base: tuple[int, int]
    stages: int
    channels: int
    width: int
    batch_norm: bool
    form: str
    classes: int = 0
    attention: int = 0

    @nn.compact
    def __call__(self, z: jax.Array, train: bool, y: jax.Array | None = None) -> jax.Array:
        """Map latents ``(n, latent_dim)`` and labels ``(n,)`` to images ``(n, height, width, channels)`` in [-1, 1]."""
        z = z if self.batch_norm else with_label(z, y, self.classes)
        widths = [self.width * 2**stage for stage in reversed(range(self.stages))]
        x = nn.Dense(math.prod(self.base) * widths[0], kernel_init=dcgan_init)(z)
        x = self._activate(x.reshape(-1, *self.base, widths[0]), train, y)
        for features in widths[1:]:
            x = self._activate(TransposedConv(features, self.form)(x), train, y)
        return nn.tanh(TransposedConv(self.channels, self.form)(x))

    def _activate(self, x: jax.Array, train: bool, y: jax.Array | None) -> jax.Array:
        x = nn.relu(normalise(x, train, y, self.classes) if self.batch_norm else x)
        return attend(x, self.attention)


class DcganDiscriminator(Discriminator):
    """Strided convolutions that each halve the side and double the channels, then the logit.

    Attributes:
        stages: number of halvings.
        width: channels after the first convolution.
        batch_norm: normalise every convolution but the first.
        form: how convolutions are computed, see :class:`ganrun.architectures.layers.StridedConv`.
        attention: height of the map with self-attention; 0: none.
    """

    stages: int
    width: int
    batch_norm: bool
    form: str
    attention: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None = None, z: jax.Array | None = None) -> jax.Array:
        """Map images ``(n, height, width, channel)``, and labels and latents if given, to logits ``(n,)``."""
        return self.head(_convolutions(self, x, train), y, z, dcgan_init)


class DcganEncoder(nn.Module):
    """The discriminator's convolutions, then a dense layer to the latent.

    The attributes are the discriminator's, and ``latent_dim``, the dimension of the latent.
    """

    stages: int
    width: int
    batch_norm: bool
    form: str
    latent_dim: int
    attention: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Map images ``(n, height, width, channel)`` to latents ``(n, latent_dim)``."""
        return nn.Dense(self.latent_dim)(_convolutions(self, x, train).reshape(x.shape[0], -1))


def _convolutions(network: DcganDiscriminator | DcganEncoder, x: jax.Array, train: bool) -> jax.Array:
    for stage in range(network.stages):
        x = StridedConv(network.width * 2**stage, network.form)(x)
        x = leaky_relu(batch_norm(train)(x) if network.batch_norm and stage > 0 else x)
        x = attend(x, network.attention)
    return x


@register("architecture", "dcgan")
@dataclass(frozen=True)
class Dcgan(MinibatchOption):
    """Strided convolutions with batch norm, for images whose shorter side is 4, 5, 6 or 7 times a power of two.

    Paper: Radford et al. 2015, "Unsupervised representation learning with deep convolutional generative adversarial
    networks", section 3.

    Attributes:
        width: channels of the discriminator's first layer, doubled at each further one; the generator mirrors it.
        batch_norm: normalise all layers but the generator's last and the discriminator's first.
        convolution: ``matmul``, ``xla``, or ``auto`` for the faster one on the backend (population members always use
            ``matmul``).
        attention: self-attention (Zhang et al. 2019) on one hidden map of each network.
        attention_side: that map is the smallest one with at least this height, or the largest if there is none.
    """

    width: int = number(64, low=1, high=65_536)
    batch_norm: bool = True
    convolution: str = choice("auto", FORMS)
    attention: bool = False
    attention_side: int = number(14, low=1, high=65_536)
    name: str = "dcgan"

    def build(self, shape: tuple[int, ...], latent_dim: int, classes: int = 0, outputs: int = 1) -> Networks:
        """Return the networks for images of ``shape``; raise :class:`ConfigError` for a shape that is not supported."""
        shape = checked_shape(shape, latent_dim)
        base, stages = base_and_stages(shape)
        sides = [base[0] * 2**stage for stage in range(stages)]
        at = attended_side(sides, self.attention_side) if self.attention else 0
        settings = (self.width, self.batch_norm, self.convolution)
        by_example = self.minibatch == "none" and not self.batch_norm
        return Networks(
            DcganGenerator(base, stages, shape[-1], *settings, classes, at),
            DcganDiscriminator(stages, *settings, at, **self.head_options(classes, outputs)),
            DcganEncoder(stages, *settings, latent_dim, at),
            by_example=by_example,
            piecewise_linear=by_example and not self.attention,
        )
