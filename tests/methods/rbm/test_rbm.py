"""The restricted Boltzmann machine in training: gradients, persistent chains, one step, samples and densities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import usual_options
from small_rbm import SHAPE, STATES, UNITS, Enumerated, begun, bimodal, hparams, images, numbers, parameters, small

from ganrun.datasets.sampler import Cursor
from ganrun.keys import key_for
from ganrun.methods.base import Batches, Progress
from ganrun.methods.rbm.annealing import annealed_states
from ganrun.methods.rbm.energy import free_energy, gibbs

DATA = np.random.default_rng(5).integers(0, 2, (8, UNITS)).astype(np.float32)


class Fixed:
    """A source whose minibatches are the first rows of its data."""

    def __init__(self, x):
        self.x = x

    def minibatch(self, key, cursor, n):
        return self.x[:n], cursor


BATCHES = Batches(train=Fixed(images(DATA)), held_out=Fixed(images(DATA)), cursor=Cursor.start())


def step(method, model, seed=0, at=0, **own):
    progress = Progress(step=jnp.int32(at), steps=jnp.float32(100))
    return method.step(model, BATCHES, jax.random.key(seed), hparams(**own), progress)


def stats_of(rates=0.5, chains=None):
    return {"base_rates": jnp.full((UNITS,), rates)} | ({} if chains is None else {"chains": chains})


# --- the gradient ---


def test_the_gradient_of_contrastive_divergence_tends_to_that_of_the_likelihood_with_its_transitions():
    # All chains start at the data; with k, their ends become draws from the model.
    n, params = 20_000, {name: jnp.asarray(array) for name, array in parameters(1.0).items()}
    method = small(persistent=False, batch_size=n)
    x, exact = images(np.resize(DATA, (n, UNITS))), Enumerated(params)

    def loss(params, k):
        variables = {"params": params, "batch_stats": stats_of()}
        own = hparams()
        own["method"]["gibbs_steps"] = k
        return method.loss(variables, x, None, jax.random.key(0), own)[0]

    gradient = jax.jit(jax.grad(loss), compiler_options=usual_options())
    given_v, transition = exact.joint / exact.p[:, None], exact.transition()
    at = np.bincount(numbers(DATA), minlength=1024) / len(DATA)
    positive, errors = STATES.T @ (at[:, None] * given_v) @ STATES, []
    likelihood = STATES.T @ exact.joint @ STATES - positive  # the gradient of -log p by the weights
    for k in range(1, 21):
        at = at @ transition
        wanted = STATES.T @ (at[:, None] * given_v) @ STATES - positive  # the expectation of that of CD-k
        errors.append(np.linalg.norm(wanted - likelihood))
        if k in (1, 2, 3, 20):
            found = np.asarray(gradient(params, jnp.int32(k))["weights"])
            assert np.linalg.norm(found - wanted) < 0.06  # of 100 numbers, each a mean over 20 000 chains
    np.testing.assert_allclose(errors[:3], [1.2058, 0.3279, 0.0903], atol=1e-3)
    assert errors[-1] < 1e-4


def test_the_loss_is_the_difference_of_free_energies_with_weight_decay():
    params, method = parameters(1.0), small(persistent=False)
    variables = {"params": params, "batch_stats": stats_of()}
    key, own = jax.random.key(1), {"gibbs_steps": 3, "weight_decay": 0.25}
    value, ((data, model), stats) = method.loss(variables, images(DATA[:4]), None, key, hparams(**own))
    energies = -Enumerated(params).log_unnormalised
    ends, _ = gibbs(params, key_for(key, "chains"), jnp.asarray(DATA[:4]), 3)
    assert float(data) == pytest.approx(energies[numbers(DATA[:4])].mean(), rel=1e-5)
    assert float(model) == pytest.approx(energies[numbers(ends)].mean(), rel=1e-5)
    assert float(value) == pytest.approx(float(data - model) + 0.125 * np.sum(params["weights"] ** 2), rel=1e-5)
    np.testing.assert_allclose(stats["base_rates"], 0.99 * 0.5 + 0.01 * DATA[:4].mean(axis=0), rtol=1e-6)
    assert set(stats) == {"base_rates"}


def test_images_are_binarised_with_their_grey_as_the_probability_of_white():
    x = jnp.broadcast_to(jnp.linspace(-1.0, 1.0, UNITS).reshape(SHAPE), (20_000, *SHAPE))
    units = np.asarray(small().units(x, jax.random.key(0)))
    assert units.shape == (20_000, UNITS) and set(np.unique(units)) == {0.0, 1.0}
    np.testing.assert_allclose(units.mean(axis=0), np.linspace(0.0, 1.0, UNITS), atol=0.015)


# --- a step ---


def test_a_step_descends_the_loss_and_moves_the_chains():
    method = small()
    model = begun(method)
    after, _, metrics = step(method, model, gibbs_steps=2)
    key = jax.random.key(0)
    ends, _ = gibbs(model.params, key_for(key, "chains"), model.stats["chains"], 2)
    np.testing.assert_array_equal(after.stats["chains"], ends)
    assert not np.array_equal(ends, model.stats["chains"])

    def loss(params):
        return jnp.mean(free_energy(params, jnp.asarray(DATA[:4]))) - jnp.mean(free_energy(params, ends))

    value, gradient = jax.value_and_grad(loss)(model.params)
    wanted = jax.tree.map(lambda param, slope: param - 0.1 * slope, model.params, gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), after.params, wanted)
    assert tuple(metrics) == method.tags == ("loss", "free_energy/data", "free_energy/model", "grad_norm")
    assert float(metrics["loss"]) == pytest.approx(float(value), abs=1e-5)


def test_chains_go_on_where_they_ended_and_those_of_contrastive_divergence_have_no_state():
    method = small()
    first, *_ = step(method, begun(method))
    second, *_ = step(method, first, seed=1, at=1)
    ends, _ = gibbs(first.params, key_for(jax.random.key(1), "chains"), first.stats["chains"], 1)
    np.testing.assert_array_equal(second.stats["chains"], ends)
    assert "chains" not in begun(small(persistent=False)).stats


def test_chains_are_neither_averaged_nor_part_of_the_variables():
    method = small()
    model, *_ = step(method, begun(method))
    for average in (True, False):
        variables = method.variables(model, average)
        assert set(variables["batch_stats"]) == {"base_rates"} and set(variables["params"]) == set(model.params)
    assert set(method.networks(model)["model"]["batch_stats"]) == {"base_rates"}
    assert {"optimizer", "chains"} <= set(method.NOT_WEIGHTS)
    fair = np.asarray(begun(small(batch_size=1000)).stats["chains"])
    assert fair.shape == (1000, UNITS) and 0.45 < fair.mean() < 0.55


# --- samples and densities ---


def test_samples_are_the_last_probabilities_of_chains_of_which_half_is_annealed():
    method, params = small(sample_steps=10), parameters(1.0)
    key = jax.random.key(4)
    stats = stats_of()
    samples = method.sample({"params": params, "batch_stats": stats}, hparams(), key, 5)
    start = annealed_states(params, stats["base_rates"], key_for(key, "start"), 5, 5)
    _, probabilities = gibbs(params, key_for(key, "chains"), start, 5)
    assert samples.shape == (5, *SHAPE)
    np.testing.assert_allclose(samples.reshape(5, UNITS), 2 * probabilities - 1, atol=1e-6)
    assert method.prior is None and method.capabilities == {"log_density"}


def test_log_densities_are_those_of_the_enumerated_distribution():
    method, params = small(ais_chains=100, ais_steps=1000), parameters(1.0)
    variables = {"params": params, "batch_stats": stats_of()}
    exact = Enumerated(params)

    @jax.jit
    def run(variables, x):
        shared = method.normaliser(variables, jax.random.key(2))
        return shared, method.log_density(variables | {"normaliser": shared}, jax.random.key(0), x)

    shared, found = run(variables, images(DATA))
    wanted = np.log(exact.p[numbers(DATA)])
    assert set(found) == {spec.name for spec in method.densities} == {"log_likelihood_ais", "log_likelihood"}
    np.testing.assert_allclose(found["log_likelihood"], wanted, atol=1e-4)
    np.testing.assert_allclose(found["log_likelihood_ais"], wanted, atol=0.02)
    assert set(shared) == {spec.name for spec in method.normaliser_specs}
    assert float(shared["log_z_exact"]) == pytest.approx(exact.log_z, abs=1e-4)
    assert method.shared_errors == {"log_likelihood_ais": "log_z_se"}


def test_machines_with_many_units_have_an_estimate_only():
    method = small(hidden=21, shape=(7, 3, 1))
    assert [spec.name for spec in method.densities] == ["log_likelihood_ais"]
    assert [spec.name for spec in method.normaliser_specs] == ["log_z", "log_z_se"]


def test_the_chains_that_are_diagnosed_tell_good_from_bad():
    held_out, points = BATCHES.held_out, jnp.zeros((0, 1))
    method = small(sample_steps=200)
    model = begun(method)

    def shown(params):
        arrays = method.inspect(
            model.replace(average=model.average | {"params": params}), hparams(), held_out, jax.random.key(0), points
        )
        assert arrays["chains/free_energy"].shape == (16, 100)
        return method.read({name: np.asarray(array) for name, array in arrays.items()}).scalars

    apart = bimodal(3.0)
    apart["visible_bias"] += 0.5  # the modes have different free energies, and chains from random states find either
    good, bad = shown(parameters(0.3)), shown(apart)
    assert good["chains/r_hat"] < 1.05 < 1.3 < bad["chains/r_hat"]
    assert good["chains/effective_samples"] > 500 > 5 * bad["chains/effective_samples"]
    for found in (good, bad):
        assert found["chains/autocorrelation_time"] * found["chains/effective_samples"] == pytest.approx(1600)
