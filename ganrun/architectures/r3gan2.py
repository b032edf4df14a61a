"""Magnitude-preserving residual networks, for images and, analogously, for vectors."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from flax import linen as nn

from ganrun.architectures.conditional import Projection, with_label
from ganrun.architectures.convolution import FORMS
from ganrun.architectures.discriminator import PAIR, Discriminator, MinibatchOption, keep_features
from ganrun.architectures.layers import largest_divisor
from ganrun.architectures.magnitude_preserving import (
    Gain,
    MpConv,
    MpDense,
    mp_concatenate,
    mp_leaky_relu,
    mp_sum,
    normalised,
    pixels_to_channels,
    unit_init,
    with_constant,
)
from ganrun.architectures.minibatch import with_minibatch
from ganrun.architectures.networks import Networks, base_and_stages, checked_shape, is_image
from ganrun.architectures.r3gan import require_groups
from ganrun.architectures.resampling import nearest_upsample
from ganrun.config.registry import choice, number, register


class MpBottleneck(nn.Module):
    """A weighted sum of x and a branch of 1x1, grouped 3x3 and 1x1 convolutions with more channels inside.

    Attributes:
        expansion: ratio of the channels inside the block to those outside.
        group_width: maximum channels per group; the largest divisor of the channels up to this is used.
        form: how convolutions are computed, see :class:`ganrun.architectures.layers.Conv`.
    """

    expansion: int
    group_width: int
    form: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)`` to the same shape."""
        inner = self.expansion * x.shape[-1]
        groups = inner // largest_divisor(inner, self.group_width)
        h = mp_leaky_relu(MpConv(inner, 1, 1, self.form)(x))
        h = mp_leaky_relu(MpConv(inner, 3, groups, self.form)(h))
        return mp_sum(x, MpConv(x.shape[-1], 1, 1, self.form)(h))


class MpDenseBlock(nn.Module):
    """A weighted sum of x and a branch of three dense layers that are wider inside.

    Attributes:
        expansion: ratio of the units inside the block to those outside.
    """

    expansion: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, features)`` to the same shape."""
        inner = self.expansion * x.shape[-1]
        h = mp_leaky_relu(MpDense(inner)(x))
        h = mp_leaky_relu(MpDense(inner)(h))
        return mp_sum(x, MpDense(x.shape[-1])(h))


class MpDiscriminator(Discriminator):
    """Base class of magnitude-preserving discriminators, which end in a layer of unit weights and a learned gain."""

    def mp_head(self, h: jax.Array, y: jax.Array | None, z: jax.Array | None) -> jax.Array:
        """Map the last activations ``(n, features)`` to logits, as :meth:`Discriminator.head` does."""
        if z is not None:
            latent = mp_leaky_relu(MpDense(PAIR, name="latent")(with_constant(z)))
            h = mp_leaky_relu(MpDense(PAIR, name="pair")(mp_concatenate(h, latent)))
        keep_features(self, h)
        features = with_minibatch(h, self.minibatch, self.kernels, self.row)
        logits = MpDense(self.outputs)(features)
        if self.classes:
            logits = mp_sum(logits, Projection(self.classes, self.outputs)(h, y), 0.5)
        logits = Gain()(logits)
        return logits[:, 0] if self.outputs == 1 else logits


class R3gan2Generator(nn.Module):
    """A learned small map times the latent, residual blocks with nearest-neighbour upsampling, and a map to the image.

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
        widest = self.width * 2**self.stages
        basis = self.param("basis", unit_init, (*self.base, widest))
        basis = normalised(basis, (0, 1)) * (self.base[0] * self.base[1]) ** 0.5
        x = basis * MpDense(widest)(with_constant(with_label(z, y, self.classes)))[:, None, None]
        for stage in reversed(range(self.stages + 1)):
            if stage < self.stages:
                # A 1x1 convolution commutes with the upsampling and is cheaper on the smaller map.
                x = nearest_upsample(MpConv(self.width * 2**stage, 1, 1, self.form)(x))
            for _ in range(self.depth):
                x = MpBottleneck(self.expansion, self.group_width, self.form)(x)
        return nn.tanh(Gain()(MpConv(self.channels, 1, 1, self.form)(x)))


class R3gan2Discriminator(MpDiscriminator):
    """The mirrored generator: pixels become channels where the side is halved, and a learned weighted sum follows.

    The weights of the sum over the positions of the last map are the parameter ``basis``. The attributes are those of
    :class:`R3gan2Generator`.
    """

    width: int
    depth: int
    expansion: int
    group_width: int
    form: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None = None, z: jax.Array | None = None) -> jax.Array:
        """Map images ``(n, height, width, channel)``, and labels and latents if given, to logits ``(n,)``."""
        _, stages = base_and_stages(x.shape[1:], "r3gan2")
        x = MpConv(self.width, 1, 1, self.form)(with_constant(x))
        for stage in range(stages + 1):
            if stage > 0:
                x = MpConv(self.width * 2**stage, 1, 1, self.form)(pixels_to_channels(x))
            for _ in range(self.depth):
                x = MpBottleneck(self.expansion, self.group_width, self.form)(x)
        basis = normalised(self.param("basis", unit_init, x.shape[1:]), (0, 1))
        return self.mp_head((x * basis).sum(axis=(1, 2)), y, z)


class R3gan2VectorGenerator(nn.Module):
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
        x = MpDense(self.width)(with_constant(with_label(z, y, self.classes)))
        for _ in range(self.depth):
            x = MpDenseBlock(self.expansion)(x)
        return Gain()(MpDense(self.dim)(x))


class R3gan2VectorDiscriminator(MpDiscriminator):
    """A dense layer, dense residual blocks, and the logit. The attributes are those of the generator."""

    width: int
    depth: int
    expansion: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, y: jax.Array | None = None, z: jax.Array | None = None) -> jax.Array:
        """Map examples ``(n, dim)``, labels ``(n,)`` and latents ``(n, latent_dim)`` to logits ``(n,)``."""
        x = MpDense(self.width)(with_constant(x))
        for _ in range(self.depth):
            x = MpDenseBlock(self.expansion)(x)
        return self.mp_head(x, y, z)


@register("architecture", "r3gan2")
@dataclass(frozen=True)
class R3gan2(MinibatchOption):
    """Magnitude-preserving residual networks, for vectors and for images of a size as in dcgan.

    Generator and discriminator are symmetric. The weights of each unit have norm 1, and there are no biases.

    Formula: block(x) = (0.7 x + 0.3 C1(leaky(C3(leaky(C1'(x)))))) / √0.58, a learned gain at the end, initially 0; C3
    is a grouped 3x3 convolution, the others 1x1. Dense layers for vectors.
    Paper: the layers are those of Karras et al. 2024, "Analyzing and improving the training dynamics of diffusion
    models"; the arrangement is that of architecture=r3gan, with tanh at the end of images.

    Attributes:
        width: channels at full size, doubled at each halving of the side (images), or units (vectors); 0: 32 or 64.
        depth: residual blocks at each size (images) or in total (vectors); 0: 1 or 3.
        expansion: ratio of the channels inside a block to those outside.
        group_width: maximum channels per group of the 3x3 convolutions.
        convolution: ``direct``, ``matmul``, ``xla``, or ``auto`` for the fastest one on the backend (population members
            always use ``matmul``).
    """

    width: int = number(0, low=0, high=65_536)
    depth: int = number(0, low=0, high=64)
    expansion: int = number(2, low=1, high=64)
    group_width: int = number(16, low=1, high=65_536)
    convolution: str = choice("auto", FORMS)
    name: str = "r3gan2"

    def build(self, shape: tuple[int, ...], latent_dim: int, classes: int = 0, outputs: int = 1) -> Networks:
        """Return the networks for examples of ``shape``; raise :class:`ConfigError` if it is not supported."""
        shape = checked_shape(shape, latent_dim)
        head_options, by_example = self.head_options(classes, outputs), self.minibatch == "none"
        # Not homogeneous in the example and biases together: there are no biases, and a constant joins the example.
        if not is_image(shape):
            dense = (self.width or 64, self.depth or 3, self.expansion)
            return Networks(
                R3gan2VectorGenerator(shape[0], *dense, classes),
                R3gan2VectorDiscriminator(*dense, **head_options),
                by_example=by_example,
                unit_weights=True,
            )
        base, stages = base_and_stages(shape, self.name)
        settings = (self.width or 32, self.depth or 1, self.expansion, self.group_width, self.convolution)
        require_groups(self.name, settings, stages)
        generator = R3gan2Generator(base, stages, shape[-1], *settings, classes)
        discriminator = R3gan2Discriminator(*settings, **head_options)
        return Networks(generator, discriminator, by_example=by_example, unit_weights=True)
