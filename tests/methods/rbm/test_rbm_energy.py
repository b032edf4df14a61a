"""The distribution of a restricted Boltzmann machine: energy, conditional distributions and Gibbs chains."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import usual_options
from small_rbm import STATES, UNITS, Enumerated, bimodal, numbers, parameters, total_variation

from ganrun.methods.rbm.energy import (
    draw,
    free_energy,
    gibbs,
    hidden_logits,
    initial_parameters,
    random_states,
    transition,
    visible_logits,
)

TOLERANCE, N = 0.02, 20_000


def test_the_free_energy_is_the_number_derived_by_hand():
    # One unit each, W = 1, b = 2, c = -1: F(0) = -log(1 + 1/e), F(1) = -2 - log(1 + e^0).
    params = {"weights": jnp.ones((1, 1)), "visible_bias": jnp.asarray([2.0]), "hidden_bias": jnp.asarray([-1.0])}
    np.testing.assert_allclose(free_energy(params, jnp.asarray([[0.0], [1.0]])), [-0.3132617, -2.6931472], atol=1e-6)


def test_the_free_energy_is_the_log_sum_over_the_hidden_states():
    params = parameters(1.0)
    found = free_energy(params, jnp.asarray(STATES, jnp.float32))
    np.testing.assert_allclose(-found, Enumerated(params).log_unnormalised, rtol=1e-5, atol=1e-4)


def test_the_conditional_probabilities_are_those_of_the_joint_distribution():
    params = parameters(1.0)
    joint = Enumerated(params).joint
    states = jnp.asarray(STATES, jnp.float32)
    given_v = (joint / joint.sum(axis=1, keepdims=True)) @ STATES  # p(h_j = 1 | v)
    np.testing.assert_allclose(jax.nn.sigmoid(hidden_logits(params, states)), given_v, atol=1e-5)
    given_h = (joint / joint.sum(axis=0)).T @ STATES  # p(v_i = 1 | h)
    np.testing.assert_allclose(jax.nn.sigmoid(visible_logits(params, states)), given_h, atol=1e-5)


def test_units_are_one_with_the_probability_of_their_logit():
    logits = jnp.asarray([-30.0, -1.0, 0.0, 2.0, 30.0])
    units = np.asarray(draw(jax.random.key(0), jnp.broadcast_to(logits, (20_000, 5))))
    assert set(np.unique(units)) == {0.0, 1.0}
    np.testing.assert_allclose(units.mean(axis=0), [0.0, 0.268941, 0.5, 0.880797, 1.0], atol=0.015)


def test_the_first_parameters_are_small_weights_and_no_biases():
    params = initial_parameters(jax.random.key(0), 40, 50)
    assert params["weights"].shape == (40, 50) and 0.009 < float(params["weights"].std()) < 0.011
    assert params["visible_bias"].shape == (40,) and params["hidden_bias"].shape == (50,)
    assert not np.any(params["visible_bias"]) and not np.any(params["hidden_bias"])
    states = np.asarray(random_states(jax.random.key(1), 100, 40))
    assert set(np.unique(states)) == {0.0, 1.0} and 0.45 < states.mean() < 0.55


def test_several_transitions_are_single_ones_with_the_probabilities_of_the_last():
    params = parameters(1.0)
    start = random_states(jax.random.key(0), 3, UNITS)
    states, probabilities = gibbs(params, jax.random.key(1), start, 1)
    np.testing.assert_array_equal(gibbs(params, jax.random.key(1), start, jnp.int32(1))[0], states)
    nothing, _ = gibbs(params, jax.random.key(1), start, 0)
    np.testing.assert_array_equal(nothing, start)
    assert probabilities.shape == states.shape and np.all((probabilities > 0) & (probabilities < 1))
    # A unit whose probability is 0 or 1 in single precision is drawn accordingly.
    certain = {**params, "visible_bias": jnp.where(jnp.arange(UNITS) < 5, 200.0, -200.0)}
    states, probabilities = transition(certain, jax.random.key(1), start)
    np.testing.assert_array_equal(states, probabilities)
    assert np.all(states[:, :5] == 1.0) and np.all(states[:, 5:] == 0.0)


# --- how fast chains approach the distribution ---


@pytest.fixture(scope="module")
def walk():
    """The states of 20 000 chains after ``steps`` transitions from ``start`` ``(10,)``."""
    run = jax.jit(gibbs, compiler_options=usual_options())

    def states(params, start, steps):
        return run(params, jax.random.key(3), jnp.broadcast_to(jnp.float32(start), (N, UNITS)), jnp.int32(steps))[0]

    return states


def first_four(p):
    """The distribution of the first four units: 16 numbers, which samples estimate well."""
    return p.reshape(16, 64).sum(axis=1)


@pytest.mark.parametrize("steps", [1, 3, 30])
def test_chains_have_the_distribution_of_the_transition_matrix(steps, walk):
    params = parameters(1.0)
    wanted = np.linalg.matrix_power(Enumerated(params).transition(), steps)[0]
    found = np.bincount(numbers(walk(params, np.zeros(UNITS), steps)), minlength=1024) / N
    assert total_variation(first_four(found), first_four(wanted)) < TOLERANCE


def test_the_total_variation_falls_with_the_transitions(walk):
    """Boltzmann machines are sampled by Markov chains, which converge slowly: Goodfellow 2016, NIPS tutorial."""
    params = parameters(1.0)
    exact = Enumerated(params)
    matrix, at = exact.transition(), np.eye(1024)[0]
    distances = []
    for _ in range(30):
        at = at @ matrix
        distances.append(total_variation(at, exact.p))
    assert distances[0] > 0.3 and distances[-1] < TOLERANCE
    assert all(b <= a + 1e-12 for a, b in itertools.pairwise(distances))
    found = np.bincount(numbers(walk(params, np.zeros(UNITS), 30)), minlength=1024) / N
    assert total_variation(first_four(found), first_four(exact.p)) < TOLERANCE


def test_chains_of_strong_weights_stay_in_their_mode(walk):
    """Chains do not pass between separate modes: Goodfellow 2016, NIPS tutorial; Goodfellow et al. 2014, section 6."""
    params = bimodal(1.5)
    exact = Enumerated(params)
    assert exact.p[0] == pytest.approx(exact.p[-1], rel=1e-5) and exact.p[0] > 0.45
    found = walk(params, np.zeros(UNITS), 100)
    # Both modes have half of the mass, and the chains know one: the total variation stays at 1/2.
    assert float(np.mean(np.sum(found, axis=1) > UNITS / 2)) < TOLERANCE
    distribution = np.bincount(numbers(found), minlength=1024) / N
    assert total_variation(distribution, exact.p) == pytest.approx(0.5, abs=TOLERANCE)
    # With weak weights, the same chains know both after a few transitions.
    weak = bimodal(0.3)
    found = np.bincount(numbers(walk(weak, np.zeros(UNITS), 30)), minlength=1024) / N
    assert total_variation(first_four(found), first_four(Enumerated(weak).p)) < TOLERANCE
