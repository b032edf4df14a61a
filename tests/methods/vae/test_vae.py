"""The variational autoencoder: its KL divergence, gradients, one step, and samples."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from small_vae import begun, hparams, small

from ganrun.datasets.sampler import Cursor, Pixels
from ganrun.keys import key_for
from ganrun.methods.base import Batches, Progress
from ganrun.methods.likelihoods import LIKELIHOODS
from ganrun.methods.method_option import as_arrays
from ganrun.methods.vae.flow_prior import FlowPrior
from ganrun.methods.vae.vae import OBJECTIVES, kl_from_prior
from ganrun.optimizers import Adam


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


# --- the KL divergence from the prior ---


def test_the_kl_from_the_prior_is_the_number_derived_by_hand():
    # Mean 1 and variance 4: (4 + 1 - 1 - log 4) / 2. Mean 0 and variance 1/4: (1/4 - 1 + log 4) / 2.
    found = kl_from_prior(jnp.asarray([1.0, 0.0]), jnp.log(jnp.asarray([4.0, 0.25])))
    np.testing.assert_allclose(found, [1.3068528, 0.3181472], atol=1e-6)
    np.testing.assert_array_equal(kl_from_prior(jnp.zeros(3), jnp.zeros(3)), 0.0)


def test_the_kl_from_the_prior_is_the_integral_of_its_definition():
    mean, std = -0.7, 0.4
    z = np.linspace(-8.0, 8.0, 20_001)
    log_q = -0.5 * ((z - mean) / std) ** 2 - np.log(std * np.sqrt(2 * np.pi))
    log_p = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    wanted = np.trapezoid(np.exp(log_q) * (log_q - log_p), z)
    found = kl_from_prior(jnp.asarray(mean), jnp.asarray(2 * np.log(std)))
    assert float(found) == pytest.approx(wanted, abs=1e-5)


# --- training ---


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", [*LIKELIHOODS, "gaussian, flow"])
def test_the_gradient_of_the_loss_is_that_of_finite_differences(kind, objective, double):
    kind, _, learned = kind.partition(", ")
    prior = FlowPrior(2, 2, 5) if learned else None
    shape = (3,) if kind == "gaussian" else (2, 2, 1)
    method = small(kind, shape, objective=objective, training_samples=3, flow_prior=prior)
    rng = np.random.default_rng(0)
    start = method.variables(begun(method, shape))
    variables = jax.tree.map(lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape)), start)
    x = jnp.asarray(rng.integers(0, 256, (4, *shape)) / 127.5 - 1.0)
    numbers = hparams() | {"method": {"beta": jnp.asarray(0.7), "free_bits": jnp.asarray(0.1)}}

    def loss(variables):
        return method.loss(variables, x, None, jax.random.key(5), numbers)[0]

    gradient = jax.grad(loss)(variables)
    for _ in range(5):
        direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), variables)
        moved = [
            loss(jax.tree.map(lambda a, b, step=step: a + step * b, variables, direction)) for step in (1e-5, -1e-5)
        ]
        slope = sum(jnp.sum(a * b) for a, b in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
        assert float(slope) == pytest.approx(float(moved[0] - moved[1]) / 2e-5, rel=1e-6)


def batches_of(flat, shape, cursor=None):
    source = Pixels(jnp.asarray(flat, jnp.uint8), jax.random.key_data(jax.random.key(9)), shape)
    return Batches(train=source, held_out=source, cursor=cursor or Cursor.start())


@pytest.fixture(scope="module")
def digits():
    rng = np.random.default_rng(0)
    return batches_of(rng.integers(0, 256, (12, 4)), (2, 2, 1))


def step(method, model, batches, seed=0, at=0, **optimizer):
    progress = Progress(step=jnp.int32(at), steps=jnp.float32(100))
    return method.step(model, batches, jax.random.key(seed), hparams(**optimizer), progress)


def test_a_step_descends_the_negative_elbo_of_its_minibatch(digits):
    method = small("bernoulli", (2, 2, 1))
    model = begun(method, (2, 2, 1))
    after, cursor, metrics = step(method, model, digits, learning_rate=0.1)
    key = jax.random.key(0)
    x, wanted_cursor = digits.train.minibatch(key, digits.cursor, 4)
    x = method.likelihood.observed(x, key_for(key, "observation"))
    noise = jax.random.normal(key_for(key, "posterior"), (1, 4, 2))

    def loss(params):
        terms, _ = method.terms({"params": params, "batch_stats": {}}, x, noise)
        return jnp.mean(jnp.sum(terms.kl, axis=1)) - jnp.mean(terms.reconstruction)

    value, gradient = jax.value_and_grad(loss)(model.params)
    wanted = jax.tree.map(lambda param, slope: param - 0.1 * slope, model.params, gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), after.params, wanted)
    assert (int(cursor.offset), int(cursor.epoch)) == (int(wanted_cursor.offset), 0) == (4, 0)
    assert tuple(metrics) == method.tags
    assert float(metrics["loss"]) == pytest.approx(float(value), rel=1e-6)
    assert float(metrics["elbo/train"]) == -float(metrics["loss"])
    terms = float(metrics["kl/latent"]) - float(metrics["log_likelihood/reconstruction"])
    assert terms == pytest.approx(float(value), rel=1e-6)
    squares = sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(gradient))
    assert float(metrics["grad_norm"]) == pytest.approx(np.sqrt(squares), rel=1e-5)


def observed(method, x):
    """The examples and the noise of a loss with key 0."""
    key = jax.random.key(0)
    noise = jax.random.normal(key_for(key, "posterior"), (method.training_samples, *x.shape[:1], method.latent_dim))
    return method.likelihood.observed(x, key_for(key, "observation")), noise


def loss_of(method, model, batches, **numbers):
    key = jax.random.key(0)
    x, _ = batches.train.minibatch(key_for(key, "data"), batches.cursor, method.batch_size)
    own = hparams() | {"method": as_arrays({"beta": 1.0, "free_bits": 0.0} | numbers)}
    return method.loss(method.variables(model), x, None, key, own), x


def test_beta_weighs_the_kl_divergence_and_free_bits_are_not_penalised(digits):
    method = small("bernoulli", (2, 2, 1))
    model = begun(method, (2, 2, 1))
    (plain, ((_, reconstruction, kl), _)), x = loss_of(method, model, digits)
    assert float(plain) == pytest.approx(float(kl - reconstruction), rel=1e-6)
    (weighted, _), _ = loss_of(method, model, digits, beta=4.0)
    assert float(weighted) == pytest.approx(float(4 * kl - reconstruction), rel=1e-6)
    each = np.mean(method.terms(method.variables(model), *observed(method, x))[0].kl, axis=0)
    assert each.min() < each.max()
    between = float(each.mean())  # above the divergence of one latent and below that of the other
    (free, _), _ = loss_of(method, model, digits, free_bits=between)
    assert float(free) == pytest.approx(between + float(each.max()) - float(reconstruction), rel=1e-5)
    numbers = hparams() | {"method": as_arrays({"beta": 1.0, "free_bits": 10.0})}
    slopes = jax.grad(lambda v: method.loss(v, x, None, jax.random.key(0), numbers)[0])(method.variables(model))
    alone = jax.grad(lambda v: -jnp.mean(method.terms(v, *observed(method, x))[0].reconstruction))(
        method.variables(model)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), slopes, alone)


def test_the_importance_weighted_loss_is_the_log_of_mean_weights_and_tighter(digits):
    method = small("bernoulli", (2, 2, 1), objective="iwae", training_samples=5)
    model = begun(method, (2, 2, 1))
    (found, ((elbo, *_, bound), _)), x = loss_of(method, model, digits)
    x, noise = observed(method, x)
    variables, rows = method.variables(model), []
    networks = {"params": variables["params"]["networks"]}
    for i in range(4):
        mean, log_variance = method.module.apply(networks, x[i : i + 1], train=False, method="encode")
        mean, std = np.asarray(mean[0], np.float64), np.exp(np.asarray(log_variance[0], np.float64) / 2)
        weights = []
        for k in range(5):
            z = mean + std * np.asarray(noise[k, i], np.float64)
            logits = method.module.apply(networks, jnp.asarray(z[None], jnp.float32), train=False, method="decode")
            log_x = -np.sum(np.log1p(np.exp(-np.asarray(x[i] * logits[0, ..., 0], np.float64))))
            log_z = -0.5 * np.sum(z**2 + np.log(2 * np.pi))
            log_q = -0.5 * np.sum(((z - mean) / std) ** 2 + np.log(2 * np.pi * std**2))
            weights.append(np.exp(log_x + log_z - log_q))
        rows.append(np.log(np.mean(weights)))
    assert float(found) == pytest.approx(-np.mean(rows), rel=1e-5) == -float(bound)
    assert float(bound) > float(elbo)
    assert method.tags[-2:] == ("iwae/train", "grad_norm")


def test_several_latents_per_example_average_the_elbo(digits):
    method = small("bernoulli", (2, 2, 1), training_samples=3)
    (found, _), x = loss_of(method, model := begun(method, (2, 2, 1)), digits)
    x, noise = observed(method, x)
    alone = [method.terms(method.variables(model), x, noise[k : k + 1])[0] for k in range(3)]
    wanted = np.mean([float(jnp.mean(jnp.sum(t.kl, axis=1)) - jnp.mean(t.reconstruction)) for t in alone])
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_another_key_binarises_and_draws_anew(digits):
    method = small("bernoulli", (2, 2, 1))
    model = begun(method, (2, 2, 1))
    losses = [float(step(method, model, digits, seed)[2]["loss"]) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_the_average_moves_by_the_decay_of_its_step(digits):
    method = small("bernoulli", (2, 2, 1))
    model = begun(method, (2, 2, 1))
    for at, decay in ((0, 1 / 10), (50, 51 / 60), (1000, 0.9)):  # at most the decay that was set
        after, *_ = step(method, model, digits, at=at)
        wanted = jax.tree.map(lambda old, new, d=decay: d * old + (1 - d) * new, model.params, after.params)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), after.average["params"], wanted
        )
    assert method.variables(after) is after.average
    assert method.variables(after, average=False)["params"] is after.params


class Fixed:
    """A source whose minibatches are the first rows of its data."""

    def __init__(self, data):
        self.data = jnp.asarray(data, jnp.float32)

    def minibatch(self, key, cursor, n):
        return self.data[:n], cursor


def test_the_standard_deviation_of_a_gaussian_decoder_is_learned():
    method = small(batch_size=64, optimizer=Adam(decay="constant"), hidden=())
    source = Fixed(0.1 * np.random.default_rng(0).normal(size=(64, 3)))
    batches = Batches(train=source, held_out=source, cursor=Cursor.start())
    numbers = hparams(learning_rate=0.05, b1=0.9, b2=0.99, eps=1e-8)

    def body(at, model):
        return method.step(model, batches, jax.random.key(at), numbers, Progress(at, jnp.float32(300)))[0]

    start = method.init(jax.random.key(0), numbers, jnp.zeros((1, 3)))
    trained = jax.jit(lambda model: jax.lax.fori_loop(0, 300, body, model))(start)
    # A latent may explain a part of the spread of 0.1 that the data have along each axis, and noise explains the rest.
    assert float(jnp.exp(start.params["log_std"])) == 1.0
    assert 0.03 < float(jnp.exp(trained.params["log_std"])) < 0.12


class Normalised(nn.Module):
    """An autoencoder with batch statistics."""

    @nn.compact
    def __call__(self, x, noise, train, y=None):
        mean = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
        return mean, jnp.zeros_like(mean), (mean + noise)[..., None]


def test_batch_statistics_are_those_of_the_step_and_kept():
    method = dataclasses.replace(small(latents=3), module=Normalised())
    data = np.arange(36, dtype=np.float32).reshape(12, 3)
    batches = Batches(train=Fixed(data), held_out=Fixed(data), cursor=Cursor.start())
    after, *_ = step(method, begun(method), batches)
    found = after.stats["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(found, 0.5 * data[:4].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(after.average["batch_stats"]["BatchNorm_0"]["mean"], 0.9 * found, rtol=1e-5)


# --- sampling ---


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_samples_are_decoded_draws_from_the_prior_with_the_noise_of_the_decoder(kind):
    shape = (3,) if kind == "gaussian" else (2, 2, 1)
    method = small(kind, shape)
    variables = method.variables(begun(method, shape))
    if kind == "gaussian":
        variables["params"]["log_std"] = jnp.log(0.25)
    key = jax.random.key(4)
    samples = method.sample(variables, hparams(), key, 4000)
    means = method.decode(variables, method.prior.draw(key_for(key, "noise"), 4000))
    assert samples.shape == means.shape == (4000, *shape)
    residual = np.asarray(samples - means)
    if kind == "gaussian":
        assert residual.std() == pytest.approx(0.25, rel=0.03) and abs(residual.mean()) < 0.01
    elif kind == "bernoulli":
        assert np.all(residual == 0.0) and np.abs(samples).max() < 1.0
    else:
        assert residual.std() > 0.1 and np.abs(samples).max() <= 1.0
        assert len(np.unique(samples)) <= 256
    assert method.capabilities == {"decode", "encode", "log_density"}  # no push: samples have noise of their own


def test_latents_are_active_whose_posterior_mean_varies():
    method = small(latents=3)
    rng = np.random.default_rng(0)
    means = rng.normal(size=(2000, 3)) * np.sqrt([1.0, 0.02, 0.005]) + [0.0, 5.0, 5.0]
    assert method.read({"posterior/mean": means.astype(np.float32)}).scalars == {"latents/active": 2.0}


def test_what_is_inspected_are_the_posterior_means_of_held_out_examples(digits):
    method = small("bernoulli", (2, 2, 1))
    model = begun(method, (2, 2, 1))
    found = method.inspect(model, hparams(), digits.held_out, jax.random.key(0), jnp.zeros((0, 1)))
    assert found["posterior/mean"].shape == (12, 2)  # no more than there are
    x, _ = digits.held_out.minibatch(jax.random.key(0), Cursor.start(), 12)
    np.testing.assert_allclose(found["posterior/mean"], method.encode(model.average, x), rtol=1e-6)


def test_with_a_learned_prior_the_scale_of_the_latents_does_not_matter(digits):
    method = small("bernoulli", (2, 2, 1), flow_prior=FlowPrior(2, 2, 5))

    def inspected(scale):
        model = begun(method, (2, 2, 1))
        output = model.average["params"]["networks"]["encoder"]["Dense_1"]
        output["kernel"] = output["kernel"] * np.array([scale, scale, 1, 1], np.float32)  # means, and log variances
        output["bias"] = output["bias"] + np.array([0, 0, 2, 2], np.float32) * np.log(np.float32(scale))
        return method.inspect(model, hparams(), digits.held_out, jax.random.key(0), jnp.zeros((0, 1)))["posterior/mean"]

    assert 1e-3 < float(jnp.max(jnp.var(inspected(1.0), axis=0))) < 1.0
    np.testing.assert_allclose(inspected(0.01), inspected(1.0), rtol=1e-4)
