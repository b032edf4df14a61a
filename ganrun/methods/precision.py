"""The arithmetic in which the networks of a run compute: ``precision=f32``, ``bf16`` or ``tf32``.

Networks are wrapped from outside, so that neither architectures nor methods know of it. Whatever is not inside a
network is float32 in every precision: parameters, optimizer states, batch statistics, moving averages, losses,
penalties, the power iteration of spectral normalisation, and metrics.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from ganrun.methods.float32_sums import with_float32_sums

Tree = Any
Program = TypeVar("Program", bound=Callable[..., Any])

# How JAX multiplies float32 arrays inside the networks: jax.lax.Precision has the meaning of the names on each device.
PRODUCTS = {"f32": "float32", "bf16": "bfloat16", "tf32": "tensorfloat32"}


@dataclass(frozen=True)
class InPrecision:
    """A linen module that computes in a given precision; ``init`` and ``apply`` are the same.

    With ``bf16``, parameters and inputs are rounded to bfloat16 in ``apply``, and again the inputs of every module
    inside, because an operation of bfloat16 and float32 gives float32. Outputs are returned as float32. Gradients are
    float32 too, being those with respect to the float32 parameters, and sums over a batch, of products of matrices and
    of gradients, are float32 inside (:mod:`ganrun.methods.float32_sums`). Batch statistics are not rounded, and Flax's
    normalisation layers compute means and variances in float32 whatever they normalise.

    With ``tf32``, the arrays remain float32, and only products of matrices and convolutions are computed differently.

    Attributes:
        module: the linen module.
        precision: ``f32``, ``bf16`` or ``tf32``.

    Paper: Micikevicius et al. 2018, "Mixed precision training", section 3.1, for the float32 parameters. bfloat16 has
    the exponents of float32, so that the loss is not scaled.
    """

    module: Any
    precision: str

    def init(self, rngs: Mapping[str, jax.Array], *inputs: Any, **named: Any) -> Any:
        """Return the variables of the module, float32 and the same in every precision."""
        return self.module.init(rngs, *inputs, **named)

    def apply(self, variables: Mapping[str, Tree], *inputs: Any, mutable: Any = False, **named: Any) -> Any:
        """Apply the module; outputs and updated collections are float32."""
        with jax.default_matmul_precision(PRODUCTS[self.precision]):
            if self.precision != "bf16":
                return self.module.apply(variables, *inputs, mutable=mutable, **named)
            with nn.intercept_methods(_round_inputs):
                apply = functools.partial(self.module.apply, mutable=mutable, **named)
                rounded = {**variables, "params": _to_bfloat16(variables["params"])}
                return _to_float32(with_float32_sums(lambda given: apply(given, *inputs))(rounded))


def in_precision(module: Any, precision: str) -> Any:
    """Return ``module`` so that it computes in ``precision``; unchanged for ``f32``, the precision of the programs."""
    return module if precision == "f32" else InPrecision(module, precision)


def unwrapped(module: Any) -> Any:
    """Return the module inside :class:`InPrecision`, or ``module`` if it is not wrapped."""
    return module.module if isinstance(module, InPrecision) else module


def with_float32_products(function: Program) -> Program:
    """Return ``function`` with matrix products and convolutions of float32 arrays in float32 on every device.

    By default JAX rounds the operands, to tensorfloat32 on a GPU that has it and to bfloat16 on a TPU. Wrap a function
    before it is compiled with :func:`jax.jit`; :class:`InPrecision` takes precedence inside the networks.
    """

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with jax.default_matmul_precision("float32"):
            return function(*args, **kwargs)

    return traced  # type: ignore[return-value]


def _round_inputs(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
    del context
    return call(*_to_bfloat16(args), **_to_bfloat16(kwargs))


def _to_bfloat16(tree: Tree) -> Tree:
    return _cast(tree, jnp.float32, jnp.bfloat16)


def _to_float32(tree: Tree) -> Tree:
    return _cast(tree, jnp.bfloat16, jnp.float32)


def _cast(tree: Tree, given: Any, wanted: Any) -> Tree:
    """Convert the arrays of dtype ``given`` in ``tree``; leave other arrays, and whatever is no array, as they are."""

    def convert(leaf: Any) -> Any:
        return jnp.asarray(leaf, wanted) if isinstance(leaf, (jax.Array, np.ndarray)) and leaf.dtype == given else leaf

    return jax.tree.map(convert, tree)
