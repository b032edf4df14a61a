"""The distributions of decoders: numbers derived by hand, masses that sum to 1, and draws with their frequencies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import logistic, norm

from ganrun.methods.likelihoods import (
    HALF,
    LIKELIHOODS,
    MAX_LOG_SCALE,
    MIN_LOG_SCALE,
    Bernoulli,
    DiscretisedLogistic,
    Gaussian,
)

LEVELS = np.arange(256) / 127.5 - 1.0


def one(likelihood, parameters, x):
    """log p of a single element, as a float."""
    return float(likelihood.log_prob(jnp.asarray([parameters], jnp.float32), jnp.asarray([x], jnp.float32))[0])


def test_a_bernoulli_pixel_is_white_with_the_probability_of_its_logit():
    logit = float(np.log(3.0))  # 3 to 1
    assert one(Bernoulli(), [logit], 1.0) == pytest.approx(np.log(0.75), abs=1e-6)
    assert one(Bernoulli(), [logit], -1.0) == pytest.approx(np.log(0.25), abs=1e-6)


def test_a_bernoulli_pixel_is_finite_however_certain_the_decoder_is():
    assert one(Bernoulli(), [1e4], 1.0) == 0.0
    assert one(Bernoulli(), [1e4], -1.0) == pytest.approx(-1e4)


def test_binarised_pixels_are_white_as_often_as_they_are_grey():
    grey = jnp.broadcast_to(jnp.linspace(-1.0, 1.0, 5), (20_000, 5))
    drawn = np.asarray(Bernoulli().observed(grey, jax.random.key(0)))
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    # Four standard errors of a mean of 20 000 draws of -1 or 1 are at most 0.028.
    np.testing.assert_allclose(drawn.mean(axis=0), grey[0], atol=0.028)
    assert np.all(drawn[:, 0] == -1.0) and np.all(drawn[:, 4] == 1.0)  # black and white stay as they are


def test_every_key_binarises_anew():
    grey = jnp.zeros((4, 8, 8, 1))
    one_draw, again, other = (Bernoulli().observed(grey, jax.random.key(seed)) for seed in (0, 0, 1))
    assert np.array_equal(one_draw, again) and not np.array_equal(one_draw, other)


def test_the_grey_of_a_bernoulli_sample_is_the_probability_of_white():
    parameters = jnp.asarray([[np.log(3.0)], [0.0], [-50.0]], jnp.float32)
    grey = np.asarray(Bernoulli().sample(parameters, jax.random.key(0)))
    np.testing.assert_allclose(grey, [2 * 0.75 - 1, 0.0, -1.0], atol=1e-6)
    assert np.array_equal(grey, Bernoulli().mean(parameters))


def test_a_gaussian_element_is_a_normal_density():
    # m = 3, s = 2 at x = 1: -1/2 - log 2 - log(2 pi)/2.
    assert one(Gaussian(), [3.0, np.log(2.0)], 1.0) == pytest.approx(-2.1120857, abs=1e-6)
    x = np.linspace(-4.0, 4.0, 9)
    for mean, std in ((0.5, 0.02), (-1.0, 3.0)):
        found = [one(Gaussian(), [mean, np.log(std)], value) for value in x]
        np.testing.assert_allclose(found, norm.logpdf(x, mean, std), rtol=1e-5)


def test_gaussian_draws_have_the_mean_and_the_standard_deviation():
    parameters = jnp.broadcast_to(jnp.asarray([3.0, np.log(0.5)], jnp.float32), (20_000, 2))
    drawn = np.asarray(Gaussian().sample(parameters, jax.random.key(0)))
    assert drawn.mean() == pytest.approx(3.0, abs=4 * 0.5 / np.sqrt(20_000))
    assert drawn.std() == pytest.approx(0.5, rel=4 / np.sqrt(2 * 20_000))
    assert np.all(np.asarray(Gaussian().mean(parameters)) == 3.0)


def masses(location, log_scale):
    """log p of all 256 levels."""
    parameters = jnp.broadcast_to(jnp.asarray([location, log_scale], jnp.float32), (256, 2))
    return np.asarray(DiscretisedLogistic().log_prob(parameters, jnp.asarray(LEVELS, jnp.float32)), np.float64)


def reference(location, log_scale):
    """The same in double precision: each level is a difference of logarithms, in the tail where both are small."""
    edges = (LEVELS[:-1] + HALF - location) / np.exp(log_scale)
    below = np.concatenate([[-np.inf], logistic.logcdf(edges), [0.0]])
    above = np.concatenate([[0.0], logistic.logsf(edges), [-np.inf]])
    with np.errstate(divide="ignore"):  # of the tail that is not taken
        from_below = below[1:] + np.log1p(-np.exp(below[:-1] - below[1:]))
        from_above = above[:-1] + np.log1p(-np.exp(above[1:] - above[:-1]))
    return np.where(location > LEVELS, from_below, from_above)


@pytest.mark.parametrize("location", [-1.7, -1.0, -0.5, 0.0, 0.3001, 1.0, 1.4])
@pytest.mark.parametrize("log_scale", [-6.9, -5.0, -2.0, 0.0, 3.0])
def test_the_levels_of_a_discretised_logistic_sum_to_one_and_are_those_of_its_cdf(location, log_scale):
    found, wanted = masses(location, log_scale), reference(location, log_scale)
    assert np.exp(found).sum() == pytest.approx(1.0, abs=2e-5)
    # Single precision knows (x - location) / scale to one part in 10^7 of x / scale.
    tolerance = 2e-5 + 1e-6 * np.exp(-log_scale)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=tolerance)
    assert np.all(np.isfinite(found))


def test_the_lowest_level_has_all_the_mass_below_it():
    # With location -1 and scale h it is F(1) = 1 / (1 + 1/e).
    assert one(DiscretisedLogistic(), [-1.0, np.log(HALF)], -1.0) == pytest.approx(-0.3132617, abs=1e-5)
    assert one(DiscretisedLogistic(), [1.0, np.log(HALF)], 1.0) == pytest.approx(-0.3132617, abs=1e-5)
    # In between it is F(1) - F(-1), which is tanh(1/2).
    assert one(DiscretisedLogistic(), [LEVELS[100], np.log(HALF)], LEVELS[100]) == pytest.approx(-0.7719368, abs=2e-5)


def test_a_scale_below_the_smallest_counts_as_the_smallest():
    assert np.array_equal(masses(0.1, MIN_LOG_SCALE - 5.0), masses(0.1, MIN_LOG_SCALE))


def test_draws_of_a_discretised_logistic_are_levels_with_their_masses():
    location, log_scale, n = 0.9, -2.5, 40_000
    parameters = jnp.broadcast_to(jnp.asarray([location, log_scale], jnp.float32), (n, 2))
    drawn = np.asarray(DiscretisedLogistic().sample(parameters, jax.random.key(0)), np.float64)
    level = (drawn + 1.0) * 127.5
    np.testing.assert_allclose(level, np.rint(level), atol=1e-3)
    counts = np.bincount(np.rint(level).astype(int), minlength=256)
    wanted = n * np.exp(masses(location, log_scale))
    assert counts[255] > 0.1 * n  # what would be brighter than white
    often = wanted > 5.0
    chi_square = np.sum((counts[often] - wanted[often]) ** 2 / wanted[often])
    assert chi_square < often.sum() + 5 * np.sqrt(2 * often.sum())


@pytest.mark.parametrize("outputs", [(1e4, 1e4), (-1e4, 1e4), (1e4, -1e4), (0.0, 1e6)])
def test_an_untrained_decoder_with_extreme_outputs_has_finite_gradients(outputs):
    for value in (-1.0, 0.00392, 1.0):
        x, parameters = jnp.asarray([value], jnp.float32), jnp.asarray([outputs], jnp.float32)
        log_p, gradient = jax.value_and_grad(lambda p, x=x: DiscretisedLogistic().log_prob(p, x).sum())(parameters)
        assert np.isfinite(log_p) and np.all(np.isfinite(gradient))


def test_the_largest_scale_leaves_nearly_all_mass_to_the_ends():
    found = np.exp(masses(0.0, 100.0))
    np.testing.assert_allclose(found, np.exp(reference(0.0, MAX_LOG_SCALE)), rtol=1e-4)
    assert found[0] + found[-1] > 0.999


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_gradients_are_finite_at_the_edges(name):
    likelihood = LIKELIHOODS[name]
    size = likelihood.OUTPUTS + likelihood.SHARED_SCALE
    for x in (-1.0, 1.0) if name == "bernoulli" else (-1.0, LEVELS[1], 0.0, 1.0):
        for value in (-8.0, 0.0, 8.0):
            parameters = jnp.full((1, size), value, jnp.float32)
            gradient = jax.grad(lambda p, x=x: jnp.sum(likelihood.log_prob(p, jnp.full((1,), x, jnp.float32))))
            assert np.all(np.isfinite(gradient(parameters))), (x, value)
