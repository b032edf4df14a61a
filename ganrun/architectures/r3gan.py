"""Residual networks without normalisation (Huang et al. 2024), for images, and the same idea for vectors.

Residual branches start at zero, so that networks of any depth start alike and need no normalisation to train; the
sizes are the smaller ones of a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
from flax import linen as nn

from ganrun.architectures.conditional import with_label
from ganrun.architectures.discriminator import Discriminator, MinibatchOption
from ganrun.architectures.layers import FORMS, Conv, largest_divisor, leaky_relu
from ganrun.architectures.networks import Networks, base_and_stages, checked_shape, is_image
from ganrun.architectures.resampling import average_pool, bilinear_upsample
from ganrun.errors import ConfigError
from ganrun.registry import choice, number, register

MOST_GROUPS = 1024  # of channels, of all blocks at one size: each is a piece of the program by itself


def branch_init(blocks: int) -> nn.initializers.Initializer:
    """Return the initializer of a residual branch's layers before its last, which starts at zero.

    Formula: standard deviation sqrt(2 / inputs) * blocks^(-1/4), for ``blocks`` branches of three layers.
    Paper: Zhang et al. 2019, "Fixup initialization: residual learning without normalization", section 3.
    """
    return nn.initializers.variance_scaling(2.0 * blocks**-0.5, "fan_in", "truncated_normal")


class Bottleneck(nn.Module):
    """x + 1x1, grouped 3x3 and 1x1 convolutions, with more channels inside than outside; at first, x.

    Attributes:
        blocks: of the network that it is in, by which it is scaled.
        expansion: channels inside for each one outside.
        group_width: most channels of a group; the largest number that divides them is taken.
        form: how convolutions are computed, see :class:`ganrun.architectures.layers.Conv`.
    """

    blocks: int
    expansion: int
    group_width: int
    form: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, side, side, channel)`` to the same shape."""
        inner = self.expansion * x.shape[-1]
        groups = inner // largest_divisor(inner, self.group_width)
        init = branch_init(self.blocks)
        h = leaky_relu(Conv(inner, 1, 1, self.form, kernel_init=init)(x))
        h = leaky_relu(Conv(inner, 3, groups, self.form, kernel_init=init)(h))
        return x + Conv(x.shape[-1], 1, 1, self.form, use_bias=False, kernel_init=nn.initializers.zeros)(h)


class DenseBlock(nn.Module):
    """x + three dense layers, wider inside than outside; at first, x.

    Attributes:
        blocks: of the network that it is in, by which it is scaled.
        expansion: units inside for each one outside.
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
    """A learned small map scaled by the latent, then residual blocks and bilinear doublings, and a map to the image.

    Attributes:
        base: side of the small map.
        stages: how often it is doubled.
        channels: channels of an image.
        width: channels at full size; twice as many at each halving.
        depth: residual blocks at each size.
        expansion: channels inside a block for each one outside.
        group_width: most channels of a group of the 3x3 convolutions.
        form: how convolutions are computed.
        classes: of labels, which stand beside the latent; 0: none.
    """

    base: int
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
        """Map latents ``(n, latent_dim)`` and labels ``(n,)`` to images ``(n, side, side, channels)`` in [-1, 1]."""
        blocks, widest = (self.stages + 1) * self.depth, self.width * 2**self.stages
        basis = self.param("basis", nn.initializers.normal(1.0), (self.base, self.base, widest))
        x = basis * nn.Dense(widest)(with_label(z, y, self.classes))[:, None, None]
        for stage in reversed(range(self.stages + 1)):
            if stage < self.stages:
                # Before the doubling, with which it commutes: the small map is the cheaper one.
                x = bilinear_upsample(Conv(self.width * 2**stage, 1, 1, self.form, use_bias=False)(x))
            for _ in range(self.depth):
                x = Bottleneck(blocks, self.expansion, self.group_width, self.form)(x)
        return nn.tanh(Conv(self.channels, 1, 1, self.form)(x))


class R3ganDiscriminator(Discriminator):
    """The generator backwards: a map from the image, residual blocks and halvings, a learned weight for each position.

    The attributes are those of :class:`R3ganGenerator`.
    """

    width: int
    depth: int
    expansion: int
    group_width: int
    form: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None = None, z: jax.Array | None = None) -> jax.Array:
        """Map images ``(n, side, side, channel)`` to logits ``(n,)``, by labels and with latents where given."""
        base, stages = base_and_stages(x.shape[1:], "r3gan")
        blocks = (stages + 1) * self.depth
        x = Conv(self.width, 1, 1, self.form)(x)
        for stage in range(stages + 1):
            if stage > 0:
                x = Conv(self.width * 2**stage, 1, 1, self.form, use_bias=False)(average_pool(x))
            for _ in range(self.depth):
                x = Bottleneck(blocks, self.expansion, self.group_width, self.form)(x)
        basis = self.param("basis", nn.initializers.normal(1.0 / base), x.shape[1:])
        return self.judge((x * basis).sum(axis=(1, 2)), y, z)


class R3ganVectorGenerator(nn.Module):
    """A dense layer, dense residual blocks, and a dense layer to the data.

    Attributes:
        dim: numbers of a sample.
        width: units between blocks.
        depth: residual blocks.
        expansion: units inside a block for each one outside.
        classes: of labels, which stand beside the latent; 0: none.
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
    """A dense layer, dense residual blocks, and the logit; the attributes are the generator's."""

    width: int
    depth: int
    expansion: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None = None, z: jax.Array | None = None) -> jax.Array:
        """Map examples ``(n, dim)``, labels ``(n,)`` and latents ``(n, latent_dim)`` to logits ``(n,)``."""
        x = nn.Dense(self.width)(x)
        for _ in range(self.depth):
            x = DenseBlock(self.depth, self.expansion)(x)
        return self.judge(x, y, z)


@register("architecture", "r3gan")
@dataclass(frozen=True)
class R3gan(MinibatchOption):
    """Residual networks without normalisation, alike on both sides, for vectors and for images with a side as in dcgan.

    Formula: block(x) = x + C1(leaky(C3(leaky(C1'(x))))), the last layer from zero, the others scaled by
    blocks^(-1/4); C3 is a grouped 3x3 convolution, the others 1x1. Dense layers for vectors.
    Paper: Huang et al. 2024, "The GAN is dead; long live the GAN! A modern GAN baseline"; here smaller, and with
    tanh at the end.

    Attributes:
        width: channels at full size, doubled at each halving of the side, or units for vectors; 0: 32 and 64.
        depth: residual blocks at each size, or in all for vectors; 0: 1 and 3.
        expansion: channels inside a block for each one outside.
        group_width: most channels of a group of the 3x3 convolutions.
        convolution: ``matmul``, ``xla``, or ``auto`` for the one that suits the backend (lanes always take ``matmul``).
    """

    width: int = number(0, low=0, high=65_536)
    depth: int = number(0, low=0, high=64)
    expansion: int = number(2, low=1, high=64)
    group_width: int = number(16, low=1, high=65_536)
    convolution: str = choice("auto", FORMS)
    name: str = "r3gan"

    def build(self, shape: tuple[int, ...], latent_dim: int, classes: int = 0, outputs: int = 1) -> Networks:
        """Return the networks for examples of ``shape``; raise :class:`ConfigError` for a shape they cannot have."""
        shape = checked_shape(shape, latent_dim)
        ending = self.ending(classes, outputs)
        if not is_image(shape):
            dense = (self.width or 64, self.depth or 3, self.expansion)
            return Networks(R3ganVectorGenerator(shape[0], *dense, classes), R3ganVectorDiscriminator(*dense, **ending))
        base, stages = base_and_stages(shape, self.name)
        own = (self.width or 32, self.depth or 1, self.expansion, self.group_width, self.convolution)
        inner = own[0] * 2**stages * self.expansion
        groups = own[1] * (inner // largest_divisor(inner, self.group_width))
        if groups > MOST_GROUPS:
            raise ConfigError(
                f"architecture=r3gan may have at most {MOST_GROUPS} groups of channels at one size, not {groups}: "
                "choose a larger group_width that divides width times expansion."
            )
        return Networks(R3ganGenerator(base, stages, shape[-1], *own, classes), R3ganDiscriminator(*own, **ending))
