"""The deep Boltzmann machine against the enumeration of all its states: inference, bounds, gradients, one step."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import usual_options
from small_dbm import H1, H2, HIDDEN, TOP, VISIBLE, Enumerated, V, begun, hparams, images, parameters, small

from ganrun.datasets.sampler import Cursor
from ganrun.methods.base import Batches, Progress
from ganrun.methods.dbm.energy import entropy, initial_parameters, log_unnormalised_bound, mean_field, stacked
from ganrun.methods.rbm.energy import free_energy, hidden_logits
from ganrun.methods.rbm.partition import exact_log_z

STATES = jnp.asarray(V, jnp.float32)
DATA = np.random.default_rng(5).integers(0, 2, (6, VISIBLE)).astype(np.float32)


def number(v):
    """The index of each of the states ``v`` in the table."""
    return (np.asarray(v) @ 2.0 ** np.arange(VISIBLE)[::-1]).astype(int)


def variables_of(params, **stats):
    return {"params": params, "batch_stats": {"base_rates": jnp.full((VISIBLE + TOP,), 0.5), **stats}}


# --- the distribution ---


def test_the_stacked_machine_has_the_energies_of_both_layers():
    params = parameters(1.0)
    both = np.concatenate([np.repeat(V, len(H2), axis=0), np.tile(H2, (len(V), 1))], axis=1)
    found = -free_energy(stacked(params), jnp.asarray(both, jnp.float32))
    wanted = np.log(np.exp(Enumerated(params).log_joint).sum(axis=1)).reshape(-1)  # h1 summed out
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


def test_log_z_is_that_of_the_enumeration_and_its_estimate_is_within_two_hundredths():
    method, params = small(), parameters(1.0)
    shared = jax.jit(method.normaliser)(variables_of(params), jax.random.key(2))
    wanted = Enumerated(params).log_z
    assert float(shared["log_z_exact"]) == pytest.approx(wanted, abs=1e-4)
    assert float(exact_log_z(stacked(params))) == pytest.approx(wanted, abs=1e-4)
    assert float(shared["log_z"]) == pytest.approx(wanted, abs=0.02) and 0 < float(shared["log_z_se"]) < 0.02


# --- mean-field inference ---


@pytest.mark.parametrize("strength", [0.3, 1.0, 2.0])
def test_the_bound_is_that_of_the_enumerated_q_and_below_log_p(strength):
    params, exact = parameters(strength), Enumerated(parameters(strength))
    means = mean_field(params, STATES, 5)
    found = np.asarray(log_unnormalised_bound(params, STATES, means), np.float64) - exact.log_z
    assert np.all(found <= exact.log_p + 1e-4)
    # It leaves no gap without weights, and a gap otherwise.
    assert np.mean(exact.log_p - found) > {0.3: 1e-5, 1.0: 0.01, 2.0: 0.05}[strength]
    first = jax.nn.sigmoid(hidden_logits(stacked(params), jnp.concatenate([STATES, means], axis=1)))
    for index in (0, 37, 255):
        assert found[index] == pytest.approx(exact.bound(index, first[index], means[index]), abs=1e-4)


def test_the_bound_rises_with_the_updates_to_a_stationary_point():
    params = parameters(1.5)
    bounds = [log_unnormalised_bound(params, STATES, mean_field(params, STATES, steps)) for steps in (1, 2, 4, 8, 60)]
    for before, after in itertools.pairwise(bounds):
        assert np.all(after >= before - 1e-4)
    assert float(jnp.mean(bounds[-1] - bounds[0])) > 1e-3
    means = mean_field(params, STATES, 200)
    slope = jax.grad(lambda means: jnp.sum(log_unnormalised_bound(params, STATES, means)))(means)
    np.testing.assert_allclose(slope * means * (1 - means), 0.0, atol=1e-4)  # by the logits of the means


def test_the_entropy_is_the_number_derived_by_hand():
    found = entropy(jnp.asarray([[0.5, 0.5], [0.0, 1.0], [0.25, 1.0]]))
    np.testing.assert_allclose(found, [2 * np.log(2), 0.0, 0.5623351], atol=1e-6)


# --- the gradient ---


def test_the_mean_field_gradient_is_that_of_the_bound_and_of_finite_differences():
    params = {name: jnp.asarray(array) for name, array in parameters(1.0).items()}
    v = jnp.asarray(DATA)

    def bound(params):  # differentiated through the updates, unlike the loss
        means = mean_field(params, v, 100)
        return jnp.mean(log_unnormalised_bound(params, v, means)) - exact_log_z(stacked(params))

    def with_fixed_means(params):
        return jnp.mean(log_unnormalised_bound(params, v, fixed)) - exact_log_z(stacked(params))

    fixed = mean_field(params, v, 100)
    gradient, wanted = (jax.jit(jax.grad(function))(params) for function in (with_fixed_means, bound))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), gradient, wanted)
    value = jax.jit(bound)
    for name, at in (("weights", (0, 1)), ("top_weights", (2, 1)), ("top_bias", (0,))):
        up, down = ({**params, name: params[name].at[at].add(step)} for step in (0.05, -0.05))
        assert float(gradient[name][at]) == pytest.approx((float(value(up)) - float(value(down))) / 0.1, abs=2e-3)


def test_the_gradient_of_the_loss_is_that_of_the_bound_where_chains_have_the_models_distribution():
    n, params, exact = 20_000, parameters(1.0), Enumerated(parameters(1.0))
    p = exact.joint.sum(axis=1).reshape(-1)  # of (v, h2)
    drawn = np.random.default_rng(0).choice(len(p), size=n, p=p / p.sum())
    chains = np.concatenate([V[drawn // len(H2)], H2[drawn % len(H2)]], axis=1).astype(np.float32)
    method, x = small(batch_size=n), images(np.resize(DATA, (n, VISIBLE)))

    def loss(params):
        return method.loss(variables_of(params, chains=chains), x, None, jax.random.key(1), hparams())[0]

    gradient = jax.jit(jax.grad(loss), compiler_options=usual_options())(params)
    v = jnp.asarray(np.resize(DATA, (n, VISIBLE)))
    second = np.asarray(mean_field(params, v, 100), np.float64)
    first = np.asarray(jax.nn.sigmoid(hidden_logits(stacked(params), jnp.concatenate([v, jnp.float32(second)], 1))))
    model = exact.joint
    wanted = {
        "weights": V.T @ model.sum(axis=2) @ H1 - np.asarray(v).T @ first / n,
        "top_weights": H1.T @ model.sum(axis=0) @ H2 - first.T @ second / n,
        "top_bias": model.sum(axis=(0, 1)) @ H2 - second.mean(axis=0),
    }
    for name, array in wanted.items():
        np.testing.assert_allclose(gradient[name], array, atol=0.015, err_msg=name)


# --- training and samples ---


class Fixed:
    """A source whose minibatches are the rows of its data."""

    def minibatch(self, key, cursor, n):
        return images(np.resize(DATA[:2], (n, VISIBLE))), cursor


def test_training_from_small_weights_raises_the_exact_likelihood():
    method = small(batch_size=50, mean_field_steps=10)
    batches = Batches(train=Fixed(), held_out=Fixed(), cursor=Cursor.start())

    @jax.jit
    def trained(model):
        def body(i, model):
            progress = Progress(step=i, steps=jnp.float32(1000))
            return method.step(model, batches, jax.random.fold_in(jax.random.key(1), i), hparams(), progress)[0]

        return jax.lax.fori_loop(0, 1000, body, model)

    model = begun(method)
    after = trained(model)
    before, now = (Enumerated(one.params).log_p[number(DATA[:2])].mean() for one in (model, after))
    assert before == pytest.approx(-VISIBLE * np.log(2), abs=0.05)
    assert -3.0 < now < -np.log(2)  # two equally likely examples
    assert float(jnp.max(jnp.abs(after.params["top_weights"]))) > 0.2  # the second layer is in use


def test_states_rates_samples_and_densities_have_their_shapes():
    method, params = small(ais_steps=5), parameters(0.5)
    model = begun(method)
    assert model.stats["chains"].shape == (4, VISIBLE + TOP) and model.stats["base_rates"].shape == (VISIBLE + TOP,)
    assert {name: array.shape for name, array in model.params.items()} == {
        name: array.shape for name, array in params.items()
    }
    samples = method.sample(variables_of(params), hparams(), jax.random.key(0), 3)
    assert samples.shape == (3, 4, 2, 1) and float(jnp.max(jnp.abs(samples))) <= 1.0
    found = method.log_density(variables_of(params), jax.random.key(0), images(DATA))
    assert set(found) == {spec.name for spec in method.densities} == {"mean_field_bound_ais", "mean_field_bound"}
    exact = Enumerated(params)
    wanted = exact.log_p[number(DATA)]
    assert np.all(found["mean_field_bound"] <= wanted + 1e-4) and np.all(found["mean_field_bound"] > wanted - 0.5)
    wide = small(hidden=21, top=30)
    assert [spec.name for spec in wide.densities] == ["mean_field_bound_ais"]
    assert method.shared_errors == {"mean_field_bound_ais": "log_z_se"}


def test_the_first_parameters_are_small_weights_and_no_biases():
    params = initial_parameters(jax.random.key(0), 40, 50, 60)
    for name in ("weights", "top_weights"):
        assert 0.009 < float(params[name].std()) < 0.011
    assert params["top_weights"].shape == (50, 60) and HIDDEN == 4
    assert not any(np.any(params[name]) for name in ("visible_bias", "hidden_bias", "top_bias"))
