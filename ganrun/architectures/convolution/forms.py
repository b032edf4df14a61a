"""The convolutions of the layers, without bias, in each form; forms differ in speed, and in results by rounding only.

* ``xla``: XLA's convolutions and JAX's gradients of them, which are slow in a loop on the CPU (jax#12868).
* ``direct``: XLA's convolutions, with gradients that are fast in a loop on the CPU too.
* ``matmul``: matrix products. ``vmap`` turns them into batched products and not into a grouped convolution, which is
  slow on every device.
* ``auto``: ``xla`` on accelerators. On the CPU ``direct``, but ``matmul`` where XLA's convolutions are inefficient: for
  at most :data:`FEW` input channels or features, and on images of at most :data:`SMALL` pixels.

Arrays are ``(n, height, width, channel)`` and kernels ``(size, size, input channels, features)``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ganrun.architectures.convolution.derivatives import convolve, input_gradient
from ganrun.architectures.convolution.matmul import FEW
from ganrun.architectures.convolution.window import HALVING, rotated, same
from ganrun.architectures.resampling import average_pool, nearest_upsample

SMALL = 16  # pixels of the smaller one of input and output up to which a product is faster
FORMS = ("auto", "direct", "matmul", "xla")


def resolved_form(form: str, channels: int, features: int, pixels: int) -> str:
    """Return ``direct``, ``matmul`` or ``xla``.

    Args:
        form: one of :data:`FORMS`.
        channels: input channels of the layer, of each group.
        features: output channels of the layer, of each group.
        pixels: of the input, or of the output if that is smaller.

    Raises:
        ValueError: unknown form.
    """
    if form not in FORMS:
        raise ValueError(f"unknown form '{form}' of a convolution: use one of {', '.join(FORMS)}")
    if form != "auto":
        return form
    if jax.default_backend() != "cpu":
        return "xla"
    return "matmul" if min(channels, features) <= FEW or pixels <= SMALL else "direct"


def strided_convolution(x: jax.Array, kernel: jax.Array, form: str) -> jax.Array:
    """Convolve with stride 2 and one pixel of padding; ``kernel`` is ``(4, 4, ...)``, the sides are even."""
    form = _form_of(form, kernel, _pixels(x) // 4)
    return _xla(x, kernel, padding=1, strides=2) if form == "xla" else convolve(x, kernel, HALVING, form)


def transposed_convolution(x: jax.Array, kernel: jax.Array, form: str) -> jax.Array:
    """Convolve ``x`` dilated by zeros between its pixels, which doubles the side; ``kernel`` is ``(4, 4, ...)``."""
    form = _form_of(form, kernel, _pixels(x))
    if form == "xla":
        return _xla(x, kernel, padding=2, dilation=2)
    return input_gradient(x, rotated(kernel), HALVING, form)


def same_convolution(x: jax.Array, kernel: jax.Array, form: str, groups: int = 1) -> jax.Array:
    """Convolve with stride 1 and zero padding, which keeps the side; the size of ``kernel`` is odd.

    With ``groups``, the channels of ``x`` and the features are convolved in so many separate groups.
    """
    size, _, channels, features = kernel.shape
    form = resolved_form(form, channels, features // groups, _pixels(x))
    if form == "xla":
        return _xla(x, kernel, padding=size // 2, groups=groups)
    if groups > 1:
        parts = zip(jnp.split(x, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True)
        return jnp.concatenate([same_convolution(*part, form) for part in parts], axis=-1)
    return x @ kernel[0, 0] if size == 1 else convolve(x, kernel, same(size), form)


def pooled_convolution(x: jax.Array, kernel: jax.Array, form: str) -> jax.Array:
    """Convolve as :func:`same_convolution` with a 3x3 kernel, then average over 2x2 pixels.

    Both are one strided convolution with a 4x4 kernel, which takes 4/9 of the operations.
    """
    form = _form_of(form, kernel, _pixels(x) // 4)
    if form == "xla":
        return average_pool(same_convolution(x, kernel, form))
    return strided_convolution(x, 0.25 * _block_sums(kernel), form)


def upsampled_convolution(x: jax.Array, kernel: jax.Array, form: str) -> jax.Array:
    """Repeat every pixel 2x2 times, then convolve as :func:`same_convolution` with a 3x3 kernel.

    Both are one transposed convolution with a 4x4 kernel, which takes 4/9 of the operations.
    """
    form = _form_of(form, kernel, _pixels(x))
    if form == "xla":
        return same_convolution(nearest_upsample(x), kernel, form)
    return transposed_convolution(x, _block_sums(kernel), form)


def _form_of(form: str, kernel: jax.Array, pixels: int) -> str:
    channels, features = kernel.shape[2:]
    return resolved_form(form, channels, features, pixels)


def _pixels(x: jax.Array) -> int:
    return x.shape[1] * x.shape[2]


def _block_sums(kernel: jax.Array) -> jax.Array:
    """Convolve a kernel with a 2x2 kernel of ones: ``(3, 3, ...)`` to ``(4, 4, ...)``."""
    k = jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
    k = k[1:] + k[:-1]
    return k[:, 1:] + k[:, :-1]


def _xla(
    x: jax.Array, kernel: jax.Array, *, padding: int, strides: int = 1, dilation: int = 1, groups: int = 1
) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(strides, strides),
        padding=((padding, padding), (padding, padding)),
        lhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
