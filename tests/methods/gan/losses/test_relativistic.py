"""Losses that compare data with samples, against numbers worked out by hand and what the papers claim of them."""

from math import log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from scipy.special import ndtri

from ganrun.methods.gan.losses import Relativistic, RelativisticAverage, pair_value

LOG_3 = log(3.0)
PLAIN = {}

# Midpoints of 400 000 slices of equal probability of N(0, 1): a plain mean over them is a quadrature of E.
NORMAL = jnp.asarray(ndtri((np.arange(400_000) + 0.5) / 400_000), jnp.float32)


def test_the_relativistic_losses_by_hand():
    # The pairs differ by log 3 and 0, so the critic gives 3/4 and 1/2 to "the first is data".
    real, fake = jnp.array([LOG_3 + 7, 7.0]), jnp.array([7.0, 7.0])
    loss = Relativistic()
    assert loss.discriminator(real, fake, PLAIN) == pytest.approx(-(log(3 / 4) + log(1 / 2)) / 2, rel=1e-5)
    assert loss.generator(real, fake, PLAIN) == pytest.approx(-(log(1 / 4) + log(1 / 2)) / 2, rel=1e-5)
    # -log sigmoid(t) has the slope sigmoid(t) - 1, at t = log 3 and 0 for the critic, -log 3 and 0 for the generator.
    slopes = jax.grad(lambda r, f: loss.discriminator(r, f, PLAIN), argnums=(0, 1))(real, fake)
    np.testing.assert_allclose(slopes[0], [-1 / 8, -1 / 4], rtol=1e-5)
    np.testing.assert_allclose(slopes[1], [1 / 8, 1 / 4], rtol=1e-5)
    np.testing.assert_allclose(jax.grad(lambda f: loss.generator(real, f, PLAIN))(fake), [-3 / 8, -1 / 4], rtol=1e-5)


def test_relativistic_pairs_are_taken_row_by_row():
    # (3, 0) and (0, 3) differ by 3 and -3, (3, 3) and (0, 0) not at all.
    real, fake = jnp.array([3.0, 0.0]), jnp.array([0.0, 3.0])
    loss = Relativistic()
    assert loss.discriminator(real, fake, PLAIN) == pytest.approx((np.log1p(np.exp(-3)) + np.log1p(np.exp(3))) / 2)
    assert loss.discriminator(real, fake[::-1], PLAIN) == pytest.approx(log(2.0))


def test_the_average_losses_by_hand():
    # The means are log 3 and 0, so data stand at sigmoid(log 3) = 3/4 above the samples' mean, samples at 1/4.
    real, fake = jnp.array([LOG_3, LOG_3]), jnp.zeros(2)
    loss = RelativisticAverage()
    assert loss.discriminator(real, fake, PLAIN) == pytest.approx(-2 * log(3 / 4), rel=1e-6)
    assert loss.generator(real, fake, PLAIN) == pytest.approx(-2 * log(1 / 4), rel=1e-6)


def test_the_average_is_taken_before_the_logarithm():
    # C(x) = log 9 and -log 9 have the mean 0: D~ is 9/10 and 1/10 on data, 1/2 on the samples at 0.
    real, fake = jnp.array([2 * LOG_3, -2 * LOG_3]), jnp.zeros(2)
    by_hand = -(log(9 / 10) + log(1 / 10)) / 2 - log(1 / 2)
    loss = RelativisticAverage()
    assert loss.discriminator(real, fake, PLAIN) == pytest.approx(by_hand, rel=1e-6)
    # The generator's summands are log(1 - D~(x)), the same two numbers, and -log of D~ = 1/2.
    assert loss.generator(real, fake, PLAIN) == pytest.approx(by_hand, rel=1e-6)
    # On a sample: -(1 - 1/2) / 2 for itself, and through the mean of the samples -(1/2) E D~(x) = -1/4.
    np.testing.assert_allclose(jax.grad(lambda f: loss.generator(real, f, PLAIN))(fake), [-1 / 2] * 2, rtol=1e-5)


@pytest.mark.parametrize("loss", [Relativistic(), RelativisticAverage()])
def test_gradients_agree_with_finite_differences_in_single_precision(loss):
    real, fake = jnp.array([-1.5, 0.3, 2.0]), jnp.array([0.7, -0.2, -2.5])
    check_grads(lambda r, f: loss.discriminator(r, f, PLAIN), (real, fake), order=1, modes=["rev"], rtol=1e-2)
    check_grads(lambda f: loss.generator(real, f, PLAIN), (fake,), order=1, modes=["rev"], rtol=1e-2)


def test_extreme_scores_have_the_asymptotic_loss():
    loss = Relativistic()
    assert loss.generator(jnp.zeros(1), jnp.array([-1e4]), PLAIN) == pytest.approx(1e4)
    assert loss.discriminator(jnp.array([-1e4]), jnp.array([1e4]), PLAIN) == pytest.approx(2e4)
    assert loss.discriminator(jnp.array([1e4]), jnp.array([-1e4]), PLAIN) == 0


@pytest.mark.parametrize(("loss", "in_doubt"), [(Relativistic(), log(2.0)), (RelativisticAverage(), log(4.0))])
def test_a_critic_that_cannot_tell(loss, in_doubt):
    # -log 1/2 for a pair in doubt; the average sums it over both sides.
    same = jnp.full(3, 5.0)
    assert loss.discriminator(same, same, PLAIN) == pytest.approx(in_doubt)
    assert loss.generator(same, same, PLAIN) == pytest.approx(in_doubt)


@settings(deadline=None, max_examples=30)
@given(st.integers(-1000, 1000), st.lists(st.integers(-20, 20), min_size=2, max_size=6))
def test_a_constant_added_to_a_relativistic_critic_changes_nothing(constant, logits):
    real, fake = jnp.array(logits, jnp.float32), jnp.array(logits[::-1], jnp.float32)
    for part in (Relativistic().discriminator, Relativistic().generator):
        assert part(real + constant, fake + constant, PLAIN) == part(real, fake, PLAIN)
    for part in (RelativisticAverage().discriminator, RelativisticAverage().generator):
        moved = part(real + constant, fake + constant, PLAIN)
        assert moved == pytest.approx(float(part(real, fake, PLAIN)), rel=1e-3, abs=1e-3)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-50, 50, width=32), min_size=4, max_size=4))
def test_the_generator_plays_the_critic_with_the_sides_exchanged(logits):
    real, fake = jnp.array(logits[:2], jnp.float32), jnp.array(logits[2:], jnp.float32)
    for loss in (Relativistic(), RelativisticAverage()):
        assert loss.generator(real, fake, PLAIN) == loss.discriminator(fake, real, PLAIN)


def test_the_pair_value_of_the_best_critic_is_the_divergence_of_the_pairs():
    # p = N(0, 1), q = N(m, 1): (x, y) and (y, x) are Gaussians of the plane m sqrt(2) apart. Along the line through
    # their centres they are N(0, 1) and N(m sqrt(2), 1), whose divergence is integrated here from the densities.
    mean, t = 1.3, np.linspace(-12, 16, 200_001)
    one, other = (np.exp(-0.5 * (t - centre) ** 2) / np.sqrt(2 * np.pi) for centre in (0.0, mean * np.sqrt(2)))
    middle = (one + other) / 2
    divergence = np.sum(one * np.log(one / middle) + other * np.log(other / middle)) / 2 * (t[1] - t[0])
    random = np.random.default_rng(0).permutation(len(NORMAL))  # rows must be independent pairs

    def optimal_logit(x):
        return -0.5 * x**2 + 0.5 * (x - mean) ** 2

    value = pair_value(optimal_logit(NORMAL), optimal_logit(NORMAL[random] + mean))
    # log sigmoid of a pair has a spread of about 1/2: its standard error over 400 000 pairs is below 0.001.
    assert value == pytest.approx(divergence, abs=0.003)
    worse = pair_value(2 * optimal_logit(NORMAL), 2 * optimal_logit(NORMAL[random] + mean))
    assert worse < value - 0.01
