"""Annealed chains: each transition leaves its distribution as it is, and the ends are where the probability is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_rbm import STATES, UNITS, Enumerated, bimodal, numbers, parameters, total_variation

from ganrun.methods.rbm.annealing import annealed_states, annealed_transition, base_logits
from ganrun.methods.rbm.energy import gibbs, random_states

DRAWS = 200_000  # of 1024 states: their frequencies have a total variation of at most 0.03 from the probabilities


def between(params, base, t):
    """The machine whose distribution is p_t."""
    visible = (1 - t) * np.asarray(base) + t * params["visible_bias"]
    return {"weights": t * params["weights"], "hidden_bias": t * params["hidden_bias"], "visible_bias": visible}


def frequencies(v):
    return np.bincount(numbers(v), minlength=len(STATES)) / len(v)


@pytest.mark.parametrize("t", [0.0, 0.4, 1.0])
def test_a_transition_leaves_its_distribution_as_it_is(t):
    params, base = parameters(1.0), base_logits(jnp.linspace(0.2, 0.9, UNITS))
    p = Enumerated(between(params, base, t)).p
    before = STATES[np.random.default_rng(0).choice(len(STATES), DRAWS, p=p / p.sum())]
    after = annealed_transition(params, base, jnp.float32(t), jax.random.key(1), jnp.asarray(before, jnp.float32))
    assert total_variation(frequencies(after), p) < 0.03
    other = Enumerated(between(params, base, abs(t - 0.5))).p  # or this would show nothing
    assert total_variation(frequencies(after), other) > 0.1


def test_units_that_never_changed_in_training_may_change():
    np.testing.assert_allclose(base_logits(jnp.array([0.0, 0.5, 1.0])), [-np.log(99), 0, np.log(99)], rtol=1e-5)


def test_annealed_chains_reach_the_likely_mode_and_chains_from_random_states_either():
    params = bimodal(2.0)
    params["visible_bias"] = params["visible_bias"] + np.float32(1.0)
    p = Enumerated(params).p
    assert p[numbers(np.ones((1, UNITS)))[0]] > 0.99
    rates = jnp.full((UNITS,), 0.9)
    annealed = np.asarray(annealed_states(params, rates, jax.random.key(0), 400, 100))
    at_random, _ = gibbs(params, jax.random.key(1), random_states(jax.random.key(2), 400, UNITS), 100)
    assert (annealed.mean(axis=1) > 0.5).mean() > 0.97
    assert (np.asarray(at_random).mean(axis=1) > 0.5).mean() < 0.9
