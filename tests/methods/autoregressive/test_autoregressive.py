"""Autoregressive models: exact densities, their gradients, one step, and samples."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_autoregressive import OPTIONS, drawn_naively, hparams, random_variables, small

from ganrun.datasets.sampler import Cursor, Pixels
from ganrun.keys import key_for
from ganrun.methods.base import Batches, Progress

SHAPE = (2, 3, 1)
IMAGES = np.asarray(list(itertools.product([-1.0, 1.0], repeat=6)), np.float32).reshape(-1, *SHAPE)


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def log_p(method, variables, x):
    return np.asarray(method.log_density(variables, jax.random.key(0), jnp.asarray(x))["log_likelihood"], np.float64)


# --- the density ---


@pytest.mark.parametrize("classes", [0, 2])
@pytest.mark.parametrize("name", OPTIONS)
def test_the_probabilities_of_all_binary_images_sum_to_1(name, classes):
    method = small(name, SHAPE, classes=classes)
    variables = random_variables(method, SHAPE)
    found = log_p(method, variables, IMAGES)
    assert np.exp(found).sum() == pytest.approx(1.0, abs=1e-5) and found.std() > 0.1
    for order in range(method.orders):
        labels = jnp.ones(len(IMAGES), jnp.int32) if classes else None
        each = method.log_conditionals(variables, jnp.asarray(IMAGES), labels, order)
        assert float(jnp.exp(each).sum()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", ["fvsbn", "made of 3 orders"])
def test_the_density_of_vectors_integrates_to_1(name):
    method = small(name, (2,), "gaussian")
    variables = random_variables(method, (2,), scale=0.3)
    axis = np.linspace(-40.0, 40.0, 1601)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float32)
    density = np.exp(log_p(method, variables, points)).reshape(len(axis), len(axis))
    assert np.trapezoid(np.trapezoid(density, axis), axis) == pytest.approx(1.0, abs=2e-4)


def test_the_log_likelihood_of_logistic_regressions_is_the_number_derived_by_hand():
    method = small("fvsbn", (1, 2, 1))
    kernel = np.asarray([[5.0, np.log(6.0)], [7.0, 9.0]])  # only the one from the first to the second pixel counts
    params = {"direct_kernel": kernel, "output_bias": np.asarray([np.log(3.0), np.log(0.5)])}
    variables = {"params": jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params), "batch_stats": {}}
    # White has probability 3/4. Then the second is white with odds 1/2 * 6 after white, and 1/2 after black.
    for pixels, p in (((1, 1), 3 / 4 * 3 / 4), ((1, -1), 3 / 16), ((-1, 1), 1 / 4 * 1 / 3), ((-1, -1), 1 / 6)):
        x = np.asarray(pixels, np.float32).reshape(1, 1, 2, 1)
        assert float(log_p(method, variables, x)[0]) == pytest.approx(np.log(p), abs=1e-6)


def test_the_density_of_several_orders_is_the_mean_of_their_densities():
    method = small("made of 3 orders", (3,), "gaussian")
    variables, x = random_variables(method, (3,)), np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    each = [np.asarray(method.log_conditionals(variables, jnp.asarray(x), None, order), float) for order in range(3)]
    np.testing.assert_allclose(log_p(method, variables, x), np.log(np.mean(np.exp(each), axis=0)), rtol=1e-5)
    assert not np.allclose(each[0], each[1])


def test_the_density_of_a_class_conditional_model_is_that_of_the_mixture_of_its_classes():
    method = small("made", SHAPE, classes=2)
    variables = random_variables(method, SHAPE)
    each = [
        np.asarray(method.log_conditionals(variables, jnp.asarray(IMAGES), jnp.full(64, label)), float)
        for label in range(2)
    ]
    wanted = np.log(np.exp(each[0]) / 3 + 2 * np.exp(each[1]) / 3)  # frequencies 1/3 and 2/3
    np.testing.assert_allclose(log_p(method, variables, IMAGES), wanted, rtol=1e-5)


# --- training ---


@pytest.mark.parametrize("kind", ["bernoulli", "logistic", "gaussian"])
@pytest.mark.parametrize("name", ["fvsbn", "made of 3 orders", "pixelcnn"])
def test_the_gradient_is_that_of_finite_differences(name, kind, double):
    method, rng = small(name, SHAPE, kind, classes=2), np.random.default_rng(0)
    variables = random_variables(method, SHAPE)
    x = jnp.asarray(rng.integers(0, 256, (3, *SHAPE)) / 127.5 - 1.0)
    x = method.conditional.observed(x, jax.random.key(5))

    def loss(params):
        given = {**variables, "params": params}
        return -jnp.mean(method.log_conditionals(given, x, jnp.asarray([0, 1, 1]), method.orders - 1))

    gradient = jax.grad(loss)(variables["params"])
    for _ in range(3):
        direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), variables["params"])
        moved = [
            loss(jax.tree.map(lambda a, b, step=step: a + step * b, variables["params"], direction))
            for step in (1e-6, -1e-6)
        ]
        slope = sum(jnp.sum(a * b) for a, b in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
        assert float(slope) == pytest.approx(float(moved[0] - moved[1]) / 2e-6, rel=1e-4, abs=1e-6)


def stepped(method, rate, key=0):
    flat = np.random.default_rng(0).integers(0, 256, (12, 6))
    source = Pixels(jnp.asarray(flat, jnp.uint8), jax.random.key_data(jax.random.key(9)), SHAPE)
    batches = Batches(train=source, held_out=source, cursor=Cursor.start())
    model = method.init(jax.random.key(1), hparams(), jnp.zeros((1, *SHAPE)))
    progress = Progress(step=jnp.int32(0), steps=jnp.float32(100))
    return batches, model, method.step(model, batches, jax.random.key(key), hparams(learning_rate=rate), progress)


def test_a_step_of_logistic_regressions_moves_by_the_products_of_residuals_and_inputs():
    method = small("fvsbn", SHAPE)
    batches, model, (after, cursor, metrics) = stepped(method, rate=0.1)
    x, _ = batches.train.minibatch(key_for(jax.random.key(0), "data"), batches.cursor, 4)
    white = np.asarray(method.conditional.observed(x, key_for(jax.random.key(0), "observation"))).reshape(4, 6) > 0
    inputs = white.astype(float)
    kernel, bias = (np.asarray(model.params[name], float) for name in ("direct_kernel", "output_bias"))
    kernel = np.triu(kernel, k=1)
    residual = inputs - 1 / (1 + np.exp(-(inputs @ kernel + bias)))  # d log p / d logit
    np.testing.assert_allclose(after.params["output_bias"], bias + 0.1 * residual.mean(axis=0), atol=1e-6)
    moved = np.asarray(after.params["direct_kernel"]) - np.asarray(model.params["direct_kernel"])
    np.testing.assert_allclose(moved, 0.1 * np.triu(inputs.T @ residual / 4, k=1), atol=1e-6)
    assert tuple(metrics) == method.tags == ("loss", "grad_norm") and int(cursor.offset) == 4


def test_a_step_trains_a_random_one_of_the_orders():
    method = small("made of 3 orders", SHAPE)
    losses = set()
    for key in range(12):
        batches, model, (_, _, metrics) = stepped(method, rate=0.0, key=key)
        x, _ = batches.train.minibatch(key_for(jax.random.key(key), "data"), batches.cursor, 4)
        x = method.conditional.observed(x, key_for(jax.random.key(key), "observation"))
        variables = method.variables(model, average=False)
        each = [float(-method.log_conditionals(variables, x, None, order).mean()) for order in range(3)]
        matches = np.isclose(each, float(metrics["loss"]), rtol=1e-6)
        assert matches.sum() == 1
        losses.add(int(matches.argmax()))
    assert losses == {0, 1, 2}


# --- samples ---


@pytest.mark.parametrize(
    ("name", "shape", "kind", "classes"),
    [
        ("fvsbn", SHAPE, "bernoulli", 2),
        ("made", SHAPE, "logistic", 0),
        ("made of 3 orders", (4,), "gaussian", 2),
        ("made of 3 orders", SHAPE, "bernoulli", 0),
        ("made of hidden units", (3,), "gaussian", 0),
        ("pixelcnn", (4, 3, 1), "bernoulli", 2),
        ("pixelcnn", (3, 4, 3), "logistic", 0),
    ],
)
def test_samples_are_those_of_computing_whole_examples_for_every_element(name, shape, kind, classes):
    method, key, n = small(name, shape, kind, classes), jax.random.key(7), 6
    variables = random_variables(method, shape)
    labels = jnp.asarray([0, 1] * 3) if classes else None
    _, wanted = drawn_naively(method, variables, shape, key, n, labels)
    found = jax.jit(lambda variables: method.sample(variables, hparams(classes), key, n, labels))(variables)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", ["fvsbn", "made of 3 orders", "pixelcnn"])
def test_samples_have_the_probabilities_of_the_model(name):
    """The shown grey values of a pixel are probabilities given the earlier pixels: their mean is that of its draws."""
    shape, n = (2, 2, 1), 20_000
    method = small(name, shape)
    variables = random_variables(method, shape, scale=1.0)
    images = np.asarray(list(itertools.product([-1.0, 1.0], repeat=4)), np.float32).reshape(-1, *shape)
    p = np.exp(log_p(method, variables, images))

    def draw(parameters, position):
        drawn = method.conditional.draw(parameters, key_for(jax.random.key(2), "element", position))
        return drawn, method.conditional.shown(parameters, drawn)

    orders = jnp.arange(n) % method.orders if method.orders > 1 else 0
    params = {"params": variables["params"]}
    drawn, _ = jax.jit(lambda params: method.module.apply(params, draw, n, None, orders, method="sample"))(params)
    index = (np.asarray(drawn).reshape(n, 4) > 0) @ np.asarray([8, 4, 2, 1])
    found = np.bincount(index, minlength=16) / n
    assert np.all(np.abs(found - p) < 5 * np.sqrt(p * (1 - p) / n) + 1 / n)
    shown = np.asarray(method.sample(variables, hparams(), jax.random.key(3), n))
    np.testing.assert_allclose(shown.mean(axis=0).ravel(), (p @ images.reshape(16, 4)), atol=0.04)


def test_classes_are_drawn_with_their_frequencies_and_samples_can_be_drawn_under_vmap():
    method = small("made", (2,), "gaussian", classes=2)
    variables = random_variables(method, (2,))
    keys = jax.random.split(jax.random.key(0), 3)
    given = {**hparams(2), "class_probabilities": jnp.asarray([0.0, 1.0])}
    drawn = jax.vmap(lambda key: method.sample(variables, given, key, 4))(keys)
    for key, row in zip(keys, drawn, strict=True):
        np.testing.assert_allclose(row, method.sample(variables, given, key, 4, jnp.ones(4, jnp.int32)), rtol=1e-5)
