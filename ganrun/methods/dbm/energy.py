"""The deep Boltzmann machine of two hidden layers as a distribution, and its mean-field inference.

The parameters are those of a restricted Boltzmann machine (:mod:`ganrun.methods.rbm.energy`) for the visible units v
and the first hidden layer h1, and ``top_weights`` U ``(hidden, top)`` and ``top_bias`` d ``(top,)`` for the second
hidden layer h2. Since v and h2 interact through h1 only, the model is also a restricted machine whose visible units
are those of v and h2 side by side: :func:`stacked` returns its parameters, so that Gibbs chains, free energies with h1
summed out, and partition functions are those of :mod:`ganrun.methods.rbm`.

Formula: p(v, h1, h2) = exp(-E) / Z, E(v, h1, h2) = -b·v - c·h1 - d·h2 - v·W h1 - h1·U h2
Paper: Salakhutdinov & Hinton 2009, "Deep Boltzmann machines", eq. 9.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ganrun.keys import key_for
from ganrun.methods.base import Tree
from ganrun.methods.rbm import energy


def initial_parameters(key: jax.Array, visible: int, hidden: int, top: int) -> Tree:
    """Return small normal weights and zero biases."""
    above = energy.initial_parameters(key_for(key, "top"), hidden, top)
    below = energy.initial_parameters(key_for(key, "bottom"), visible, hidden)
    return {**below, "top_weights": above["weights"], "top_bias": above["hidden_bias"]}


def stacked(params: Tree) -> Tree:
    """Return the parameters of the restricted machine with the visible units (v, h2) and the hidden units h1."""
    return {
        "weights": jnp.concatenate([params["weights"], params["top_weights"].T]),
        "visible_bias": jnp.concatenate([params["visible_bias"], params["top_bias"]]),
        "hidden_bias": params["hidden_bias"],
    }


def mean_field(params: Tree, v: jax.Array, steps: int) -> jax.Array:
    """Return the means of h2 ``(n, top)`` in a factorised approximation q(h1, h2) of p(h1, h2 | v).

    Each step maximises the bound on log p(v) over the means of one layer and then of the other, so that the bound does
    not fall. The first means of h1 are those of a machine with twice the weights, since h2 is still unknown.

    Formula: m1 = sigmoid(c + v W + m2 U'), m2 = sigmoid(d + m1 U)
    Paper: Salakhutdinov & Hinton 2009, eqs. 7 and 8, and section 3.1 for the start.

    Args:
        params: the parameters.
        v: visible units ``(n, visible)``.
        steps: number of updates of h2.
    """
    bottom = energy.hidden_logits(params, v)
    first = jax.nn.sigmoid(2.0 * bottom - params["hidden_bias"])

    def top(means: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(params["top_bias"] + means @ params["top_weights"])

    def body(_: jax.Array, means: jax.Array) -> jax.Array:
        return top(jax.nn.sigmoid(bottom + means @ params["top_weights"].T))

    return jax.lax.fori_loop(1, steps, body, top(first))


def entropy(means: jax.Array) -> jax.Array:
    """Return the entropy ``(n,)`` of independent units with ``means`` ``(n, units)``, in nats."""
    return jnp.sum(jax.scipy.special.entr(means) + jax.scipy.special.entr(1.0 - means), axis=-1)


def log_unnormalised_bound(params: Tree, v: jax.Array, means: jax.Array) -> jax.Array:
    """Return the bound on log p(v) + log Z ``(n,)`` of mean-field means of h2, with the best means of h1 for them.

    Formula: E_q[-E(v, h1, h2)] + H(q) = -F(v, m2) + H(m2), with the free energy F in which h1 is summed out
    """
    return entropy(means) - energy.free_energy(stacked(params), jnp.concatenate([v, means], axis=1))
