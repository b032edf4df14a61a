"""Losses against numbers worked out by hand, their gradients, and what the papers claim of them.

D = sigmoid(logit): the logits 0, log 3 and -log 3 are D = 1/2, 3/4 and 1/4.
"""

from math import log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from scipy.special import ndtri

from ganrun.game.losses import (
    LOG_4,
    Hinge,
    MaximumLikelihood,
    Minimax,
    NonSaturating,
    Relativistic,
    game_value,
    pair_value,
)

LOSSES = [Minimax(), NonSaturating(), MaximumLikelihood()]
CRITICS = [Relativistic(), Hinge()]
PLAIN = {"label_smoothing": jnp.float32(0.0)}
LOG_3 = log(3.0)

# Midpoints of 400 000 slices of equal probability of N(0, 1): a plain mean over them is a quadrature of E.
NORMAL = jnp.asarray(ndtri((np.arange(400_000) + 0.5) / 400_000), jnp.float32)


def generator_loss(loss, fake_logits):
    return loss.generator(jnp.zeros_like(fake_logits), fake_logits, PLAIN)


def test_the_value_by_hand():
    # E log D(x) = log 3/4 and E log(1 - D(G(z))) = (log 1/2 + log 3/4) / 2.
    value = game_value(jnp.array([LOG_3, LOG_3]), jnp.array([0.0, -LOG_3]))
    assert value == pytest.approx(log(3 / 4) + (log(1 / 2) + log(3 / 4)) / 2, rel=1e-6)


def test_a_discriminator_that_cannot_tell_has_the_value_minus_log_4_and_no_divergence():
    value = game_value(jnp.zeros(5), jnp.zeros(3))
    assert value == pytest.approx(-log(4.0), rel=1e-6)
    assert float(value + LOG_4) / 2 == pytest.approx(0.0, abs=1e-6)


def test_a_perfect_discriminator_has_the_value_zero():
    # jsd = (V + log 4) / 2 is then log 2, the largest Jensen-Shannon divergence there is.
    value = game_value(jnp.full(2, 1e4), jnp.full(2, -1e4))
    assert (value + LOG_4) / 2 == pytest.approx(log(2.0), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_discriminator_minimises_minus_the_value(loss):
    # Real D = 3/4, 1/2 and fake D = 1/4: -(log 3/4 + log 1/2) / 2 - log 3/4.
    by_hand = -(log(3 / 4) + log(1 / 2)) / 2 - log(3 / 4)
    assert loss.discriminator(jnp.array([LOG_3, 0.0]), jnp.array([-LOG_3]), PLAIN) == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_label_smoothing_moves_only_the_target_for_data(loss):
    # Target 0.9 for data: -(0.9 log 3/4 + 0.1 log 1/4); target 0 for fakes still: -log(1 - 3/4).
    numbers = {"label_smoothing": jnp.float32(0.1)}
    by_hand = -(0.9 * log(3 / 4) + 0.1 * log(1 / 4)) - log(1 / 4)
    assert loss.discriminator(jnp.array([LOG_3]), jnp.array([LOG_3]), numbers) == pytest.approx(by_hand, rel=1e-6)


def test_with_label_smoothing_the_best_answer_to_data_is_the_target():
    # The derivative by a real logit is D - (1 - s): zero at D = 3/4 for s = 1/4.
    numbers = {"label_smoothing": jnp.float32(0.25)}
    slope = jax.grad(Minimax().discriminator)(jnp.array([LOG_3]), jnp.zeros(1), numbers)
    assert slope[0] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("loss", "by_hand"),
    [
        (Minimax(), (log(1 / 2) + log(1 / 4)) / 2),  # E log(1 - D)
        (NonSaturating(), -(log(1 / 2) + log(3 / 4)) / 2),  # -E log D
        (MaximumLikelihood(), -(1 + 3) / 2),  # -E D / (1 - D)
    ],
)
def test_the_generators_loss_by_hand(loss, by_hand):
    assert generator_loss(loss, jnp.array([0.0, LOG_3])) == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize(
    ("loss", "by_hand"),
    [
        (Minimax(), [-1 / 2, -3 / 4]),  # -D: small where D is sure of a fake
        (NonSaturating(), [-1 / 2, -1 / 4]),  # D - 1
        (MaximumLikelihood(), [-1.0, -3.0]),  # -D / (1 - D)
    ],
)
def test_the_generators_gradient_by_hand(loss, by_hand):
    slope = jax.grad(lambda logits: generator_loss(loss, logits))(jnp.array([0.0, LOG_3]))
    np.testing.assert_allclose(slope, np.array(by_hand) / 2, rtol=1e-6)


@pytest.mark.parametrize("loss", [*LOSSES, *CRITICS])
def test_gradients_agree_with_finite_differences(loss):
    numbers = {"label_smoothing": jnp.float32(0.1)}
    real, fake = jnp.array([-1.5, 0.3, 2.0]), jnp.array([0.7, -0.2, -2.5])
    check_grads(lambda r, f: loss.discriminator(r, f, numbers), (real, fake), order=1, modes=["rev"], rtol=1e-2)
    check_grads(lambda f: loss.generator(real, f, numbers), (fake,), order=1, modes=["rev"], rtol=1e-2)


@pytest.mark.parametrize("loss", [Minimax(), NonSaturating(), *CRITICS])
@pytest.mark.parametrize("signs", [(1.0, 1.0), (-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0)])
def test_extreme_logits_stay_finite(loss, signs):
    real, fake = (jnp.full(2, sign * 1e4) for sign in signs)
    everything = (
        jax.value_and_grad(lambda f: loss.generator(real, f, PLAIN))(fake),
        jax.value_and_grad(lambda r, f: loss.discriminator(r, f, PLAIN), argnums=(0, 1))(real, fake),
    )
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(everything))


def test_extreme_logits_have_the_asymptotic_loss():
    # log sigmoid(-x) = -x up to e^-x, so log(1 - D) at the logit 1e4 is -1e4, and -log D at -1e4 is 1e4.
    assert generator_loss(Minimax(), jnp.array([1e4])) == pytest.approx(-1e4)
    assert generator_loss(NonSaturating(), jnp.array([-1e4])) == pytest.approx(1e4)
    assert generator_loss(Relativistic(), jnp.array([-1e4])) == pytest.approx(1e4)
    assert Relativistic().discriminator(jnp.array([-1e4]), jnp.array([1e4]), PLAIN) == pytest.approx(2e4)
    assert Relativistic().discriminator(jnp.array([1e4]), jnp.array([-1e4]), PLAIN) == 0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=6))
def test_the_minimax_game_is_zero_sum(logits):
    # What the generator minimises is the only part of V that depends on it.
    fake = jnp.array(logits, jnp.float32)
    data = jnp.zeros(1)
    total = Minimax().discriminator(data, fake, PLAIN) + generator_loss(Minimax(), fake)
    assert total == pytest.approx(log(2.0), rel=1e-4, abs=1e-4)


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


def test_the_maximum_likelihood_gradient_is_that_of_kl():
    # KL(N(0, 1), N(m, s^2)) = log s + (1 + m^2) / (2 s^2) - 1/2: its slopes are m / s^2 and 1/s - (1 + m^2) / s^3.
    mean, std = 0.5, 1.3

    def loss(parameters):
        samples = parameters[0] + parameters[1] * NORMAL
        return generator_loss(MaximumLikelihood(), optimal_logit(samples, mean, std))

    by_hand = [mean / std**2, 1 / std - (1 + mean**2) / std**3]
    np.testing.assert_allclose(jax.grad(loss)(jnp.array([mean, std])), by_hand, rtol=0.005)


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


@settings(deadline=None, max_examples=30)
@given(st.integers(-1000, 1000), st.lists(st.integers(-20, 20), min_size=2, max_size=6))
def test_a_constant_added_to_a_relativistic_critic_changes_nothing(constant, logits):
    real, fake = jnp.array(logits, jnp.float32), jnp.array(logits[::-1], jnp.float32)
    for part in (Relativistic().discriminator, Relativistic().generator):
        assert part(real + constant, fake + constant, PLAIN) == part(real, fake, PLAIN)


def test_the_hinge_losses_by_hand():
    # Data at 2 and 1/2 miss the margin 1 by 0 and 1/2, samples at -2 and 1/2 miss -1 by 0 and 3/2.
    real, fake = jnp.array([2.0, 0.5]), jnp.array([-2.0, 0.5])
    assert Hinge().discriminator(real, fake, PLAIN) == pytest.approx((0.5 + 1.5) / 2)
    assert Hinge().generator(None, fake, PLAIN) == pytest.approx((2.0 - 0.5) / 2)
    slopes = jax.grad(lambda r, f: Hinge().discriminator(r, f, PLAIN), argnums=(0, 1))(real, fake)
    assert [slope.tolist() for slope in slopes] == [[0, -0.5], [0, 0.5]]
    assert jax.grad(lambda f: Hinge().generator(None, f, PLAIN))(fake).tolist() == [-0.5, -0.5]


def test_a_critic_that_cannot_tell_or_always_can():
    # -log 1/2 for a pair in doubt; a score of 0 misses both margins by 1, and beyond them nothing is left to lose.
    same = jnp.full(3, 5.0)
    assert Relativistic().discriminator(same, same, PLAIN) == pytest.approx(log(2.0))
    assert Hinge().discriminator(jnp.zeros(3), jnp.zeros(3), PLAIN) == 2
    assert Hinge().discriminator(jnp.ones(3), -jnp.ones(3), PLAIN) == 0
    assert pair_value(same, same) == pytest.approx(0.0, abs=1e-6)
    assert pair_value(same, same - 1e4) == pytest.approx(log(2.0))


def test_the_pair_value_of_the_best_critic_is_the_divergence_of_the_pairs():
    # p = N(0, 1), q = N(m, 1): (x, y) and (y, x) are Gaussians of the plane m sqrt(2) apart. Along the line through
    # their centres they are N(0, 1) and N(m sqrt(2), 1), whose divergence is integrated here from the densities.
    mean, t = 1.3, np.linspace(-12, 16, 200_001)
    one, other = (np.exp(-0.5 * (t - centre) ** 2) / np.sqrt(2 * np.pi) for centre in (0.0, mean * np.sqrt(2)))
    middle = (one + other) / 2
    divergence = np.sum(one * np.log(one / middle) + other * np.log(other / middle)) / 2 * (t[1] - t[0])
    random = np.random.default_rng(0).permutation(len(NORMAL))  # rows must be independent pairs
    value = pair_value(optimal_logit(NORMAL, mean), optimal_logit(NORMAL[random] + mean, mean))
    # log sigmoid of a pair has a spread of about 1/2: its standard error over 400 000 pairs is below 0.001.
    assert value == pytest.approx(divergence, abs=0.003)
    worse = pair_value(2 * optimal_logit(NORMAL, mean), 2 * optimal_logit(NORMAL[random] + mean, mean))
    assert worse < value - 0.01
