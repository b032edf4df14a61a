"""The interface of autoregressive networks: modules whose outputs for an element depend on earlier elements only.

Such a module has the attributes ``shape``, ``outputs`` (per element), ``orders`` (number of orders of the elements) and
``classes`` (0 for none), and two functions that compute the same conditionals:

* ``module(x, y, order)`` maps examples ``(n, *shape)`` to the outputs of all elements ``(n, *shape, outputs)`` at once;
* ``module.sample(draw, n, y, order)`` draws examples element by element. It returns what was drawn and what a sample
  shows, each ``(n, *shape)``. In ``sample``, ``order`` may also be one for each example, ``(n,)``.

An architecture for ``method=autoregressive`` returns it from ``build_autoregressive(shape, outputs, classes)``.
"""

from __future__ import annotations

from collections.abc import Callable

import jax

from ganrun.architectures.networks import is_image

# Maps the outputs of one element ``(n, outputs)``, float32, and its position in the order to its value and to what a
# sample shows of it, each ``(n,)``.
Draw = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def network_inputs(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return ``x`` as networks read it: pixels in [0, 1] instead of [-1, 1], so that black is the zero of padding."""
    return (x + 1.0) / 2.0 if is_image(shape) else x
