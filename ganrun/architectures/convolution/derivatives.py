"""Convolutions whose derivatives of any order are in the same form.

A convolution is linear in its input and in its kernel. The derivatives of each of the three functions below are the two
others, so that none of them needs JAX's own derivative of a convolution, which is slow in a loop on the CPU. They are
primitives of JAX, and not functions with ``jax.custom_vjp``, because forward mode applies to primitives too. Under
``vmap`` they become what their implementation becomes.

Arrays are ``(n, height, width, channel)`` and kernels ``(size, size, input channels, features)``; ``form`` is
``direct`` or ``matmul``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import core
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ganrun.architectures.convolution import direct, matmul
from ganrun.architectures.convolution.window import Window

FORMS: dict[str, Any] = {"direct": direct, "matmul": matmul}


def convolve(x: jax.Array, kernel: jax.Array, window: Window, form: str) -> jax.Array:
    """Return the convolution of ``x`` with ``kernel``, which is not rotated, as is usual in neural networks."""
    return CONVOLVE.bind(x, kernel, **_settings(window, form))


def input_gradient(dy: jax.Array, kernel: jax.Array, window: Window, form: str) -> jax.Array:
    """Return the gradient of ``sum(dy * convolve(x, kernel))`` with respect to ``x``: a transposed convolution."""
    return INPUT_GRADIENT.bind(dy, kernel, **_settings(window, form))


def kernel_gradient(x: jax.Array, dy: jax.Array, window: Window, form: str) -> jax.Array:
    """Return the gradient of ``sum(dy * convolve(x, kernel))`` with respect to ``kernel``."""
    return KERNEL_GRADIENT.bind(x, dy, **_settings(window, form))


def _settings(window: Window, form: str) -> dict[str, Any]:
    """Return the parameters of the primitives.

    They include the precision of products at this place of the program: JAX computes derivatives and compiles later,
    where :func:`jax.default_matmul_precision` may be another one.
    """
    precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return {"window": window, "form": form, "precision": precision}


def implementation(primitive: Any) -> Callable[..., jax.Array] | None:
    """Return the function that computes a primitive of this module, which takes the same arguments; None for others."""
    return IMPLEMENTATIONS.get(primitive)


IMPLEMENTATIONS: dict[Any, Callable[..., jax.Array]] = {}


def _primitive(function: str) -> Primitive:
    """Return a primitive that is computed by this function of the form's module."""

    def compute(a: jax.Array, b: jax.Array, *, window: Window, form: str, precision: str | None) -> jax.Array:
        with jax.default_matmul_precision(precision):
            return getattr(FORMS[form], function)(a, b, window)

    def shape(a: Any, b: Any, **settings: Any) -> core.ShapedArray:
        out = jax.eval_shape(lambda a, b: compute(a, b, **settings), a, b)
        return core.ShapedArray(out.shape, out.dtype)

    def batched(arrays: Any, axes: Any, **settings: Any) -> tuple[jax.Array, int]:
        return jax.vmap(lambda a, b: compute(a, b, **settings), in_axes=tuple(axes))(*arrays), 0

    primitive = Primitive(f"convolution_{function}")
    primitive.def_impl(jax.jit(compute, static_argnames=("window", "form", "precision")))
    primitive.def_abstract_eval(shape)
    batching.primitive_batchers[primitive] = batched
    IMPLEMENTATIONS[primitive] = compute
    mlir.register_lowering(primitive, mlir.lower_fun(compute, multiple_results=False))
    return primitive


CONVOLVE, INPUT_GRADIENT, KERNEL_GRADIENT = map(_primitive, ("convolve", "input_gradient", "kernel_gradient"))
Rule = Callable[..., jax.Array]


def _bilinear(primitive: Primitive, by_first: Rule, by_second: Rule) -> None:
    """Register the transposes of ``primitive(a, b)``: functions of its cotangent and of the other argument."""
    ad.defbilinear(
        primitive,
        lambda cotangent, _, b, **settings: by_first(cotangent, b, settings),
        lambda cotangent, a, _, **settings: by_second(cotangent, a, settings),
    )


_bilinear(
    CONVOLVE,  # of x and kernel
    lambda dy, kernel, settings: INPUT_GRADIENT.bind(dy, kernel, **settings),
    lambda dy, x, settings: KERNEL_GRADIENT.bind(x, dy, **settings),
)
_bilinear(
    INPUT_GRADIENT,  # of dy and kernel
    lambda dx, kernel, settings: CONVOLVE.bind(dx, kernel, **settings),
    lambda dx, dy, settings: KERNEL_GRADIENT.bind(dx, dy, **settings),
)
_bilinear(
    KERNEL_GRADIENT,  # of x and dy
    lambda dk, dy, settings: INPUT_GRADIENT.bind(dy, dk, **settings),
    lambda dk, x, settings: CONVOLVE.bind(x, dk, **settings),
)
