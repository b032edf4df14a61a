"""Inception-v3 as it is used for the Fréchet Inception distance.

The layers are those of Szegedy et al. 2016, "Rethinking the inception architecture for computer vision", in the
variation of the network that was published in December 2015 and that FID is defined with (Heusel et al. 2017, "GANs
trained by a two time-scale update rule converge to a local Nash equilibrium"): averages are over the pixels inside the
image only, and the last block takes maxima instead. Layers have the names that torchvision gives them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn

FEATURES = 2048
Pair = tuple[int, int]


class Unit(nn.Module):
    """A convolution without bias, batch norm with fixed statistics, and ReLU.

    Parameters: ``kernel`` ``(height, width, input channels, features)``, and ``scale`` and ``bias`` ``(features,)``,
    which batch norm amounts to.

    Attributes:
        features: output channels.
        size: ``(height, width)`` of the window.
        stride: of the window.
        padding: rows and columns of zeros at each edge.
    """

    features: int
    size: Pair = (1, 1)
    stride: int = 1
    padding: Pair = (0, 0)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)`` to ``(n, height', width', features)``."""
        shape = (*self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        scale = self.param("scale", nn.initializers.ones, (self.features,))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        y = jax.lax.conv_general_dilated(
            x,
            kernel,
            (self.stride, self.stride),
            [(rows, rows) for rows in self.padding],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return nn.relu(y * scale + bias)


def square(features: int, size: int, name: str, stride: int = 1, padding: int = 0) -> Unit:
    """Return a :class:`Unit` with a square window."""
    return Unit(features, (size, size), stride, (padding, padding), name=name)


def row(features: int, size: int, name: str) -> Unit:
    """Return a :class:`Unit` with a window of one row, which keeps the size."""
    return Unit(features, (1, size), 1, (0, size // 2), name=name)


def column(features: int, size: int, name: str) -> Unit:
    """Return a :class:`Unit` with a window of one column, which keeps the size."""
    return Unit(features, (size, 1), 1, (size // 2, 0), name=name)


def mean_pool(x: jax.Array) -> jax.Array:
    """Average over 3x3 pixels, only those inside the image; keeps the size."""
    return nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


def max_pool(x: jax.Array) -> jax.Array:
    """Take the maximum over 3x3 pixels with stride 2: side to (side - 1) // 2."""
    return nn.max_pool(x, (3, 3), (2, 2), "VALID")


class BlockA(nn.Module):
    """Branches with windows of 1x1, 5x5 and two of 3x3, and a mean; ``pooled`` are the features of the last one."""

    pooled: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)`` to ``(n, height, width, 224 + pooled)``."""
        one = square(64, 1, "branch1x1")(x)
        five = square(64, 5, "branch5x5_2", padding=2)(square(48, 1, "branch5x5_1")(x))
        double = square(96, 3, "branch3x3dbl_2", padding=1)(square(64, 1, "branch3x3dbl_1")(x))
        double = square(96, 3, "branch3x3dbl_3", padding=1)(double)
        pooled = square(self.pooled, 1, "branch_pool")(mean_pool(x))
        return jnp.concatenate([one, five, double, pooled], axis=-1)


class BlockB(nn.Module):
    """Halves the side: branches with a window of 3x3 and two of them, and a maximum."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, side, side, channel)`` to ``(n, side', side', 480 + channel)`` with side' = (side - 1) // 2."""
        three = square(384, 3, "branch3x3", stride=2)(x)
        double = square(96, 3, "branch3x3dbl_2", padding=1)(square(64, 1, "branch3x3dbl_1")(x))
        double = square(96, 3, "branch3x3dbl_3", stride=2)(double)
        return jnp.concatenate([three, double, max_pool(x)], axis=-1)


class BlockC(nn.Module):
    """Branches with windows of 1x1, 7x7 in two parts and twice that, and a mean; ``width`` is that of the parts."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)`` to ``(n, height, width, 768)``."""
        one = square(192, 1, "branch1x1")(x)
        seven = row(self.width, 7, "branch7x7_2")(square(self.width, 1, "branch7x7_1")(x))
        seven = column(192, 7, "branch7x7_3")(seven)
        double = column(self.width, 7, "branch7x7dbl_2")(square(self.width, 1, "branch7x7dbl_1")(x))
        double = column(self.width, 7, "branch7x7dbl_4")(row(self.width, 7, "branch7x7dbl_3")(double))
        double = row(192, 7, "branch7x7dbl_5")(double)
        pooled = square(192, 1, "branch_pool")(mean_pool(x))
        return jnp.concatenate([one, seven, double, pooled], axis=-1)


class BlockD(nn.Module):
    """Halves the side: branches with windows of 3x3 and of 7x7 in two parts, and a maximum."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, side, side, channel)`` to ``(n, side', side', 512 + channel)`` with side' = (side - 1) // 2."""
        three = square(320, 3, "branch3x3_2", stride=2)(square(192, 1, "branch3x3_1")(x))
        seven = row(192, 7, "branch7x7x3_2")(square(192, 1, "branch7x7x3_1")(x))
        seven = square(192, 3, "branch7x7x3_4", stride=2)(column(192, 7, "branch7x7x3_3")(seven))
        return jnp.concatenate([three, seven, max_pool(x)], axis=-1)


class BlockE(nn.Module):
    """Branches with windows of 1x1 and of 3x3 in two parts side by side; ``maximum`` replaces the mean of the last."""

    maximum: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)`` to ``(n, height, width, 2048)``."""
        one = square(320, 1, "branch1x1")(x)
        three = square(384, 1, "branch3x3_1")(x)
        double = square(384, 3, "branch3x3dbl_2", padding=1)(square(448, 1, "branch3x3dbl_1")(x))
        pooled = nn.max_pool(x, (3, 3), padding="SAME") if self.maximum else mean_pool(x)
        branches = [
            one,
            row(384, 3, "branch3x3_2a")(three),
            column(384, 3, "branch3x3_2b")(three),
            row(384, 3, "branch3x3dbl_3a")(double),
            column(384, 3, "branch3x3dbl_3b")(double),
            square(192, 1, "branch_pool")(pooled),
        ]
        return jnp.concatenate(branches, axis=-1)


class Inception(nn.Module):
    """The network up to the mean over all pixels of its last map."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, 299, 299, 3)`` in [-1, 1] to ``(n, 2048)``; any side from 75 on is possible."""
        x = square(32, 3, "Conv2d_1a_3x3", stride=2)(x)
        x = square(64, 3, "Conv2d_2b_3x3", padding=1)(square(32, 3, "Conv2d_2a_3x3")(x))
        x = square(80, 1, "Conv2d_3b_1x1")(max_pool(x))
        x = max_pool(square(192, 3, "Conv2d_4a_3x3")(x))
        for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = BlockA(pooled, name=name)(x)
        x = BlockB(name="Mixed_6a")(x)
        for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
            x = BlockC(width, name=name)(x)
        x = BlockD(name="Mixed_7a")(x)
        x = BlockE(maximum=True, name="Mixed_7c")(BlockE(maximum=False, name="Mixed_7b")(x))
        return x.mean(axis=(1, 2))
