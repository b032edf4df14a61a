"""Losses with a classifier against numbers worked out by hand, their gradients, and what the papers claim of them.

D = sigmoid(logit): the logits 0, log 3 and -log 3 are D = 1/2, 3/4 and 1/4.
"""

from math import log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import weighed
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from scipy.special import ndtri

from ganrun.methods.gan.losses import Logistic, MaximumLikelihood, Minimax, NonSaturating, Wasserstein

LOSSES = [Minimax(), NonSaturating(), MaximumLikelihood()]
PLAIN = {"label_smoothing": jnp.float32(0.0)}
LOG_3 = log(3.0)
SATURATING, KEEPING = Logistic(generator_objective="saturating"), Logistic(generator_objective="nonsaturating")

# Midpoints of 400 000 slices of equal probability of N(0, 1): a plain mean over them is a quadrature of E.
NORMAL = jnp.asarray(ndtri((np.arange(400_000) + 0.5) / 400_000), jnp.float32)


def generator_loss(loss, fake_logits):
    return loss.generator(jnp.zeros_like(fake_logits), fake_logits, PLAIN)


@pytest.mark.parametrize("loss", [*LOSSES, SATURATING, KEEPING])
def test_the_discriminator_minimises_minus_the_value(loss):
    # Real D = 3/4, 1/2 and fake D = 1/4: -(log 3/4 + log 1/2) / 2 - log 3/4.
    by_hand = -(log(3 / 4) + log(1 / 2)) / 2 - log(3 / 4)
    assert loss.discriminator(jnp.array([LOG_3, 0.0]), jnp.array([-LOG_3]), PLAIN) == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_label_smoothing_moves_only_the_target_for_data(loss):
    # Target 0.9 for data: -(0.9 log 3/4 + 0.1 log 1/4); target 0 for fakes still: -log(1 - 3/4).
    hparams = {"label_smoothing": jnp.float32(0.1)}
    by_hand = -(0.9 * log(3 / 4) + 0.1 * log(1 / 4)) - log(1 / 4)
    assert loss.discriminator(jnp.array([LOG_3]), jnp.array([LOG_3]), hparams) == pytest.approx(by_hand, rel=1e-6)


def test_with_label_smoothing_the_best_answer_to_data_is_the_target():
    # The derivative by a real logit is D - (1 - s): zero at D = 3/4 for s = 1/4.
    hparams = {"label_smoothing": jnp.float32(0.25)}
    slope = jax.grad(Minimax().discriminator)(jnp.array([LOG_3]), jnp.zeros(1), hparams)
    assert slope[0] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("loss", "by_hand"),
    [
        (Minimax(), (log(1 / 2) + log(1 / 4)) / 2),  # E log(1 - D)
        (SATURATING, (log(1 / 2) + log(1 / 4)) / 2),
        (NonSaturating(), -(log(1 / 2) + log(3 / 4)) / 2),  # -E log D
        (KEEPING, -(log(1 / 2) + log(3 / 4)) / 2),
        (MaximumLikelihood(), -(1 + 3) / 2),  # -E D / (1 - D)
    ],
)
def test_the_generators_loss_by_hand(loss, by_hand):
    assert generator_loss(loss, jnp.array([0.0, LOG_3])) == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize(
    ("loss", "by_hand"),
    [
        (Minimax(), [-1 / 2, -3 / 4]),  # -D: small where D is sure of a fake
        (SATURATING, [-1 / 2, -3 / 4]),
        (NonSaturating(), [-1 / 2, -1 / 4]),  # D - 1
        (KEEPING, [-1 / 2, -1 / 4]),
        (MaximumLikelihood(), [-1.0, -3.0]),  # -D / (1 - D)
    ],
)
def test_the_generators_gradient_by_hand(loss, by_hand):
    slope = jax.grad(lambda logits: generator_loss(loss, logits))(jnp.array([0.0, LOG_3]))
    np.testing.assert_allclose(slope, np.array(by_hand) / 2, rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_agree_with_finite_differences_in_single_precision(loss):
    hparams = {"label_smoothing": jnp.float32(0.1)}
    real, fake = jnp.array([-1.5, 0.3, 2.0]), jnp.array([0.7, -0.2, -2.5])
    check_grads(lambda r, f: loss.discriminator(r, f, hparams), (real, fake), order=1, modes=["rev"], rtol=1e-2)
    check_grads(lambda f: loss.generator(real, f, hparams), (fake,), order=1, modes=["rev"], rtol=1e-2)


def test_extreme_logits_have_the_asymptotic_loss():
    # log sigmoid(-x) = -x up to e^-x, so log(1 - D) at the logit 1e4 is -1e4, and -log D at -1e4 is 1e4.
    assert generator_loss(Minimax(), jnp.array([1e4])) == pytest.approx(-1e4)
    assert generator_loss(NonSaturating(), jnp.array([-1e4])) == pytest.approx(1e4)
    assert generator_loss(SATURATING, jnp.array([1e4])) == pytest.approx(-1e4)
    assert generator_loss(KEEPING, jnp.array([-1e4])) == pytest.approx(1e4)
    assert generator_loss(MaximumLikelihood(), jnp.array([-1e4])) == 0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=6))
def test_the_minimax_game_is_zero_sum(logits):
    # What the generator minimises is the only part of V that depends on it.
    fake = jnp.array(logits, jnp.float32)
    data = jnp.zeros(1)
    for loss in (Minimax(), SATURATING):
        total = loss.discriminator(data, fake, PLAIN) + generator_loss(loss, fake)
        assert total == pytest.approx(log(2.0), rel=1e-4, abs=1e-4)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=6))
def test_the_logistic_game_is_the_original_one_without_label_smoothing(logits):
    real, fake = jnp.array(logits, jnp.float32), jnp.array(logits[::-1], jnp.float32)
    for loss, original in ((SATURATING, Minimax()), (KEEPING, NonSaturating())):
        pair = [one.discriminator(real, fake, PLAIN) for one in (loss, original)]
        assert pair[0] == pytest.approx(float(pair[1]), rel=1e-5)
        assert generator_loss(loss, fake) == pytest.approx(float(generator_loss(original, fake)), rel=1e-5)


# What the papers claim --------------------------------------------------------------------------------------------


def optimal_logit(x, mean, std=1.0):
    """Logit of D* = p / (p + q) for data p = N(0, 1) and a model q = N(mean, std^2): log p(x) - log q(x)."""
    return -0.5 * x**2 + 0.5 * ((x - mean) / std) ** 2 + jnp.log(std)


@pytest.mark.parametrize(
    ("loss", "distance", "slope"),
    [
        (Minimax(), 2.0, 0.450),
        (NonSaturating(), 2.0, 1.55),
        (Minimax(), 6.0, 0.0125),
        (NonSaturating(), 6.0, 5.99),
    ],
)
def test_only_the_nonsaturating_gradient_survives_a_perfect_discriminator(loss, distance, slope):
    # The generator moves its samples x = distance + noise by a shift; D* stays. By hand the slope is distance * E D*
    # (saturating) and distance * E(1 - D*), since the logit's own slope is -distance.
    def along(shift):
        return generator_loss(loss, optimal_logit(distance + NORMAL + shift, distance))

    assert jax.grad(along)(0.0) == pytest.approx(slope, rel=0.01)


@pytest.mark.parametrize(
    ("loss", "distance", "slope"),
    [
        (Minimax(), 2.0, 0.450),
        (Minimax(), 6.0, 0.0125),
        (Minimax(), 10.0, 4.5e-6),
        (NonSaturating(), 2.0, 1.55),
        (NonSaturating(), 6.0, 5.99),
        (NonSaturating(), 10.0, 10.0),
        (SATURATING, 10.0, 4.5e-6),
        (KEEPING, 10.0, 10.0),
    ],
)
def test_the_saturating_gradient_is_lost_at_any_distance_and_the_other_is_kept(loss, distance, slope):
    # At a distance of 10 all of E D* comes from five standard deviations out, where equal slices do not reach.
    with jax.enable_x64(True):

        def along(shift):
            x = jnp.asarray(distance + weighed.Z) + shift
            return weighed.generator_mean(loss, optimal_logit(x, distance), {})

        assert jax.grad(along)(0.0) == pytest.approx(slope, rel=0.01)


def test_the_maximum_likelihood_gradient_is_that_of_kl():
    # KL(N(0, 1), N(m, s^2)) = log s + (1 + m^2) / (2 s^2) - 1/2: its slopes are m / s^2 and 1/s - (1 + m^2) / s^3.
    mean, std = 0.5, 1.3

    def loss(parameters):
        samples = parameters[0] + parameters[1] * NORMAL
        return generator_loss(MaximumLikelihood(), optimal_logit(samples, mean, std))

    by_hand = [mean / std**2, 1 / std - (1 + mean**2) / std**3]
    np.testing.assert_allclose(jax.grad(loss)(jnp.array([mean, std])), by_hand, rtol=0.005)


def test_the_maximum_likelihood_gradient_is_that_of_kl_to_seven_digits():
    mean, std = 0.5, 1.3
    by_hand = [mean / std**2, 1 / std - (1 + mean**2) / std**3]
    with jax.enable_x64(True):
        found = weighed.frozen_gradient(MaximumLikelihood(), mean, std, lambda x: weighed.log_normal(x, 0.0, 1.0))
    np.testing.assert_allclose(found, by_hand, atol=1e-7)


PLACES = [(0.5, 1.8), (-1.0, 1.2), (1.5, 2.5)]


@pytest.mark.parametrize(("mean", "std"), PLACES)
def test_maximum_likelihood_descends_forward_kl_on_any_data(mean, std):
    with jax.enable_x64(True):
        found = weighed.frozen_gradient(MaximumLikelihood(), mean, std)
        expected = weighed.divergence_gradient(lambda log_p, log_q: jnp.exp(log_p) * (log_p - log_q), mean, std)
        np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize(("mean", "std"), PLACES)
def test_minus_the_mean_logit_descends_reverse_kl(mean, std):
    # -E C(G(z)) is the generator of a critic, here one whose score is the best logit.
    with jax.enable_x64(True):
        found = weighed.frozen_gradient(Wasserstein(), mean, std)
        expected = weighed.divergence_gradient(lambda log_p, log_q: jnp.exp(log_q) * (log_q - log_p), mean, std)
        np.testing.assert_allclose(found, expected, atol=1e-7)


def reverse_kl_less_two_jsd(log_p, log_q):
    log_middle = jnp.logaddexp(log_p, log_q) - jnp.log(2.0)
    two_jsd = jnp.exp(log_p) * (log_p - log_middle) + jnp.exp(log_q) * (log_q - log_middle)
    return jnp.exp(log_q) * (log_q - log_p) - two_jsd


@pytest.mark.parametrize(("mean", "std"), PLACES)
def test_the_log_d_trick_descends_reverse_kl_less_two_jsd(mean, std):
    with jax.enable_x64(True):
        found = weighed.frozen_gradient(NonSaturating(), mean, std)
        expected = weighed.divergence_gradient(reverse_kl_less_two_jsd, mean, std)
        np.testing.assert_allclose(found, expected, atol=1e-7)
        # With its arguments the other way round, as it is sometimes printed, it does not hold.
        wrong = weighed.divergence_gradient(lambda log_p, log_q: reverse_kl_less_two_jsd(log_q, log_p), mean, std)
        assert np.abs(np.asarray(found - wrong)).max() > 0.05


@pytest.mark.parametrize(("mean", "std"), PLACES)
def test_the_saturating_generator_descends_two_jsd(mean, std):
    # Theorem 1 of Goodfellow et al. 2014 as a gradient: the other half of V does not depend on G.
    def two_jsd(log_p, log_q):
        return jnp.exp(log_q) * (log_q - log_p) - reverse_kl_less_two_jsd(log_p, log_q)

    with jax.enable_x64(True):
        found = weighed.frozen_gradient(Minimax(), mean, std)
        np.testing.assert_allclose(found, weighed.divergence_gradient(two_jsd, mean, std), atol=1e-7)
