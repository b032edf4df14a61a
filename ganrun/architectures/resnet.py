"""Residual networks for images (Gulrajani et al. 2017; Miyato et al. 2018, appendix B), with any number of stages."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
from flax import linen as nn

from ganrun.architectures.attention import attend, attended_side
from ganrun.architectures.conditional import normalise
from ganrun.architectures.convolution import FORMS
from ganrun.architectures.discriminator import Discriminator, MinibatchOption
from ganrun.architectures.layers import Conv
from ganrun.architectures.networks import Networks, base_and_stages, checked_shape
from ganrun.architectures.resampling import average_pool, nearest_upsample
from ganrun.config.registry import choice, number, register

# Glorot's initializer, with He's gain for layers that are followed by a ReLU, which halves the variance.
residual_init = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")
plain_init = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
POOLING = ("mean", "sum")


class GeneratorBlock(nn.Module):
    """x plus a branch of two convolutions, each preceded by batch norm and ReLU; may double the side.

    Attributes:
        features: output channels.
        double: whether the side is doubled.
        form: how convolutions are computed, see :class:`ganrun.architectures.layers.Conv`.
        classes: number of classes, which condition the batch norm; 0: none.
    """

    features: int
    double: bool
    form: str
    classes: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None = None) -> jax.Array:
        """Map ``(n, height, width, channel)`` to ``(n, side, side, features)`` or twice the side."""
        h = nn.relu(normalise(x, train, y, self.classes))
        up = "up" if self.double else "none"
        h = Conv(self.features, form=self.form, resample=up, kernel_init=residual_init)(h)
        h = nn.relu(normalise(h, train, y, self.classes))
        h = Conv(self.features, form=self.form, kernel_init=residual_init)(h)
        # A 1x1 convolution commutes with the resampling and is cheaper on the smaller map.
        x = _shortcut(x, self.features, self.double, self.form)
        return h + (nearest_upsample(x) if self.double else x)


class DiscriminatorBlock(nn.Module):
    """x plus a branch of two convolutions, each preceded by ReLU, without normalisation; may halve the side.

    Attributes:
        features: output channels.
        halve: whether the side is halved.
        form: how convolutions are computed.
        first: the input is an image, so there is no ReLU before the first convolution.
    """

    features: int
    halve: bool
    form: str
    first: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)`` to ``(n, side, side, features)`` or half the side."""
        h = x if self.first else nn.relu(x)
        h = nn.relu(Conv(self.features, form=self.form, kernel_init=residual_init)(h))
        down = "down" if self.halve else "none"
        h = Conv(self.features, form=self.form, resample=down, kernel_init=residual_init)(h)
        x = average_pool(x) if self.halve else x
        return h + _shortcut(x, self.features, self.halve, self.form)


def _shortcut(x: jax.Array, features: int, resampled: bool, form: str) -> jax.Array:
    if x.shape[-1] == features and not resampled:
        return x
    return Conv(features, size=1, form=form, kernel_init=plain_init)(x)


class ResnetGenerator(nn.Module):
    """A dense layer to a small map, then residual blocks that double its side, and a convolution to the image.

    Attributes:
        base: height and width of the small map.
        stages: number of doublings.
        channels: channels of an image.
        width: channels at full size, doubled at each halving of the side.
        depth: blocks per stage.
        form: how convolutions are computed.
        classes: number of classes, which condition the batch norm; 0: none.
        attention: height of the map with self-attention; 0: none.
    """

    base: tuple[int, int]
    stages: int
    channels: int
    width: int
    depth: int
    form: str
    classes: int = 0
    attention: int = 0

    @nn.compact
    def __call__(self, z: jax.Array, train: bool, y: jax.Array | None = None) -> jax.Array:
        """Map latents ``(n, latent_dim)`` and labels ``(n,)`` to images ``(n, height, width, channels)`` in [-1, 1]."""
        widest = self.width * 2**self.stages
        x = nn.Dense(math.prod(self.base) * widest, kernel_init=plain_init)(z)
        x = attend(x.reshape(-1, *self.base, widest), self.attention)
        for stage in reversed(range(self.stages)):
            for block in range(self.depth):
                x = GeneratorBlock(self.width * 2**stage, block == 0, self.form, self.classes)(x, train, y)
            x = attend(x, self.attention)
        x = nn.relu(normalise(x, train, y, self.classes))
        return nn.tanh(Conv(self.channels, form=self.form, kernel_init=plain_init)(x))


class ResnetDiscriminator(Discriminator):
    """Residual blocks that halve the side, more blocks at the smallest side, global pooling, then the logit.

    Attributes:
        width: channels after the first stage, doubled at each further one.
        depth: blocks per stage, and after the last stage.
        pooling: global pooling, the ``mean`` or the ``sum`` over positions.
        form: how convolutions are computed.
        attention: height of the map with self-attention; 0: none.
    """

    width: int
    depth: int
    pooling: str
    form: str
    attention: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None = None, z: jax.Array | None = None) -> jax.Array:
        """Map images ``(n, height, width, channel)``, and labels and latents if given, to logits ``(n,)``."""
        _, stages = base_and_stages(x.shape[1:], "resnet")
        for stage in range(stages):
            for block in range(self.depth):
                x = DiscriminatorBlock(self.width * 2**stage, block == 0, self.form, stage == block == 0)(x)
            x = attend(x, self.attention)
        for _ in range(self.depth):
            x = DiscriminatorBlock(x.shape[-1], False, self.form)(x)
        x = nn.relu(x)
        pooled = x.sum(axis=(1, 2)) if self.pooling == "sum" else x.mean(axis=(1, 2))
        return self.head(pooled, y, z, plain_init)


@register("architecture", "resnet")
@dataclass(frozen=True)
class Resnet(MinibatchOption):
    """Residual networks, with batch norm in the generator only, for images of a size as in dcgan.

    Formula: block(x) = x + conv(relu(bn(conv(relu(bn(x)))))), both paths resampled; the discriminator without bn.
    Paper: Miyato et al. 2018, "Spectral normalization for generative adversarial networks", appendix B; Gulrajani et
    al. 2017, "Improved training of Wasserstein GANs".

    Attributes:
        width: channels at full size, doubled at each halving of the side.
        depth: residual blocks at each size.
        pooling: global pooling in the discriminator: ``mean`` (Gulrajani et al.) or ``sum`` (Miyato et al., whose
            spectral normalisation keeps it small).
        convolution: ``matmul``, ``xla``, or ``auto`` for the faster one on the backend (population members always use
            ``matmul``).
        attention: self-attention (Zhang et al. 2019) on one hidden map of each network.
        attention_side: that map is the smallest one with at least this height, or the largest if there is none.
    """

    width: int = number(32, low=1, high=65_536)
    depth: int = number(1, low=1, high=64)
    pooling: str = choice("mean", POOLING)
    convolution: str = choice("auto", FORMS)
    attention: bool = False
    attention_side: int = number(14, low=1, high=65_536)
    name: str = "resnet"

    def build(self, shape: tuple[int, ...], latent_dim: int, classes: int = 0, outputs: int = 1) -> Networks:
        """Return the networks for images of ``shape``; raise :class:`ConfigError` if it is not supported."""
        shape = checked_shape(shape, latent_dim)
        base, stages = base_and_stages(shape, self.name)
        sides = [base[0] * 2**stage for stage in range(stages)]
        at = attended_side(sides, self.attention_side) if self.attention else 0
        form = self.convolution
        return Networks(
            ResnetGenerator(base, stages, shape[-1], self.width, self.depth, form, classes, at),
            ResnetDiscriminator(self.width, self.depth, self.pooling, form, at, **self.head_options(classes, outputs)),
            by_example=self.minibatch == "none",
            piecewise_linear=self.minibatch == "none" and not self.attention,
        )
