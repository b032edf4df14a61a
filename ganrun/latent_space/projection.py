"""Projection of examples to latents by gradient descent, for any differentiable generator.

Paper: Lipton & Tripathi 2017, "Precise recovery of latent vectors from generative adversarial networks"; Creswell &
Bharath 2016, "Inverting the generator of a generative adversarial network".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ganrun.evaluation.samples import BATCH

Push = Callable[[Any, jax.Array], jax.Array]
RATE = 0.1  # Adam's initial learning rate, with cosine decay to 0


def project(
    push: Push, variables: Any, inputs: np.ndarray, begins: np.ndarray, prior: str, iterations: int
) -> np.ndarray:
    """Return for each of ``inputs`` the latent with the smallest ||G(z) - x||^2 encountered, ``(n, latent_dim)``.

    Adam starts from each of ``begins``, and the best latent of all iterations and starts is returned. Latents of a
    uniform prior are clipped to [-1, 1] after every step. Latents of a normal prior are not constrained: for an example
    outside the generator's range they may move to where the prior has hardly any mass.

    Args:
        push: ``push(variables, latents)``, latents ``(m, latent_dim)`` to samples ``(m, *shape)``, row by row.
        variables: of the generator.
        inputs: ``(n, *shape)``.
        begins: ``(n, starts, latent_dim)``, initial latents for each input.
        prior: ``normal`` or ``uniform``.
        iterations: number of Adam steps from each start.
    """
    size = min(len(inputs), max(1, BATCH // begins.shape[1]))
    latents = []
    for i in range(0, len(inputs), size):
        # The last batch is padded with the first input, so that the program is compiled for one shape.
        rows = np.arange(i, i + size)
        rows[rows >= len(inputs)] = 0
        x, z = jnp.asarray(inputs[rows], jnp.float32), jnp.asarray(begins[rows], jnp.float32)
        latents.append(np.asarray(_descend(push, variables, x, z, jnp.int32(iterations), prior)))
    return np.concatenate(latents)[: len(inputs)]


@partial(jax.jit, static_argnames=("push", "prior"))
def _descend(
    push: Push, variables: Any, inputs: jax.Array, begins: jax.Array, iterations: jax.Array, prior: str
) -> jax.Array:
    """Return the best latents ``(n, latent_dim)`` for ``inputs`` from ``begins`` ``(n, starts, latent_dim)``."""
    n, starts, dim = begins.shape
    targets = jnp.repeat(inputs, starts, axis=0)
    adam = optax.scale_by_adam()

    def total(latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        # The errors are independent, so the gradient of their sum contains the gradient of each.
        errors = jnp.sum((push(variables, latents) - targets).reshape(n * starts, -1) ** 2, axis=1)
        return jnp.sum(errors), errors

    def step(i: jax.Array, carry: Any) -> Any:
        latents, moments, kept = carry
        (_, errors), gradient = jax.value_and_grad(total, has_aux=True)(latents)
        change: Any
        change, moments = adam.update(gradient, moments)
        rate = 0.5 * RATE * (1.0 + jnp.cos(jnp.pi * i / iterations))
        moved = latents - rate * change
        if prior == "uniform":
            moved = jnp.clip(moved, -1.0, 1.0)
        return moved, moments, _better(kept, latents, errors)

    latents = begins.reshape(n * starts, dim)
    kept = latents, jnp.full(n * starts, jnp.inf)
    latents, _, kept = jax.lax.fori_loop(0, iterations, step, (latents, adam.init(latents), kept))
    best, least = _better(kept, latents, total(latents)[1])
    winner = jnp.argmin(least.reshape(n, starts), axis=1)
    return best.reshape(n, starts, dim)[jnp.arange(n), winner]


def _better(kept: tuple[jax.Array, jax.Array], latents: jax.Array, errors: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return, row by row, the latents with the smaller error, and that error."""
    best, least = kept
    # Ties go to the later latents: near convergence the errors are equal in single precision while latents improve.
    improved = errors <= least
    return jnp.where(improved[:, None], latents, best), jnp.where(improved, errors, least)
