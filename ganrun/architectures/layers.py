"""Layers that networks are made of.

The two strided layers exist in two forms with the same parameters and the same results up to rounding. XLA on the
CPU runs a convolution's weight gradient inside a loop some 200 times slower than outside (jax#12868), and a training
chunk is a loop. The ``matmul`` form has no convolution in it, only one matrix product, so it keeps its speed in
loops, and under ``vmap`` it becomes a batched product rather than a grouped convolution.
"""

from __future__ import annotations

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


def batch_norm(train: bool) -> nn.BatchNorm:
    """Batch normalisation over all axes but the last (Ioffe & Szegedy 2015); ``train``: by the batch's statistics."""
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5)


def leaky_relu(x: jax.Array) -> jax.Array:
    """Leaky ReLU with slope 0.2, as in Radford et al. 2015."""
    return nn.leaky_relu(x, negative_slope=0.2)


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


def _convolve(x: jax.Array, kernel: jax.Array, *, padding: int, strides: int = 1, spread: int = 1) -> jax.Array:
    """Convolve in XLA, after putting ``spread - 1`` zeros between the pixels of ``x``."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(strides, strides),
        padding=((padding, padding), (padding, padding)),
        lhs_dilation=(spread, spread),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
