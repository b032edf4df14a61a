"""Layers of the networks.

Every convolution has two implementations with the same parameters and, up to rounding, the same results. On the CPU,
XLA computes the weight gradient of a convolution some 200 times slower inside a loop than outside (jax#12868), and
training runs in a loop. The ``matmul`` implementation uses only matrix products, so it is fast in loops, and ``vmap``
turns it into batched products instead of a grouped convolution.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

FORMS = ("auto", "matmul", "xla")
KERNEL = 4
STRIDE = 2
# Radford et al. 2015, section 4: all weights are normal with mean 0 and this standard deviation.
dcgan_init = nn.initializers.normal(0.02)


class StridedConv(nn.Module):
    """A 4x4 convolution with stride 2 and one pixel of zero padding, which halves the side (Radford et al. 2015).

    Parameters: ``kernel`` ``(4, 4, input channels, features)``, normal with standard deviation 0.02, and ``bias``
    ``(features,)``, zero.

    Attributes:
        features: output channels.
        form: ``matmul``, ``xla``, or ``auto`` for the faster one on the current backend.
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
        if resolved_form(self.form) == "matmul":
            return _patches(x) @ _as_matrix(kernel) + bias
        return _convolve(x, kernel, strides=STRIDE, padding=1) + bias


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
        if resolved_form(self.form) == "xla":
            return _convolve(x, kernel, spread=STRIDE, padding=KERNEL - STRIDE) + bias
        # It is the adjoint of the strided convolution with this kernel rotated by 180 degrees.
        adjoint_kernel = kernel[::-1, ::-1].swapaxes(2, 3)
        n, height, width, _ = x.shape
        return _unpatch(x @ _as_matrix(adjoint_kernel).T, (n, STRIDE * height, STRIDE * width, self.features)) + bias


class Conv(nn.Module):
    """A convolution with stride 1 and zero padding, which keeps the side.

    Parameters: ``kernel`` ``(size, size, input channels / groups, features)``, and ``bias`` ``(features,)``, zero.

    Attributes:
        features: output channels.
        size: side of the window, odd.
        groups: number of groups of channels that are convolved separately; must divide input and output channels.
        form: ``matmul``, ``xla``, or ``auto`` for the faster one on the current backend.
        use_bias: whether to add a bias.
        kernel_init: initializer of the kernel.
    """

    features: int
    size: int = 3
    groups: int = 1
    form: str = "auto"
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)`` to ``(n, height, width, features)``."""
        if self.size % 2 == 0 or x.shape[-1] % self.groups or self.features % self.groups:
            raise ValueError(
                f"Conv needs an odd size, not {self.size}, and groups that divide its channels, "
                f"not {self.groups} for {x.shape[-1]} input and {self.features} output channels"
            )
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        y = _same_convolution(x, kernel, self.groups, resolved_form(self.form))
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


def resolved_form(form: str) -> str:
    """Return ``matmul`` or ``xla``; ``auto`` means ``matmul`` on the CPU and ``xla`` elsewhere."""
    if form not in FORMS:
        raise ValueError(f"unknown form '{form}' of a convolution: use one of {', '.join(FORMS)}")
    if form == "auto":
        return "matmul" if jax.default_backend() == "cpu" else "xla"
    return form


def _patches(x: jax.Array) -> jax.Array:
    """Gather the 4x4 window of every output pixel: ``(n, h, w, c)`` to ``(n, h / 2, w / 2, 16 c)``.

    After a space-to-depth transform, a window with stride 2 is 2x2 blocks. Gathering it takes four contiguous slices
    instead of sixteen strided ones, and the gradient is a cheap padding instead of a scatter.
    """
    n, height, width, channels = x.shape
    rows, columns = height // 2, width // 2
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = x.reshape(n, rows + 1, 2, columns + 1, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    blocks = x.reshape(n, rows + 1, columns + 1, 4 * channels)
    return jnp.concatenate([blocks[:, a : a + rows, b : b + columns] for a in (0, 1) for b in (0, 1)], axis=-1)


def _unpatch(patches: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Sum overlapping windows to images of ``shape``: the adjoint of :func:`_patches`."""
    (images,) = jax.linear_transpose(_patches, jax.ShapeDtypeStruct(shape, patches.dtype))(patches)
    return images


def _as_matrix(kernel: jax.Array) -> jax.Array:
    """Reorder a kernel ``(4, 4, c, features)`` to match the windows of :func:`_patches`: ``(16 c, features)``."""
    channels, features = kernel.shape[2:]
    split = kernel.reshape(2, 2, 2, 2, channels, features)  # (block row, row, block column, column, ...)
    return split.transpose(0, 2, 1, 3, 4, 5).reshape(16 * channels, features)


def _same_convolution(x: jax.Array, kernel: jax.Array, groups: int, form: str) -> jax.Array:
    if form == "xla":
        return _convolve(x, kernel, padding=kernel.shape[0] // 2, groups=groups)
    if groups == 1:
        return _sum_of_rows(x, kernel)
    parts = zip(jnp.split(x, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True)
    return jnp.concatenate([_sum_of_rows(*part) for part in parts], axis=-1)


def _sum_of_rows(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve with one matrix product per row of the window.

    Measured on a CPU, this is faster than one product over whole windows, which copies every pixel nine times instead
    of three, and faster than one product per position in the window.
    """
    size, features = kernel.shape[0], kernel.shape[-1]
    height, width, margin = x.shape[1], x.shape[2], size // 2
    x = jnp.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    windows = jnp.concatenate([x[:, :, start : start + width] for start in range(size)], axis=-1)
    matrices = kernel.reshape(size, -1, features)
    return functools.reduce(
        operator.add, [windows[:, start : start + height] @ matrices[start] for start in range(size)]
    )


def _convolve(
    x: jax.Array, kernel: jax.Array, *, padding: int, strides: int = 1, spread: int = 1, groups: int = 1
) -> jax.Array:
    """Convolve with XLA, with ``spread - 1`` zeros between the pixels of ``x`` (input dilation)."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(strides, strides),
        padding=((padding, padding), (padding, padding)),
        lhs_dilation=(spread, spread),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def with_matmul_convolutions(network: Any) -> Any:
    """Return ``network`` with every convolution of form ``auto`` computed as a matrix product, also inside wrappers.

    Under ``vmap``, XLA's own become grouped convolutions, which are slow on every device.
    """
    changes = {
        field.name: with_matmul_convolutions(getattr(network, field.name))
        for field in dataclasses.fields(network)
        if field.name in ("generator", "encoder", "decoder", "module")
    }
    if getattr(network, "form", None) == "auto":
        changes["form"] = "matmul"
    if not changes:
        return network
    return network.clone(**changes) if hasattr(network, "clone") else dataclasses.replace(network, **changes)
