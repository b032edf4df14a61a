"""Chains from independent units to the distribution of a restricted Boltzmann machine, by distributions in between."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ganrun.keys import key_for
from ganrun.methods.base import Tree
from ganrun.methods.rbm.energy import draw, hidden_logits, visible_logits

LEAST_RATE = 0.01  # of the base distribution: a unit that was never 1 in training may be 1


def base_logits(base_rates: jax.Array) -> jax.Array:
    """Return the logits ``(visible,)`` of independent units that are 1 with the probabilities ``base_rates``."""
    rates = jnp.clip(base_rates, LEAST_RATE, 1.0 - LEAST_RATE)
    return jnp.log(rates) - jnp.log1p(-rates)


def annealed_transition(params: Tree, base: jax.Array, t: jax.Array, key: jax.Array, v: jax.Array) -> jax.Array:
    """Return the states ``(n, visible)`` after one Gibbs transition from ``v`` that leaves p_t unchanged.

    Formula: log p_t(v) = (1 - t) a·v + t b·v + sum_j log(1 + exp(t (c + v W)_j)) + constant, a the logits ``base``
    Paper: Salakhutdinov & Murray 2008, "On the quantitative analysis of deep belief networks", section 4.1.

    Args:
        params: the parameters, see :mod:`ganrun.methods.rbm.energy`.
        base: the logits of the base distribution, p_0.
        t: in [0, 1]; p_1 is the distribution of the machine.
        key: a random key.
        v: the states before, ``(n, visible)``.
    """
    h = draw(key_for(key, "hidden"), t * hidden_logits(params, v))
    return draw(key_for(key, "visible"), (1.0 - t) * base + t * visible_logits(params, h))


def annealed_states(params: Tree, base_rates: jax.Array, key: jax.Array, n: int, steps: int) -> jax.Array:
    """Return ``n`` states ``(n, visible)`` at the end of chains from independent units, with t = 1/K, …, K/K.

    Chains from uniform states may stay in states of small probability that the training data never led to. Those which
    begin at the mean of each unit, and come to the machine's distribution gradually, reach it in fewer transitions.

    Args:
        params: the parameters.
        base_rates: mean of each visible unit over the data, ``(visible,)``.
        key: a random key.
        n: number of chains.
        steps: number K of transitions.
    """
    base = base_logits(base_rates)

    def body(index: jax.Array, v: jax.Array) -> jax.Array:
        t = ((index + 1) / steps).astype(jnp.float32)
        return annealed_transition(params, base, t, key_for(key, "transition", index), v)

    start = draw(key_for(key, "start"), jnp.broadcast_to(base, (n, base.shape[0])))
    return jax.lax.fori_loop(0, steps, body, start)
