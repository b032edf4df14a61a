"""Normalizing flows: densities that integrate to 1, training, samples, classes, and the error of the inverse."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_flow import AFFINE, SHARES, Shift, begun, drawn, hparams, small

from ganrun.config.registry import lookup
from ganrun.datasets.sampler import Cursor, Pixels
from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.evaluation.divergence.exact.model import of_model
from ganrun.keys import key_for
from ganrun.methods.base import Batches, Progress
from ganrun.methods.detection import RunFacts
from ganrun.methods.flow.option import FlowOption, not_inverse

IMAGE = (4, 4, 1)


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


# --- the density ---


@pytest.mark.parametrize("classes", [0, 3])
def test_the_density_integrates_to_1_on_the_line(classes, double):
    method = small((1,), classes=classes)
    x = jnp.linspace(-30.0, 30.0, 60_001)[:, None]
    density = np.exp(jax.jit(method.log_density)(drawn(method), jax.random.key(0), x)["log_likelihood"])
    assert np.trapezoid(density, x[:, 0]) == pytest.approx(1.0, abs=1e-4)
    assert density.max() > 0.1 and density[[0, -1]].max() < 1e-8


@pytest.mark.parametrize("method", [small((2,)), small((2,), AFFINE)], ids=["spline", "realnvp"])
def test_the_density_integrates_to_1_in_the_plane(method, double):
    """A change of variables needs an invertible map, and latents of the data's dimension: Goodfellow 2016, tutorial."""
    axis = np.linspace(-12.0, 12.0, 601)
    x = jnp.asarray(np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2))
    density = np.exp(jax.jit(method.log_density)(drawn(method), jax.random.key(0), x)["log_likelihood"])
    assert np.trapezoid(np.trapezoid(density.reshape(601, 601), axis), axis) == pytest.approx(1.0, abs=1e-4)


def test_samples_have_the_density(double):
    # The share of samples in a square is the integral of the density over it.
    method = small((2,))
    variables = drawn(method)
    samples = np.asarray(jax.jit(method.sample, static_argnums=3)(variables, hparams(), jax.random.key(1), 40_000))
    axis = np.linspace(-0.5, 1.0, 101)
    x = jnp.asarray(np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2))
    density = np.exp(method.log_density(variables, jax.random.key(0), x)["log_likelihood"]).reshape(101, 101)
    wanted = np.trapezoid(np.trapezoid(density, axis), axis)
    share = np.mean(np.all((samples > -0.5) & (samples < 1.0), axis=1))
    assert 0.1 < wanted < 0.9 and share == pytest.approx(wanted, abs=4 * np.sqrt(wanted * (1 - wanted) / 40_000))


def test_the_density_of_a_shift_is_the_number_derived_by_hand():
    # z = x + 1 at x = (0, 2): -(1 + 9) / 2 - log(2 pi) = -6.837877.
    method = small((2,), module=Shift((2,)))
    variables = {"params": {"shift": jnp.float32(1.0)}, "batch_stats": {}}
    found = method.log_density(variables, jax.random.key(0), jnp.asarray([[0.0, 2.0]]))["log_likelihood"]
    assert float(found[0]) == pytest.approx(-6.837877, abs=1e-5)


def test_the_density_over_classes_is_that_of_the_mixture():
    # The shift of class y is y: a mixture of normals around 0, -1 and -2 with the frequencies of the classes.
    method = small((1,), module=Shift((1,)), classes=3)
    x = jnp.asarray([[0.3], [-1.0]])
    found = method.log_density(drawn(method, 0.0), jax.random.key(0), x)["log_likelihood"]
    parts = np.exp(-0.5 * (np.asarray(x) + np.arange(3)) ** 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(found, np.log(parts @ SHARES), rtol=1e-5)


def test_the_exact_divergence_of_the_identity_flow_from_its_prior_is_0():
    data = lookup("dataset", "gaussian")().density()
    method = small((1,), module=Shift((1,)))
    for shift, wanted in ((0.0, 0.0), (1.0, 0.11142)):  # of two normals one standard deviation apart, by quadrature
        variables = {"params": {"shift": jnp.float32(shift)}, "batch_stats": {}}
        push = lambda z, v=variables: np.asarray(method.decode(v, jnp.asarray(z)))  # noqa: E731
        model = Distribution("flow", (1,), draw=None, push=push, prior="normal", latent_dim=1)
        assert of_model(data, model, lambda: np.zeros((0, 1))).exact.jsd == pytest.approx(wanted, abs=1e-4)


# --- training ---


def batches_of(flat, shape, **more):
    source = Pixels(jnp.asarray(flat), jax.random.key_data(jax.random.key(9)), shape, **more)
    return Batches(train=source, held_out=source, cursor=Cursor.start())


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    flat = rng.integers(0, 256, (12, 16)).astype(np.uint8)
    return batches_of(flat, IMAGE, targets=jnp.arange(12, dtype=jnp.uint8) % 3, classes=3)


def step(method, model, batches, seed=0, **optimizer):
    progress = Progress(step=jnp.int32(0), steps=jnp.float32(100))
    return _step(method, model, batches, jax.random.key(seed), hparams(method.classes, **optimizer), progress)


_step = jax.jit(lambda method, *given: method.step(*given), static_argnums=0)


@pytest.mark.parametrize("classes", [0, 3])
def test_a_step_descends_the_negative_log_likelihood_of_its_minibatch(classes, images):
    method = small(IMAGE, AFFINE, classes)
    model = dataclasses.replace(begun(method), params=drawn(method, 0.2)["params"])
    after, cursor, metrics = step(method, model, images, learning_rate=0.01)
    key = jax.random.key(0)
    x, y, _ = images.train.labelled(key, images.cursor, 4)
    noise = jax.random.uniform(key_for(key, "observation"), x.shape)

    def loss(params):  # the definition, from the parts
        pixels = (jnp.rint((x + 1) * 127.5) + noise) / 256
        share = 0.05 + 0.9 * pixels
        z, log_det = method.module.apply({"params": params}, jnp.log(share / (1 - share)), y if classes else None)
        of_logits = jnp.sum(jnp.log(0.9 / (share * (1 - share))), axis=(1, 2, 3))
        prior = -0.5 * jnp.sum(z**2, axis=1) - 8 * jnp.log(2 * jnp.pi)
        return -jnp.mean(prior + log_det + of_logits - 16 * jnp.log(256.0))

    value, gradient = jax.jit(jax.value_and_grad(loss))(model.params)
    wanted = jax.tree.map(lambda param, slope: param - 0.01 * slope, model.params, gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), after.params, wanted)
    assert int(cursor.offset) == 4 and set(metrics) == set(method.tags)
    assert method.tags == ("loss", "bits_per_dim", "grad_norm")
    assert float(metrics["loss"]) == pytest.approx(float(value), rel=1e-4)
    assert float(metrics["bits_per_dim"]) == pytest.approx(float(value) / (16 * np.log(2)), rel=1e-4)


def test_another_key_dequantises_anew(images):
    method = small(IMAGE, AFFINE)
    model = begun(method)
    losses = [float(step(method, model, images, seed)[2]["loss"]) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_vectors_have_no_bits_per_dim():
    assert small().tags == ("loss", "grad_norm")
    assert [spec.name for spec in small().densities] == ["log_likelihood"]
    assert [spec.name for spec in small(IMAGE, AFFINE).densities] == ["log_likelihood_bound"]


# --- samples and latents ---


@pytest.mark.parametrize(("shape", "option"), [((2,), None), (IMAGE, AFFINE)])
def test_samples_are_decoded_draws_from_the_prior_of_the_dimension_of_the_data(shape, option):
    method = small(shape, **({"option": option} if option else {}))
    variables, key = drawn(method, 0.2), jax.random.key(3)
    samples = method.sample(variables, hparams(), key, 5)
    assert method.prior.dim == np.prod(shape) and samples.shape == (5, *shape)
    latents = method.prior.draw(key_for(key, "noise"), 5)
    np.testing.assert_array_equal(samples, method.decode(variables, latents))
    if option is None:
        np.testing.assert_allclose(method.encode(variables, samples), latents, atol=1e-4)
    else:
        assert np.abs(samples).max() <= 1.0
    exact = {"exact_density"} if option is None else set()  # of images it is a bound
    assert method.capabilities == {"decode", "push", "encode", "log_density"} | exact


def test_images_are_reconstructed_from_their_latents(images):
    method = small(IMAGE, AFFINE)
    variables, x = drawn(method, 0.2), images.train.minibatch(jax.random.key(0), Cursor.start(), 12)[0]
    back = jax.jit(lambda x: method.decode(variables, method.encode(variables, x)))(x)
    np.testing.assert_allclose(back, x, atol=1e-4)


def test_samples_of_a_class_depend_on_it_and_there_is_no_encoder_without_the_class():
    method = small((1,), module=Shift((1,)), classes=3)
    variables = drawn(method, 0.0)
    first, other = (method.sample(variables, hparams(3), jax.random.key(0), 6, jnp.full(6, y)) for y in (0, 2))
    np.testing.assert_allclose(first - other, 2.0, atol=1e-6)
    any_class = method.sample(variables, hparams(3), jax.random.key(0), 3000)
    mean = -np.dot(SHARES, np.arange(3))  # a latent z of class y is the sample z - y
    assert float(any_class.mean()) == pytest.approx(mean, abs=0.1)
    assert method.capabilities == {"decode", "push", "log_density", "exact_density"}


# --- the error of the inverse ---


class Lossy(Shift):
    """A map whose inverse is wrong by 0.25 for the second number."""

    def inverse(self, z, y=None):
        return super().inverse(z, y) + jnp.asarray([0.0, 0.25])


def test_the_largest_error_of_the_inverse_is_a_metric():
    data = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    batches = batches_of(data, (2,))
    for module, wanted in ((Lossy((2,)), 0.25), (Shift((2,)), 0.0)):
        method = small(module=module)
        arrays = method.inspect(begun(method), hparams(), batches.held_out, jax.random.key(0), jnp.zeros((0, 2)))
        assert arrays["inverse/error"].shape == (10,)  # no more than there are
        found = method.read({name: np.asarray(array) for name, array in arrays.items()}).scalars
        assert found == {"inverse_error": pytest.approx(wanted, abs=1e-6)}
    assert method.read({"inverse/error": np.array([1.0, np.nan])}).scalars == {"inverse_error": np.inf}


def test_a_class_conditional_flow_is_inverted_with_the_labels(images):
    method = small(IMAGE, AFFINE, classes=3)
    model = begun(method)
    model = dataclasses.replace(model, average=drawn(method, 0.3))
    arrays = method.inspect(model, hparams(3), images.held_out, jax.random.key(0), jnp.zeros((0, 2)))
    assert 0 < np.max(arrays["inverse/error"]) < 1e-4


def test_an_inexact_inverse_is_reported():
    facts = RunFacts(steps=100)
    assert not_inverse([{"step": 1, "inverse_error": 0.9e-3}], facts) is None
    assert not_inverse([{"step": 1, "inverse_error": 0.5}, {"step": 2}], facts) is None
    assert "differ by 0.0011" in (not_inverse([{"step": 1, "inverse_error": 1.1e-3}], facts) or "")
    for value in (np.inf, None):
        assert "differ infinitely" in (not_inverse([{"step": 1, "inverse_error": value}], facts) or "")
    assert "flow not inverted" in {detector.name for detector in FlowOption().detectors()}
