"""The logarithm of the partition function Z of a restricted Boltzmann machine: estimated, and exact for few units."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ganrun.keys import key_for
from ganrun.methods.base import Tree
from ganrun.methods.rbm.annealing import annealed_transition, base_logits
from ganrun.methods.rbm.energy import draw, free_energy, hidden_logits

ENUMERABLE = 20  # units of a layer all of whose states are enumerated: about a million
AT_ONCE = 1024  # states that are enumerated together


def ais_log_z(
    params: Tree, base_rates: jax.Array, key: jax.Array, chains: int, steps: int
) -> tuple[jax.Array, jax.Array]:
    """Return an estimate of log Z, in nats, by annealed importance sampling, and its standard error.

    The chains start at independent visible units (a machine with W = 0) and pass the distributions p_t with t = 1/K, …,
    K/K, one Gibbs transition at each. The mean of the weights is an unbiased estimate of Z divided by that of the base
    distribution, so its logarithm is below log Z on average. The standard error is that of the mean of the weights,
    divided by the mean (the delta method); it is too small if no chain has found an important mode.

    Formula: log p_t(v) = (1 - t) a·v + t b·v + sum_j log(1 + exp(t (c + v W)_j)) + constant,
    log w = sum_k log p_(k/K)(v_(k-1)) - log p_((k-1)/K)(v_(k-1)), log Z = log Z_0 + log mean w
    Paper: Neal 2001, "Annealed importance sampling"; Salakhutdinov & Murray 2008, "On the quantitative analysis of deep
    belief networks", section 4.1. Here the base distribution has no hidden units of its own.

    Args:
        params: the parameters, see :mod:`ganrun.methods.rbm.energy`.
        base_rates: mean of each visible unit over the data ``(visible,)``; sigmoid(a) in the formula. The closer, the
            better the estimate.
        key: a random key.
        chains: number of independent chains.
        steps: number K of intermediate distributions.
    """
    base = base_logits(base_rates)
    bias, hidden = params["visible_bias"], params["hidden_bias"].shape[0]

    def body(index: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        v, log_weights = carry
        before, now = (index / steps).astype(jnp.float32), ((index + 1) / steps).astype(jnp.float32)
        logits = hidden_logits(params, v)
        gain = (now - before) * (v @ (bias - base))
        gain += jnp.sum(jax.nn.softplus(now * logits) - jax.nn.softplus(before * logits), axis=-1)
        return annealed_transition(params, base, now, key_for(key, "transition", index), v), log_weights + gain

    start = draw(key_for(key, "start"), jnp.broadcast_to(base, (chains, base.shape[0])))
    _, log_weights = jax.lax.fori_loop(0, steps, body, (start, jnp.zeros((chains,))))
    log_base = jnp.sum(jax.nn.softplus(base)) + hidden * jnp.log(2.0)
    weights = jnp.exp(log_weights - jnp.max(log_weights))
    error = jnp.std(weights, ddof=1) / (jnp.mean(weights) * jnp.sqrt(chains))
    return log_base + jax.nn.logsumexp(log_weights) - jnp.log(chains), error


def enumerable(visible: int, hidden: int) -> bool:
    """Return whether :func:`exact_log_z` is feasible."""
    return min(visible, hidden) <= ENUMERABLE


def exact_log_z(params: Tree) -> jax.Array:
    """Return log Z in nats: the sum over all states of the smaller layer, of at most :data:`ENUMERABLE` units.

    Formula: Z = sum_v exp(-F(v)), and likewise over h

    Raises:
        ValueError: both layers have more units.
    """
    visible, hidden = params["weights"].shape
    if not enumerable(visible, hidden):
        raise ValueError(f"log Z of {visible} visible and {hidden} hidden units cannot be enumerated")
    if hidden < visible:
        exchanged = {"weights": params["weights"].T, "visible_bias": params["hidden_bias"]}
        return exact_log_z(exchanged | {"hidden_bias": params["visible_bias"]})
    total = 2**visible
    rows = min(AT_ONCE, total)

    def part(index: jax.Array) -> jax.Array:
        return jax.nn.logsumexp(-free_energy(params, binary_states(index * rows + jnp.arange(rows), visible)))

    return jax.nn.logsumexp(jax.lax.map(part, jnp.arange(total // rows)))


def binary_states(numbers: jax.Array, units: int) -> jax.Array:
    """Return the binary digits of ``numbers`` ``(n,)``, the lowest first: float32 ``(n, units)``."""
    return ((numbers[:, None] >> jnp.arange(units)) & 1).astype(jnp.float32)
