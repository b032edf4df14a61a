"""The distributions of one element: normalisation, numbers derived by hand, draws, and what has no gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.methods.autoregressive.conditionals import (
    CONDITIONALS,
    BernoulliConditional,
    GaussianMixture,
    LogisticMixture,
    conditional_of,
)

LEVELS = np.arange(256) / 127.5 - 1.0


def parameters_of(conditional, seed=0, scale=1.0):
    return jnp.asarray(scale * np.random.default_rng(seed).normal(size=conditional.outputs), jnp.float32)


@pytest.mark.parametrize("components", [1, 4])
@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_the_probabilities_of_the_levels_of_a_pixel_sum_to_1(components, scale):
    mixture = LogisticMixture(components)
    parameters = parameters_of(mixture, scale=scale)
    log_p = mixture.log_prob(jnp.tile(parameters, (256, 1)), jnp.asarray(LEVELS, jnp.float32))
    assert float(jnp.sum(jnp.exp(log_p))) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("components", [1, 4])
def test_the_density_of_a_mixture_of_normals_integrates_to_1(components):
    mixture = GaussianMixture(components)
    parameters = parameters_of(mixture, seed=3)
    x = np.linspace(-300.0, 300.0, 200_001)
    with jax.enable_x64(True):
        log_p = mixture.log_prob(jnp.tile(jnp.asarray(parameters, jnp.float64), (len(x), 1)), jnp.asarray(x))
    assert np.trapezoid(np.exp(np.asarray(log_p, np.float64)), x) == pytest.approx(1.0, abs=1e-5)


def test_the_density_of_two_normals_is_the_number_derived_by_hand():
    # For outputs of 0 the two centres are -1.5 and 1.5, and both scales are 1.5: undone here by the outputs.
    mixture, undone = GaussianMixture(2), -np.log(1.5)
    parameters = jnp.asarray([np.log(3.0), 0.0, 1.5, -0.5, undone, undone + np.log(2.0)], jnp.float32)
    # 3/4 N(0, 1) + 1/4 N(1, 4) at x = 1: 3/4 * 0.24197072 + 1/4 * 0.19947114.
    found = mixture.log_prob(parameters[None], jnp.ones((1,)))
    assert float(found[0]) == pytest.approx(np.log(0.75 * 0.24197072 + 0.25 * 0.19947114), abs=1e-6)


def test_a_white_pixel_has_the_log_of_the_sigmoid_of_its_logit():
    found = BernoulliConditional().log_prob(jnp.asarray([[np.log(3.0)]] * 2), jnp.asarray([1.0, -1.0]))
    np.testing.assert_allclose(found, np.log([0.75, 0.25]), rtol=1e-6)


def test_components_of_outputs_that_are_0_are_evenly_spaced_and_differ():
    draws = GaussianMixture(3).draw(jnp.zeros((20_000, 9)), jax.random.key(0))
    # Means -2, 0, 2 and standard deviation 1: the variance of the mixture is 1 + 8/3.
    assert float(draws.mean()) == pytest.approx(0.0, abs=0.06) and float(draws.var()) == pytest.approx(11 / 3, abs=0.15)
    pixels = LogisticMixture(2).draw(jnp.zeros((2_000, 6)), jax.random.key(0))
    np.testing.assert_allclose(
        np.asarray(pixels) * 127.5 + 127.5, np.rint(np.asarray(pixels) * 127.5 + 127.5), atol=1e-3
    )
    gradient = jax.grad(lambda p: GaussianMixture(3).log_prob(p, jnp.asarray(0.7)))(jnp.zeros(9))
    assert len(np.unique(np.round(gradient, 5))) > 6


@pytest.mark.parametrize("kind", ["bernoulli", "logistic"])
def test_draws_have_the_frequencies_of_the_probabilities(kind):
    conditional = conditional_of(kind, 3)
    values = np.asarray([-1.0, 1.0]) if kind == "bernoulli" else LEVELS
    parameters, n = parameters_of(conditional, seed=5), 40_000
    log_p = conditional.log_prob(jnp.tile(parameters, (len(values), 1)), jnp.asarray(values, jnp.float32))
    p = np.exp(np.asarray(log_p, np.float64))
    drawn = np.asarray(conditional.draw(jnp.tile(parameters, (n, 1)), jax.random.key(1)))
    nearest = np.abs(drawn[:, None] - values).argmin(axis=1)
    np.testing.assert_allclose(drawn, values[nearest], atol=1e-6)
    found = np.bincount(nearest, minlength=len(values)) / n
    assert np.all(np.abs(found - p) < 5 * np.sqrt(p * (1 - p) / n) + 2 / n)


def test_draws_of_normals_have_the_mean_and_the_variance_of_the_mixture():
    mixture = GaussianMixture(3)
    parameters = parameters_of(mixture, seed=2)
    x = np.linspace(-60.0, 60.0, 120_001)
    density = np.exp(
        np.asarray(mixture.log_prob(jnp.tile(parameters, (len(x), 1)), jnp.asarray(x, jnp.float32)), float)
    )
    mean = np.trapezoid(density * x, x)
    variance = np.trapezoid(density * (x - mean) ** 2, x)
    drawn = np.asarray(mixture.draw(jnp.tile(parameters, (50_000, 1)), jax.random.key(4)), np.float64)
    assert drawn.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / 50_000))
    assert drawn.var() == pytest.approx(variance, rel=0.05)


def test_a_bernoulli_pixel_is_drawn_black_or_white_and_shown_grey():
    bernoulli = BernoulliConditional()
    parameters = jnp.asarray([[0.0], [np.log(3.0)]])
    drawn = bernoulli.draw(parameters, jax.random.key(0))
    assert set(np.asarray(drawn)) <= {-1.0, 1.0}
    np.testing.assert_allclose(bernoulli.shown(parameters, drawn), [0.0, 0.5], atol=1e-6)  # probabilities 1/2 and 3/4


@pytest.mark.parametrize("kind", CONDITIONALS)
def test_extreme_outputs_give_finite_values_and_gradients(kind):
    conditional = conditional_of(kind, 2)
    for outputs in (1e4, -1e4):
        parameters = jnp.full((conditional.outputs,), outputs)
        value, gradient = jax.value_and_grad(lambda p: conditional.log_prob(p, jnp.asarray(1.0)))(parameters)
        assert np.isfinite(float(value)) and np.all(np.isfinite(gradient))


def test_a_drawn_pixel_has_a_gradient_of_exactly_0_and_its_straight_through_estimate_has_not():
    """Discrete outputs, also those of an argmax, cannot be differentiated through: Goodfellow 2016, NIPS tutorial."""
    bernoulli, key = BernoulliConditional(), jax.random.key(0)
    logits = jnp.asarray([[0.3], [-0.2], [1.0]])

    def drawn(logits):
        return jnp.sum(bernoulli.draw(logits, key))

    def straight_through(logits):
        p = bernoulli.shown(logits, logits)
        return jnp.sum(p + jax.lax.stop_gradient(bernoulli.draw(logits, key) - p))

    def most_probable(logits):
        pair = jnp.concatenate([logits, jnp.zeros_like(logits)], axis=-1)
        return jnp.sum(jax.nn.one_hot(jnp.argmax(pair, axis=-1), 2)[:, 0])

    assert float(straight_through(logits)) == pytest.approx(float(drawn(logits)))
    for function in (drawn, most_probable):
        np.testing.assert_array_equal(jax.grad(function)(logits), np.zeros((3, 1)))
    # d/dl (2 sigmoid(l) - 1) = 2 sigmoid(l) (1 - sigmoid(l))
    p = 1 / (1 + np.exp(-np.asarray(logits)))
    np.testing.assert_allclose(jax.grad(straight_through)(logits), 2 * p * (1 - p), rtol=1e-5)
