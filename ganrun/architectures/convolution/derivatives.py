"""Convolutions whose derivatives of any order are in the same form.

A convolution is linear in its input and in its kernel. The derivatives of each of the three functions below are the two
others, so that none of them needs JAX's own derivative of a convolution, which is slow in a loop on the CPU. JAX's
forward mode does not apply to them.

Arrays are ``(n, height, width, channel)`` and kernels ``(size, size, input channels, features)``; ``form`` is
``direct`` or ``matmul``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax

from ganrun.architectures.convolution import direct, matmul
from ganrun.architectures.convolution.window import Window

FORMS: dict[str, Any] = {"direct": direct, "matmul": matmul}
Pair = tuple[jax.Array, jax.Array]


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(x: jax.Array, kernel: jax.Array, window: Window, form: str) -> jax.Array:
    """Return the convolution of ``x`` with ``kernel``, which is not rotated, as is usual in neural networks."""
    return FORMS[form].convolve(x, kernel, window)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def input_gradient(dy: jax.Array, kernel: jax.Array, window: Window, form: str) -> jax.Array:
    """Return the gradient of ``sum(dy * convolve(x, kernel))`` with respect to ``x``: a transposed convolution."""
    return FORMS[form].input_gradient(dy, kernel, window)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def kernel_gradient(x: jax.Array, dy: jax.Array, window: Window, form: str) -> jax.Array:
    """Return the gradient of ``sum(dy * convolve(x, kernel))`` with respect to ``kernel``."""
    return FORMS[form].kernel_gradient(x, dy, window)


def _convolve(x: jax.Array, kernel: jax.Array, window: Window, form: str) -> tuple[jax.Array, Pair]:
    return convolve(x, kernel, window, form), (x, kernel)


def _convolve_backward(window: Window, form: str, saved: Pair, dy: jax.Array) -> Pair:
    x, kernel = saved
    return input_gradient(dy, kernel, window, form), kernel_gradient(x, dy, window, form)


def _input_gradient(dy: jax.Array, kernel: jax.Array, window: Window, form: str) -> tuple[jax.Array, Pair]:
    return input_gradient(dy, kernel, window, form), (dy, kernel)


def _input_gradient_backward(window: Window, form: str, saved: Pair, dx: jax.Array) -> Pair:
    dy, kernel = saved
    return convolve(dx, kernel, window, form), kernel_gradient(dx, dy, window, form)


def _kernel_gradient(x: jax.Array, dy: jax.Array, window: Window, form: str) -> tuple[jax.Array, Pair]:
    return kernel_gradient(x, dy, window, form), (x, dy)


def _kernel_gradient_backward(window: Window, form: str, saved: Pair, dk: jax.Array) -> Pair:
    x, dy = saved
    return input_gradient(dy, dk, window, form), convolve(x, dk, window, form)


convolve.defvjp(_convolve, _convolve_backward)
input_gradient.defvjp(_input_gradient, _input_gradient_backward)
kernel_gradient.defvjp(_kernel_gradient, _kernel_gradient_backward)
