"""The partition function of a restricted Boltzmann machine: exact, and by annealed importance sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import usual_options
from small_rbm import STATES, UNITS, Enumerated, parameters

from ganrun.methods.rbm.energy import free_energy
from ganrun.methods.rbm.partition import ais_log_z, binary_states, enumerable, exact_log_z
from ganrun.training.build import build

HALF = jnp.full((UNITS,), 0.5)


def estimates(params, seeds, chains, steps, rates=HALF):
    each = jax.vmap(lambda key: ais_log_z(params, rates, key, chains, steps))
    run = jax.jit(each, compiler_options=usual_options())
    return [np.asarray(array) for array in run(jax.random.split(jax.random.key(0), seeds))]


def test_binary_states_are_the_digits_of_numbers():
    np.testing.assert_array_equal(binary_states(jnp.asarray([0, 5]), 3), [[0, 0, 0], [1, 0, 1]])


@pytest.mark.parametrize("strength", [0.1, 1.0, 3.0])
def test_the_enumerated_log_z_is_that_of_the_joint_distribution(strength):
    params = parameters(strength)
    assert float(exact_log_z(params)) == pytest.approx(Enumerated(params).log_z, abs=1e-3, rel=1e-6)


@pytest.mark.parametrize(("visible", "hidden"), [(3, 30), (30, 3), (12, 30)])
def test_the_smaller_layer_is_enumerated(visible, hidden):
    # Without weights, the units are independent: Z is the product of 1 + e^bias over all of them.
    rng = np.random.default_rng(1)
    biases = {"visible_bias": np.float32(rng.normal(size=visible)), "hidden_bias": np.float32(rng.normal(size=hidden))}
    wanted = sum(np.log1p(np.exp(np.float64(bias))).sum() for bias in biases.values())
    assert float(exact_log_z({"weights": jnp.zeros((visible, hidden)), **biases})) == pytest.approx(wanted, abs=1e-4)


def test_too_many_states_are_not_enumerated():
    assert enumerable(784, 20) and enumerable(20, 500) and not enumerable(21, 21)
    params = {"weights": jnp.zeros((21, 22)), "visible_bias": jnp.zeros(21), "hidden_bias": jnp.zeros(22)}
    with pytest.raises(ValueError, match=r"^log Z of 21 visible and 22 hidden units cannot be enumerated$"):
        exact_log_z(params)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_annealed_importance_sampling_finds_the_enumerated_log_z(strength):
    params = parameters(strength)
    (log_z,), (error,) = estimates(params, 1, 100, 1000)
    assert log_z == pytest.approx(Enumerated(params).log_z, abs=0.02)
    assert 0 < error < 0.02


def test_its_standard_error_is_that_of_repeated_estimates():
    params = parameters(1.0)
    log_z, errors = estimates(params, 200, 50, 50)
    residuals = log_z - Enumerated(params).log_z
    assert 0.8 < residuals.std() / np.sqrt(np.mean(errors**2)) < 1.25
    assert abs(residuals.mean()) < 4 * residuals.std() / np.sqrt(200) + residuals.std() ** 2


def test_z_is_estimated_without_bias_and_log_z_too_low():
    params = parameters(1.0)
    log_z, _ = estimates(params, 4000, 2, 3)  # few chains of few steps: a rough estimate
    residuals = np.float64(log_z) - Enumerated(params).log_z
    ratios = np.exp(residuals)
    assert abs(ratios.mean() - 1.0) < 4 * ratios.std() / np.sqrt(4000)
    assert residuals.mean() < -4 * residuals.std() / np.sqrt(4000)


def test_a_machine_without_weights_that_is_its_own_base_is_exact():
    bias = np.linspace(-2.0, 2.0, UNITS, dtype=np.float32)
    params = {"weights": jnp.zeros((UNITS, 3)), "visible_bias": bias, "hidden_bias": jnp.zeros(3)}
    (log_z,), (error,) = estimates(params, 1, 5, 4, jax.nn.sigmoid(bias))
    assert log_z == pytest.approx(np.log1p(np.exp(bias)).sum() + 3 * np.log(2), abs=1e-5)
    assert error < 1e-5


def test_base_rates_of_zero_and_one_are_allowed():
    params = parameters(0.5)
    rates = jnp.asarray([0.0, 1.0] * 5)
    (log_z,), (error,) = estimates(params, 1, 200, 1000, rates)
    assert log_z == pytest.approx(Enumerated(params).log_z, abs=max(0.05, 4 * float(error)))


# --- the gradient of the log-likelihood ---


def test_the_gradient_of_the_exact_log_likelihood_is_the_difference_of_expectations():
    params = {name: jnp.asarray(array) for name, array in parameters(1.0).items()}
    rng = np.random.default_rng(2)
    data = np.float32(rng.integers(0, 2, (7, UNITS)))
    gradient = jax.grad(lambda params: jnp.mean(-free_energy(params, jnp.asarray(data))) - exact_log_z(params))(params)
    joint = Enumerated(params).joint
    active = 1 / (1 + np.exp(-(data @ np.float64(params["weights"]) + np.float64(params["hidden_bias"]))))
    wanted = {
        "weights": data.T @ active / 7 - STATES.T @ joint @ STATES,
        "visible_bias": data.mean(axis=0) - joint.sum(axis=1) @ STATES,
        "hidden_bias": active.mean(axis=0) - joint.sum(axis=0) @ STATES,
    }
    for name, array in wanted.items():
        np.testing.assert_allclose(gradient[name], array, atol=2e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_estimate_of_a_machine_that_was_trained_on_digits_is_the_enumerated_one(seed, compose_config):
    # With a small learning rate. The weights of larger ones are so large that chains do not pass between modes.
    words = ("method=rbm", "dataset=digits", "method.hidden=20", "optimizer.generator.learning_rate=0.01", "steps=500")
    experiment = build(compose_config((*words, f"seed={seed}")))
    state, _ = experiment.advance(experiment.init(), 500)
    found = experiment.with_normaliser(experiment.variables(state), jax.random.key(seed))["normaliser"]
    assert float(found["log_z"]) == pytest.approx(float(found["log_z_exact"]), abs=0.05)
    assert abs(float(found["log_z_exact"]) - 84 * np.log(2)) > 5.0  # far from a machine without weights
