"""The discriminator's loss together with its squared gradient norms, for piecewise linear networks.

Such a network is linear around almost every input x, and homogeneous in x and in its biases b together: with W fixed,
D(x) is the derivative of D in the direction (x, b). Its gradient by the parameters has no term of second order, and the
gradient of a whole loss L(D(x_1), ..., D(x_n)) + sum_i p_i ||∇D(x_i)||² with the weights w_i = ∂L/∂D(x_i) is

    sum_i w_i ∇_W (derivative of D at x_i in the direction (x_i + 2 p_i ∇D(x_i) / w_i, b)).

In reverse mode this takes the matrix products of one pass forward for D, one backward for w_i ∇D(x_i), one forward for
the derivative, and those of the weight gradients. The pass backward of the derivative is the one that gave w_i ∇D(x_i).
Differentiating the penalty and the loss takes one more pass backward, and the weight gradients twice: six products per
layer instead of four.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

Tree = Any
Network = Callable[[Tree, Tree], jax.Array]  # parameters and inputs to outputs (n,)
Loss = Callable[[jax.Array, jax.Array | None, Tree], jax.Array]  # outputs on inputs and on others, settings to the loss

# Replaces a weight of 0, by which a direction is divided. Scaling by it and back is exact up to rounding.
SMALLEST = 1e-20


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def loss_and_squared_norms(
    network: Network, loss: Loss, params: Tree, inputs: Tree, others: Tree, settings: Tree
) -> tuple[jax.Array, jax.Array, jax.Array | None, jax.Array]:
    """Return the loss, the outputs on ``inputs`` and on ``others``, and the squared gradient norms on ``inputs``.

    Args:
        network: piecewise linear, homogeneous in its inputs and the parameters named ``bias`` together; an output
            depends on its own row alone.
        loss: a function of the outputs.
        params: the network's parameters.
        inputs: the inputs that are penalised, arrays ``(n, ...)``; the gradient is taken by those of floats.
        others: further inputs; None if there are none.
        settings: passed to ``loss``; its derivative by them is not available.
    """
    return _forward(network, loss, params, inputs, others, settings)[0]


def _forward(network: Network, loss: Loss, params: Tree, inputs: Tree, others: Tree, settings: Tree) -> Any:
    floats, rest = _split(inputs)
    outputs, pull_back = jax.vjp(lambda floats: network(params, _merge(floats, rest)), floats)
    on_others = None if others is None else network(params, others)
    value, weights = jax.value_and_grad(loss, argnums=(0, 1))(outputs, on_others, settings)
    seeds = _not_zero(weights[0])
    (scaled,) = pull_back(seeds)
    gradient = [part / _column(seeds, part) for part in scaled]
    squares = sum((jnp.sum(part.reshape(len(part), -1) ** 2, axis=1) for part in gradient), jnp.zeros_like(outputs))
    return (value, outputs, on_others, squares), (params, inputs, others, weights, gradient)


def _backward(network: Network, loss: Loss, residuals: Any, cotangents: Any) -> Any:
    del loss
    params, inputs, others, (weights, other_weights), gradient = residuals
    of_value, of_outputs, of_others, of_squares = cotangents
    seeds = _not_zero(of_value * weights + of_outputs)
    floats, rest = _split(inputs)
    steps = 2.0 * of_squares / seeds
    direction = [x + _column(steps, x) * slope for x, slope in zip(floats, gradient, strict=True)]

    def derivative(params: Tree) -> jax.Array:
        biases, kernels = _split(params, named="bias")
        return jax.jvp(
            lambda floats, biases: network(_merge(biases, kernels), _merge(floats, rest)),
            (floats, biases),
            (direction, biases),
        )[1]

    (of_params,) = jax.vjp(derivative, params)[1](seeds)
    of_inputs = _merge([_column(seeds, slope) * slope for slope in gradient], _nothing(rest))
    if others is None:
        return of_params, of_inputs, None, None
    other_floats, other_rest = _split(others)
    pull_back = jax.vjp(lambda params, floats: network(params, _merge(floats, other_rest)), params, other_floats)[1]
    more, of_floats = pull_back(of_value * other_weights + of_others)
    return jax.tree.map(jnp.add, of_params, more), of_inputs, _merge(of_floats, _nothing(other_rest)), None


loss_and_squared_norms.defvjp(_forward, _backward)

Rest = tuple[list[Any], Any]  # the other leaves of a tree, with None in place of the chosen ones, and its structure


def _split(tree: Tree, named: str = "") -> tuple[list[jax.Array], Rest]:
    """Return the leaves of floats, or those with this last name, and the rest of ``tree``."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    chosen = [
        path[-1].key == named if named else bool(jnp.issubdtype(leaf.dtype, jnp.floating)) for path, leaf in leaves
    ]
    rest = [None if one else leaf for one, (_, leaf) in zip(chosen, leaves, strict=True)]
    return [leaf for one, (_, leaf) in zip(chosen, leaves, strict=True) if one], (rest, structure)


def _merge(leaves: list[Any], rest: Rest) -> Tree:
    """Return the tree that :func:`_split` has split, with these chosen leaves."""
    following = iter(leaves)
    return jax.tree.unflatten(rest[1], [next(following) if leaf is None else leaf for leaf in rest[0]])


def _nothing(rest: Rest) -> Rest:
    """Return ``rest`` with a derivative of nothing for every leaf that is no float."""
    zeros = [None if leaf is None else jnp.zeros(leaf.shape, jax.dtypes.float0) for leaf in rest[0]]
    return zeros, rest[1]


def _not_zero(weights: jax.Array) -> jax.Array:
    return jnp.where(jnp.abs(weights) < SMALLEST, SMALLEST, weights)


def _column(rows: jax.Array, like: jax.Array) -> jax.Array:
    """Return ``rows`` ``(n,)`` with further axes of size 1, to be multiplied with ``like`` ``(n, ...)``."""
    return rows.reshape(-1, *[1] * (like.ndim - 1))
