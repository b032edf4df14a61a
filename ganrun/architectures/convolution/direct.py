"""Convolutions and their gradients as XLA's convolutions in the layout of its fast CPU kernels.

Inputs are NHWC, kernels HWIO, and no window is reversed. XLA's CPU compiler brings other convolutions into this layout
only in the entry computation of a program, and not in a loop.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ganrun.architectures.convolution.window import Window, as_blocks, rotated


def convolve(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """Return the convolution of ``x``."""
    return _convolve(x, kernel, window.padding, stride=window.stride)


def input_gradient(dy: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """Return the gradient with respect to the input: a convolution with the rotated kernel."""
    if window.stride == 1:
        return convolve(dy, rotated(kernel), window.rotated)
    # The four pixels of a 2x2 block of the result are channels of one pixel; a block more than there are at both edges.
    blocks = convolve(dy, rotated(as_blocks(kernel)), Window(size=2, stride=1, padding=1))
    n, rows, columns, _ = blocks.shape
    x = blocks.reshape(n, rows, columns, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, 2 * rows, 2 * columns, -1)[:, 1:-1, 1:-1]


def kernel_gradient(x: jax.Array, dy: jax.Array, window: Window) -> jax.Array:
    """Return the gradient with respect to the kernel: a convolution of ``x`` with ``dy`` as the kernel.

    The channels of ``x`` take the place of the examples, and the examples that of the channels.
    """
    dk = _convolve(x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3), window.padding, spacing=window.stride)
    return dk.transpose(1, 2, 0, 3)


def _convolve(x: jax.Array, kernel: jax.Array, padding: int, stride: int = 1, spacing: int = 1) -> jax.Array:
    """Convolve with XLA; the rows and columns of the kernel are ``spacing`` pixels apart."""
    height, width = (spacing * (size - 1) + 1 for size in kernel.shape[:2])
    if height > x.shape[1] or width > x.shape[2]:
        # XLA exchanges an input and a larger kernel, and reverses the window, for which it has no fast implementation.
        # The barrier keeps it from making the zeros part of the convolution again.
        x = jax.lax.optimization_barrier(jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0))))
        padding = 0
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=((padding, padding), (padding, padding)),
        rhs_dilation=(spacing, spacing),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
