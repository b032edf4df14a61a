"""Layers that networks are made of.

Every convolution exists in two forms with the same parameters and the same results up to rounding. XLA on the
CPU runs a convolution's weight gradient inside a loop some 200 times slower than outside (jax#12868), and a training
chunk is a loop. The ``matmul`` form has no convolution in it, only matrix products, so it keeps its speed in
loops, and under ``vmap`` it becomes batched products rather than a grouped convolution.
"""

from __future__ import annotations

import functools
import operator

import jax
import jax.numpy as jnp
from flax import linen as nn

FORMS = ("auto", "matmul", "xla")
KERNEL = 4
STRIDE = 2
# Radford et al. 2015, section 4: all weights from a zero-centred normal with this standard deviation.
dcgan_init = nn.initializers.normal(0.02)


class StridedConv(nn.Module):
    """A 4x4 convolution with stride 2 and one pixel of zero padding, which halves the side (Radford et al. 2015).

    Parameters: ``kernel`` ``(4, 4, channels in, features)`` from N(0, .02), ``bias`` ``(features,)`` from zero.

    Attributes:
        features: channels out.
        form: ``matmul``, ``xla``, or ``auto`` for the faster one on the present backend.
    """

    features: int
    form: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(n, height, width, channel)``, even sides, to ``(n, height / 2, width / 2, features)``."""
        if x.shape[1] % STRIDE or x.shape[2] % STRIDE:
            raise ValueError(f"StridedConv halves even sides; it was given {x.shape[1]} x {x.shape[2]}")
        kernel = self.param("kernel", dcgan_init, (KERNEL, KERNEL, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if resolved_form(self.form) == "matmul":
            return _patches(x) @ _as_matrix(kernel) + bias
        return _convolve(x, kernel, strides=STRIDE, padding=1) + bias


class TransposedConv(nn.Module):
    """A 4x4 transposed convolution with stride 2, which doubles the side (Radford et al. 2015).

    It is the convolution of ``x`` spread out with a zero after each pixel, as in ``flax.linen.ConvTranspose``; the
    parameters and the attributes are those of :class:`StridedConv`.
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
        # It is the adjoint of the strided convolution whose kernel is this one, turned by half a turn.
        adjoint_kernel = kernel[::-1, ::-1].swapaxes(2, 3)
        n, height, width, _ = x.shape
        return _unpatch(x @ _as_matrix(adjoint_kernel).T, (n, STRIDE * height, STRIDE * width, self.features)) + bias


class Conv(nn.Module):
    """A convolution with stride 1 and zero padding, which keeps the side.

    Parameters: ``kernel`` ``(size, size, channels in / groups, features)``, ``bias`` ``(features,)`` from zero.

    Attributes:
        features: channels out.
        size: side of the window, odd.
        groups: the channels are split into so many groups, each convolved by itself; it divides both numbers of them.
        form: ``matmul``, ``xla``, or ``auto`` for the one that suits the present backend.
        use_bias: whether there is a bias.
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
                f"Conv takes an odd size, not {self.size}, and groups that divide its channels, "
                f"not {self.groups} for {x.shape[-1]} in and {self.features} out"
            )
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        y = _same_convolution(x, kernel, self.groups, resolved_form(self.form))
        return y + self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else y


class Maxout(nn.Module):
    """A dense layer whose units are each the largest of several linear pieces (Goodfellow et al. 2013, equation 1).

    Parameters: ``kernel`` ``(inputs, pieces * features)``, ``bias``; the pieces of unit j are the columns
    ``j, j + features, ...``.

    Attributes:
        features: units out.
        pieces: linear pieces a unit chooses from.
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
    """Batch normalisation over all axes but the last (Ioffe & Szegedy 2015); ``train``: by the batch's statistics.

    ``affine``: with a learned scale and offset.
    """
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5, use_scale=affine, use_bias=affine)


def leaky_relu(x: jax.Array) -> jax.Array:
    """Leaky ReLU with slope 0.2, as in Radford et al. 2015."""
    return nn.leaky_relu(x, negative_slope=0.2)


def largest_divisor(n: int, most: int) -> int:
    """Return the largest divisor of ``n`` that is at most ``most``."""
    return max(divisor for divisor in range(1, min(n, most) + 1) if n % divisor == 0)


def resolved_form(form: str) -> str:
    """Return ``matmul`` or ``xla``; ``auto`` means ``matmul`` on the CPU and ``xla`` elsewhere."""
    if form not in FORMS:
        raise ValueError(f"unknown form '{form}' of a convolution: it is one of {', '.join(FORMS)}")
    if form == "auto":
        return "matmul" if jax.default_backend() == "cpu" else "xla"
    return form


def _patches(x: jax.Array) -> jax.Array:
    """Gather the 4x4 window of every output pixel: ``(n, h, w, c)`` to ``(n, h / 2, w / 2, 16 c)``.

    Space to depth first: a window of stride 2 is then 2x2 blocks, four contiguous slices instead of sixteen strided
    ones, whose gradient is cheap padding rather than a scatter.
    """
    n, height, width, channels = x.shape
    rows, columns = height // 2, width // 2
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = x.reshape(n, rows + 1, 2, columns + 1, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    blocks = x.reshape(n, rows + 1, columns + 1, 4 * channels)
    return jnp.concatenate([blocks[:, a : a + rows, b : b + columns] for a in (0, 1) for b in (0, 1)], axis=-1)


def _unpatch(patches: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Add windows up where they overlap: the adjoint of :func:`_patches`, to images of ``shape``."""
    (images,) = jax.linear_transpose(_patches, jax.ShapeDtypeStruct(shape, patches.dtype))(patches)
    return images


def _as_matrix(kernel: jax.Array) -> jax.Array:
    """Order a kernel ``(4, 4, c, features)`` as the windows of :func:`_patches` are: ``(16 c, features)``."""
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
    """Convolve as one matrix product per row of the window.

    Measured on a CPU, this beats one product over whole windows, which copies every pixel nine times rather than
    three, and a product per tap.
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
    """Convolve in XLA, after putting ``spread - 1`` zeros between the pixels of ``x``."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(strides, strides),
        padding=((padding, padding), (padding, padding)),
        lhs_dilation=(spread, spread),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
