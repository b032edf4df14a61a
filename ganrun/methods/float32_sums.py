"""Sums of gradients in float32 for functions that compute in bfloat16.

The gradient of a value that is broadcast, such as a bias that is added to every row, is a sum over all its copies. JAX
sums in the dtype of the values, and a sum of thousands of terms in bfloat16, which has 8 significant bits, is wrong:
1 added to 256 is 256. Matrix products and convolutions do not need this, because they sum in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

CALLS = ("jit", "pjit")  # operations that call a function once, by their names in several versions of JAX
ELEMENTWISE = ("add", "sub", "mul", "div", "max", "min")  # operations that broadcast axes of length 1 by themselves


def with_float32_sums(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` with broadcasts of bfloat16 through float32: same values, gradients summed in float32.

    This holds for derivatives of any order, but not inside loops, branches and functions with derivatives of their own,
    such as the softmax.

    Args:
        function: a function of pytrees of arrays, which may also use arrays of its scope.
    """

    def wrapped(*args: Any) -> Any:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
        outputs = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shapes), outputs)

    return wrapped


def _evaluate(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    """Evaluate ``jaxpr``, as the custom interpreters in the documentation of JAX do."""
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))

    def value(variable: Any) -> Any:
        return values[variable] if _is_variable(variable) else variable.val

    for equation in jaxpr.eqns:
        inputs, name = [value(variable) for variable in equation.invars], equation.primitive.name
        if name in CALLS:
            inner = equation.params["jaxpr"]
            outputs = _evaluate(inner.jaxpr, inner.consts, inputs)
        elif name == "broadcast_in_dim" and _is_bfloat16(inputs[0]) and len(inputs) == 1:
            outputs = [_broadcast(inputs[0], equation.params["shape"], equation.params["broadcast_dimensions"])]
        elif name in ELEMENTWISE and any(map(_is_bfloat16, inputs)):
            shape = equation.outvars[0].aval.shape
            outputs = [equation.primitive.bind(*(_stretched(array, shape) for array in inputs), **equation.params)]
        else:
            outputs = _apply(jaxpr, equation, inputs)
        values |= zip(equation.outvars, outputs, strict=True)
    return [value(variable) for variable in jaxpr.outvars]


def _apply(jaxpr: Any, equation: Any, inputs: Sequence[Any]) -> list[Any]:
    """Return the outputs of ``equation``, one of those of ``jaxpr``."""
    named = {variable: array for variable, array in zip(equation.invars, inputs, strict=True) if _is_variable(variable)}
    single = jaxpr.replace(
        constvars=[],
        invars=list(named),
        outvars=equation.outvars,
        eqns=[equation],
        effects=equation.effects,
        debug_info=jaxpr.debug_info.with_unknown_names(),
    )
    return jaxpr_as_fun(ClosedJaxpr(single, ()))(*named.values())


def _is_variable(operand: Any) -> bool:
    return not hasattr(operand, "val")  # a constant has its value


def _is_bfloat16(array: Any) -> bool:
    return getattr(array, "dtype", None) == jnp.bfloat16


def _stretched(array: Any, shape: tuple[int, ...]) -> Any:
    """Return ``array``, a scalar or with axes of the length of those of ``shape`` or 1, with ``shape``."""
    stays = not isinstance(array, jax.Array) or not _is_bfloat16(array) or array.shape == shape
    return array if stays else _broadcast(array, shape, range(array.ndim))


def _broadcast(array: Any, shape: tuple[int, ...], axes: Sequence[int]) -> Any:
    """Broadcast ``array``, bfloat16, to ``shape`` through float32; ``axes`` are those of the result that it has."""
    wide = lax.broadcast_in_dim(jnp.asarray(array, jnp.float32), shape, tuple(axes))
    return jnp.asarray(wide, jnp.bfloat16)
