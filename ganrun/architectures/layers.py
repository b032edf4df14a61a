"""Layers of the networks."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from flax import linen as nn

from ganrun.architectures.convolution import (
    pooled_convolution,
    same_convolution,
    strided_convolution,
    transposed_convolution,
    upsampled_convolution,
)

KERNEL = 4
STRIDE = 2
RESAMPLE = ("down", "none", "up")
# Radford et al. 2015, section 4: all weights are normal with mean 0 and this standard deviation.
dcgan_init = nn.initializers.normal(0.02)


class StridedConv(nn.Module):
    """A 4x4 convolution with stride 2 and one pixel of zero padding, which halves the side (Radford et al. 2015).

    Parameters: ``kernel`` ``(4, 4, input channels, features)``, normal with standard deviation 0.02, and ``bias``
    ``(features,)``, zero.

    Attributes:
        features: output channels.
        form: how it is computed: ``direct``, ``matmul``, ``xla``, or ``auto`` for the fastest one on the current
            backend, see :mod:`ganrun.architectures.convolution.forms`.
    """

    features: int
    form: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)``, even sides, to ``(n, height / 2, width / 2, features)``."""
        if x.shape[1] % STRIDE or x.shape[2] % STRIDE:
            raise ValueError(f"StridedConv needs even height and width, not {x.shape[1]} x {x.shape[2]}")
        kernel = self.param("kernel", dcgan_init, (KERNEL, KERNEL, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return strided_convolution(x, kernel, self.form) + bias


class TransposedConv(nn.Module):
    """A 4x4 transposed convolution with stride 2, which doubles the side (Radford et al. 2015).

    It convolves ``x`` dilated with zeros between its pixels, as ``flax.linen.ConvTranspose`` does. Parameters and
    attributes are those of :class:`StridedConv`.
    """

    features: int
    form: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)`` to ``(n, 2 height, 2 width, features)``."""
        kernel = self.param("kernel", dcgan_init, (KERNEL, KERNEL, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return transposed_convolution(x, kernel, self.form) + bias


class Conv(nn.Module):
    """A convolution with stride 1 and zero padding, which keeps the side unless it is combined with resampling.

    Parameters: ``kernel`` ``(size, size, input channels / groups, features)``, and ``bias`` ``(features,)``, zero.

    Attributes:
        features: output channels.
        size: side of the window, odd.
        groups: number of groups of channels that are convolved separately; must divide input and output channels.
        form: how it is computed, as for :class:`StridedConv`.
        resample: ``down``: average pooling over 2x2 pixels follows; ``up``: nearest-neighbour upsampling by 2 precedes;
            ``none``. Other than ``none`` only with size 3 and one group.
        use_bias: whether to add a bias.
        kernel_init: initializer of the kernel.
    """

    features: int
    size: int = 3
    groups: int = 1
    form: str = "auto"
    resample: str = "none"
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)`` to ``(n, height, width, features)``, or half or twice these sides."""
        if self.size % 2 == 0 or x.shape[-1] % self.groups or self.features % self.groups:
            raise ValueError(
                f"Conv needs an odd size, not {self.size}, and groups that divide its channels, "
                f"not {self.groups} for {x.shape[-1]} input and {self.features} output channels"
            )
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        if self.resample != "none" and (self.size, self.groups) != (3, 1):
            raise ValueError(f"Conv resamples with size 3 and one group only, not size {self.size} in {self.groups}")
        if self.resample not in RESAMPLE:
            raise ValueError(f"unknown resampling '{self.resample}': use one of {', '.join(RESAMPLE)}")
        if self.resample == "down":
            y = pooled_convolution(x, kernel, self.form)
        elif self.resample == "up":
            y = upsampled_convolution(x, kernel, self.form)
        else:
            y = same_convolution(x, kernel, self.form, self.groups)
        return y + self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else y


class Maxout(nn.Module):
    """A dense layer whose units return the maximum of several linear pieces (Goodfellow et al. 2013, equation 1).

    Parameters: ``kernel`` ``(inputs, pieces * features)``, ``bias``; the pieces of unit j are the columns
    ``j, j + features, ...``.

    Attributes:
        features: output units.
        pieces: linear pieces per unit.
        kernel_init: initializer of the kernel.
    """

    features: int
    pieces: int
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, inputs)`` to ``(n, features)``."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.pieces * self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.pieces * self.features,))
        return (x @ kernel + bias).reshape(*x.shape[:-1], self.pieces, self.features).max(axis=-2)


def batch_norm(train: bool, affine: bool = True) -> nn.BatchNorm:
    """Return batch normalisation over all axes but the last (Ioffe & Szegedy 2015).

    Args:
        train: use the statistics of the batch instead of running averages.
        affine: learn a scale and an offset.
    """
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5, use_scale=affine, use_bias=affine)


def leaky_relu(x: jax.Array) -> jax.Array:
    """Leaky ReLU with slope 0.2, as in Radford et al. 2015."""
    return nn.leaky_relu(x, negative_slope=0.2)


def largest_divisor(n: int, maximum: int) -> int:
    """Return the largest divisor of ``n`` that is at most ``maximum``."""
    return max(divisor for divisor in range(1, min(n, maximum) + 1) if n % divisor == 0)


def with_convolutions(network: Any, form: str) -> Any:
    """Return ``network`` with every convolution of form ``auto`` in ``form``, also inside wrappers.

    ``matmul`` is for ``vmap``, under which XLA's own become grouped convolutions, which are slow on every device.
    ``xla`` is for programs that leave this machine: the choice of ``auto`` depends on its backend.
    """
    changes = {
        field.name: with_convolutions(getattr(network, field.name), form)
        for field in dataclasses.fields(network)
        if field.name in ("generator", "encoder", "decoder", "module")
    }
    if getattr(network, "form", None) == "auto":
        changes["form"] = form
    if not changes:
        return network
    return network.clone(**changes) if hasattr(network, "clone") else dataclasses.replace(network, **changes)
