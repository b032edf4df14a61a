"""The restricted Boltzmann machine as a distribution: its energy, its conditional distributions and Gibbs chains.

Visible units v and hidden units h are 0 or 1. The parameters are a dictionary of ``weights`` W ``(visible, hidden)``,
``visible_bias`` b ``(visible,)`` and ``hidden_bias`` c ``(hidden,)``.

Formula: p(v, h) = exp(-E(v, h)) / Z, E(v, h) = -b·v - c·h - v·W h
Paper: Smolensky 1986, "Information processing in dynamical systems: foundations of harmony theory"; Hinton 2002,
"Training products of experts by minimizing contrastive divergence".
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ganrun.keys import key_for
from ganrun.methods.base import Tree

INITIAL_STD = 0.01  # of the weights, as in Hinton 2012, "A practical guide to training RBMs", section 8


def initial_parameters(key: jax.Array, visible: int, hidden: int) -> Tree:
    """Return small normal weights and zero biases."""
    weights = INITIAL_STD * jax.random.normal(key, (visible, hidden))
    return {"weights": weights, "visible_bias": jnp.zeros((visible,)), "hidden_bias": jnp.zeros((hidden,))}


def hidden_logits(params: Tree, v: jax.Array) -> jax.Array:
    """Return the logits of p(h = 1 | v) ``(n, hidden)`` for ``v`` ``(n, visible)``."""
    return params["hidden_bias"] + v @ params["weights"]


def visible_logits(params: Tree, h: jax.Array) -> jax.Array:
    """Return the logits of p(v = 1 | h) ``(n, visible)`` for ``h`` ``(n, hidden)``."""
    return params["visible_bias"] + h @ params["weights"].T


def free_energy(params: Tree, v: jax.Array) -> jax.Array:
    """Return F(v) ``(n,)`` of ``v`` ``(n, visible)``, in nats: p(v) = exp(-F(v)) / Z.

    Formula: F(v) = -log sum_h exp(-E(v, h)) = -b·v - sum_j log(1 + exp(c_j + (v W)_j))
    """
    return -v @ params["visible_bias"] - jnp.sum(jax.nn.softplus(hidden_logits(params, v)), axis=-1)


def draw(key: jax.Array, logits: jax.Array) -> jax.Array:
    """Return independent units, 0 or 1, that are 1 with probability sigmoid(``logits``)."""
    return (jax.random.uniform(key, logits.shape) < jax.nn.sigmoid(logits)).astype(jnp.float32)


def transition(params: Tree, key: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Draw h given ``v`` and then v given h: one transition of a Gibbs chain, which leaves p(v) unchanged.

    Args:
        params: the parameters.
        key: a random key.
        v: the states of the chains, ``(n, visible)``.

    Returns:
        The next states, and the probabilities of 1 from which they are drawn, each ``(n, visible)``.
    """
    h = draw(key_for(key, "hidden"), hidden_logits(params, v))
    logits = visible_logits(params, h)
    return draw(key_for(key, "visible"), logits), jax.nn.sigmoid(logits)


def gibbs(params: Tree, key: jax.Array, v: jax.Array, steps: int | jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the states after ``steps`` transitions from ``v``, and the probabilities that they are drawn from."""

    def body(index: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return transition(params, key_for(key, "transition", index), carry[0])

    return jax.lax.fori_loop(0, steps, body, (v, v))


def random_states(key: jax.Array, n: int, visible: int) -> jax.Array:
    """Return ``n`` states of independent fair units, ``(n, visible)``: the start of chains."""
    return jax.random.bernoulli(key, 0.5, (n, visible)).astype(jnp.float32)
