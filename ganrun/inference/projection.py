"""From an example to the latent whose sample is nearest, by descent: works for any generator.

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

from ganrun.inference.latents import BATCH

Push = Callable[[Any, jax.Array], jax.Array]
RATE = 0.1  # of Adam at the start, in units of the latent; it falls to 0 along half a cosine


def project(
    push: Push, variables: Any, inputs: np.ndarray, begins: np.ndarray, prior: str, iterations: int
) -> np.ndarray:
    """Return for each of ``inputs`` the latent with the smallest ||G(z) - x||^2 that was met, ``(n, latent_dim)``.

    Adam descends from every one of ``begins``; the best latent on all their ways is kept. Latents of a uniform prior
    are clipped to [-1, 1] after every step. Nothing holds those of a normal prior back: an example that the generator
    cannot make may draw its latent to where the prior has hardly any mass.

    Args:
        push: ``push(variables, latents)``, latents ``(m, latent_dim)`` to samples ``(m, *shape)``, each by itself.
        variables: of the generator.
        inputs: ``(n, *shape)``.
        begins: ``(n, starts, latent_dim)``, where the ways to each input begin.
        prior: ``normal`` or ``uniform``.
        iterations: steps of each way.
    """
    size = min(len(inputs), max(1, BATCH // begins.shape[1]))
    found = []
    for i in range(0, len(inputs), size):
        # The last part is filled up with the first input, so that there is one program of one size.
        rows = np.arange(i, i + size)
        rows[rows >= len(inputs)] = 0
        x, z = jnp.asarray(inputs[rows], jnp.float32), jnp.asarray(begins[rows], jnp.float32)
        found.append(np.asarray(_descend(push, variables, x, z, jnp.int32(iterations), prior)))
    return np.concatenate(found)[: len(inputs)]


@partial(jax.jit, static_argnames=("push", "prior"))
def _descend(
    push: Push, variables: Any, inputs: jax.Array, begins: jax.Array, iterations: jax.Array, prior: str
) -> jax.Array:
    """Return the best latents ``(n, latent_dim)`` for ``inputs`` from ``begins`` ``(n, starts, latent_dim)``."""
    n, starts, dim = begins.shape
    targets = jnp.repeat(inputs, starts, axis=0)
    adam = optax.scale_by_adam()

    def total(latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        # Every latent has its own error, so the gradient of the sum holds the gradient of each.
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
    # Near the end single precision no longer tells errors apart, while the latents still get better: the later ones.
    falls = errors <= least
    return jnp.where(falls[:, None], latents, best), jnp.where(falls, errors, least)
