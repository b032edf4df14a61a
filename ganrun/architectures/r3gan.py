"""Residual networks without normalisation (Huang et al. 2024), for images and, analogously, for vectors.

Residual branches are initialised to zero, so that networks of any depth are similar at the start and train without
normalisation. The default sizes are smaller than the paper's, to suit a CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
from flax import linen as nn

from ganrun.architectures.conditional import with_label
from ganrun.architectures.convolution import FORMS
from ganrun.architectures.discriminator import Discriminator, MinibatchOption
from ganrun.architectures.layers import Conv, largest_divisor, leaky_relu
from ganrun.architectures.networks import Networks, base_and_stages, checked_shape, is_image
from ganrun.architectures.resampling import average_pool, bilinear_upsample
from ganrun.config.registry import choice, number, register
from ganrun.errors import ConfigError

MAX_GROUPS = 1024  # groups of channels in all blocks at one size, each of which adds operations to the program


def branch_init(blocks: int) -> nn.initializers.Initializer:
    """Return the initializer of the layers of a residual branch, except for the last, which is zero.

    Formula: standard deviation sqrt(2 / inputs) * blocks^(-1/4), for ``blocks`` branches of three layers.
    Paper: Zhang et al. 2019, "Fixup initialization: residual learning without normalization", section 3.
    """
    return nn.initializers.variance_scaling(2.0 * blocks**-0.5, "fan_in", "truncated_normal")


class Bottleneck(nn.Module):
    """x plus a branch of 1x1, grouped 3x3 and 1x1 convolutions with more channels inside; the identity at first.

    Attributes:
        blocks: number of blocks of the network, by which the initial weights are scaled.
        expansion: ratio of the channels inside the block to those outside.
        group_width: maximum channels per group; the largest divisor of the channels up to this is used.
        form: how convolutions are computed, see :class:`ganrun.architectures.layers.Conv`.
    """

    blocks: int
    expansion: int
    group_width: int
    form: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)`` to the same shape."""
        inner = self.expansion * x.shape[-1]
        groups = inner // largest_divisor(inner, self.group_width)
        init = branch_init(self.blocks)
        h = leaky_relu(Conv(inner, 1, 1, self.form, kernel_init=init)(x))
        h = leaky_relu(Conv(inner, 3, groups, self.form, kernel_init=init)(h))
        return x + Conv(x.shape[-1], 1, 1, self.form, use_bias=False, kernel_init=nn.initializers.zeros)(h)


class DenseBlock(nn.Module):
    """x plus a branch of three dense layers that are wider inside; the identity at first.

    Attributes:
        blocks: number of blocks of the network, by which the initial weights are scaled.
        expansion: ratio of the units inside the block to those outside.
    """

    blocks: int
    expansion: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, features)`` to the same shape."""
        inner, init = self.expansion * x.shape[-1], branch_init(self.blocks)
        h = leaky_relu(nn.Dense(inner, kernel_init=init)(x))
        h = leaky_relu(nn.Dense(inner, kernel_init=init)(h))
        return x + nn.Dense(x.shape[-1], use_bias=False, kernel_init=nn.initializers.zeros)(h)


class R3ganGenerator(nn.Module):
    """A learned small map scaled by the latent, residual blocks with bilinear upsampling, and a map to the image.

    Attributes:
        base: height and width of the small map.
        stages: number of doublings.
        channels: channels of an image.
        width: channels at full size, doubled at each halving of the side.
        depth: residual blocks at each size.
        expansion: ratio of the channels inside a block to those outside.
        group_width: maximum channels per group of the 3x3 convolutions.
        form: how convolutions are computed.
        classes: number of classes, whose embedding is concatenated with the latent; 0: none.
    """

    base: tuple[int, int]
    stages: int
    channels: int
    width: int
    depth: int
    expansion: int
    group_width: int
    form: str
    classes: int = 0

    @nn.compact
    def __call__(self, z: jax.Array, train: bool, y: jax.Array | None = None) -> jax.Array:
        """Map latents ``(n, latent_dim)`` and labels ``(n,)`` to images ``(n, height, width, channels)`` in [-1, 1]."""
        blocks, widest = (self.stages + 1) * self.depth, self.width * 2**self.stages
        basis = self.param("basis", nn.initializers.normal(1.0), (*self.base, widest))
        x = basis * nn.Dense(widest)(with_label(z, y, self.classes))[:, None, None]
        for stage in reversed(range(self.stages + 1)):
            if stage < self.stages:
                # A 1x1 convolution commutes with the upsampling and is cheaper on the smaller map.
                x = bilinear_upsample(Conv(self.width * 2**stage, 1, 1, self.form, use_bias=False)(x))
            for _ in range(self.depth):
                x = Bottleneck(blocks, self.expansion, self.group_width, self.form)(x)
        return nn.tanh(Conv(self.channels, 1, 1, self.form)(x))


class R3ganDiscriminator(Discriminator):
    """The mirrored generator: a map from the image, residual blocks with average pooling, and a learned weighted sum.

    The weights of the sum over the positions of the last map are the parameter ``basis``.

    The attributes are those of :class:`R3ganGenerator`.
    """

    width: int
    depth: int
    expansion: int
    group_width: int
    form: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None = None, z: jax.Array | None = None) -> jax.Array:
        """Map images ``(n, height, width, channel)``, and labels and latents if given, to logits ``(n,)``."""
        base, stages = base_and_stages(x.shape[1:], "r3gan")
        blocks = (stages + 1) * self.depth
        x = Conv(self.width, 1, 1, self.form)(x)
        for stage in range(stages + 1):
            if stage > 0:
                x = Conv(self.width * 2**stage, 1, 1, self.form, use_bias=False)(average_pool(x))
            for _ in range(self.depth):
                x = Bottleneck(blocks, self.expansion, self.group_width, self.form)(x)
        basis = self.param("basis", nn.initializers.normal(1.0 / math.sqrt(math.prod(base))), x.shape[1:])
        return self.head((x * basis).sum(axis=(1, 2)), y, z)


class R3ganVectorGenerator(nn.Module):
    """A dense layer, dense residual blocks, and a dense layer to the data.

    Attributes:
        dim: dimension of a sample.
        width: units between blocks.
        depth: number of residual blocks.
        expansion: ratio of the units inside a block to those outside.
        classes: number of classes, whose embedding is concatenated with the latent; 0: none.
    """

    dim: int
    width: int
    depth: int
    expansion: int
    classes: int = 0

    @nn.compact
    def __call__(self, z: jax.Array, train: bool, y: jax.Array | None = None) -> jax.Array:
        """Map latents ``(n, latent_dim)`` and labels ``(n,)`` to samples ``(n, dim)``."""
        x = nn.Dense(self.width)(with_label(z, y, self.classes))
        for _ in range(self.depth):
            x = DenseBlock(self.depth, self.expansion)(x)
        return nn.Dense(self.dim)(x)


class R3ganVectorDiscriminator(Discriminator):
    """A dense layer, dense residual blocks, and the logit. The attributes are those of the generator."""

    width: int
    depth: int
    expansion: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None = None, z: jax.Array | None = None) -> jax.Array:
        """Map examples ``(n, dim)``, labels ``(n,)`` and latents ``(n, latent_dim)`` to logits ``(n,)``."""
        x = nn.Dense(self.width)(x)
        for _ in range(self.depth):
            x = DenseBlock(self.depth, self.expansion)(x)
        return self.head(x, y, z)


def require_groups(name: str, settings: tuple[int, int, int, int, str], stages: int) -> None:
    """Raise :class:`ConfigError` if blocks of images would have more than :data:`MAX_GROUPS` groups at one size.

    Args:
        name: the architecture.
        settings: its width, depth, expansion, group width and form of convolutions.
        stages: number of doublings of the side.
    """
    width, depth, expansion, group_width, _ = settings
    inner = width * 2**stages * expansion
    groups = depth * (inner // largest_divisor(inner, group_width))
    if groups > MAX_GROUPS:
        raise ConfigError(
            f"architecture={name} may have at most {MAX_GROUPS} groups of channels at one size, not {groups}: "
            "choose a larger group_width that divides width times expansion."
        )


@register("architecture", "r3gan")
@dataclass(frozen=True)
class R3gan(MinibatchOption):
    """Residual networks without normalisation, for vectors and for images of a size as in dcgan.

    Generator and discriminator are symmetric.

    Formula: block(x) = x + C1(leaky(C3(leaky(C1'(x))))), the last layer initialised to zero, the others scaled by
    blocks^(-1/4); C3 is a grouped 3x3 convolution, the others 1x1. Dense layers for vectors.
    Paper: Huang et al. 2024, "The GAN is dead; long live the GAN! A modern GAN baseline"; here smaller, and with
    tanh at the end.

    Attributes:
        width: channels at full size, doubled at each halving of the side (images), or units (vectors); 0: 32 or 64.
        depth: residual blocks at each size (images) or in total (vectors); 0: 1 or 3.
        expansion: ratio of the channels inside a block to those outside.
        group_width: maximum channels per group of the 3x3 convolutions.
        convolution: ``matmul``, ``xla``, or ``auto`` for the faster one on the backend (population members always use
            ``matmul``).
    """

    width: int = number(0, low=0, high=65_536)
    depth: int = number(0, low=0, high=64)
    expansion: int = number(2, low=1, high=64)
    group_width: int = number(16, low=1, high=65_536)
    convolution: str = choice("auto", FORMS)
    name: str = "r3gan"

    def build(self, shape: tuple[int, ...], latent_dim: int, classes: int = 0, outputs: int = 1) -> Networks:
        """Return the networks for examples of ``shape``; raise :class:`ConfigError` if it is not supported."""
        shape = checked_shape(shape, latent_dim)
        head_options, by_example = self.head_options(classes, outputs), self.minibatch == "none"
        if not is_image(shape):
            dense = (self.width or 64, self.depth or 3, self.expansion)
            return Networks(
                R3ganVectorGenerator(shape[0], *dense, classes),
                R3ganVectorDiscriminator(*dense, **head_options),
                by_example=by_example,
                piecewise_linear=by_example,
            )
        base, stages = base_and_stages(shape, self.name)
        settings = (self.width or 32, self.depth or 1, self.expansion, self.group_width, self.convolution)
        require_groups(self.name, settings, stages)
        generator = R3ganGenerator(base, stages, shape[-1], *settings, classes)
        discriminator = R3ganDiscriminator(*settings, **head_options)
        return Networks(generator, discriminator, by_example=by_example, piecewise_linear=by_example)
