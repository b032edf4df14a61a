"""Losses with a critic, and feature matching, against numbers worked out by hand and what the papers claim of them."""

from math import erf, exp, log, pi, sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from ganrun.methods.gan.losses import Cramer, FeatureMatching, Hinge, LeastSquares, NonSaturating, Wasserstein

PLAIN = {}
SCORES = st.lists(st.floats(-50, 50, width=32), min_size=4, max_size=4)


def slopes(loss, real, fake, hparams=PLAIN):
    return jax.grad(lambda r, f: loss.discriminator(r, f, hparams), argnums=(0, 1))(real, fake)


# Hinge ------------------------------------------------------------------------------------------------------------


def test_the_hinge_losses_by_hand():
    # Data at 2 and 1/2 miss the margin 1 by 0 and 1/2, samples at -2 and 1/2 miss -1 by 0 and 3/2.
    real, fake = jnp.array([2.0, 0.5]), jnp.array([-2.0, 0.5])
    assert Hinge().discriminator(real, fake, PLAIN) == pytest.approx((0.5 + 1.5) / 2)
    assert Hinge().generator(None, fake, PLAIN) == pytest.approx((2.0 - 0.5) / 2)
    assert [slope.tolist() for slope in slopes(Hinge(), real, fake)] == [[0, -0.5], [0, 0.5]]
    assert jax.grad(lambda f: Hinge().generator(None, f, PLAIN))(fake).tolist() == [-0.5, -0.5]


def test_a_hinge_critic_that_cannot_tell_or_always_can():
    # A score of 0 misses both margins by 1, and beyond them nothing is left to lose.
    assert Hinge().discriminator(jnp.zeros(3), jnp.zeros(3), PLAIN) == 2
    assert Hinge().discriminator(jnp.ones(3), -jnp.ones(3), PLAIN) == 0


def test_hinge_gradients_agree_with_finite_differences_in_single_precision():
    real, fake = jnp.array([-1.5, 0.3, 2.0]), jnp.array([0.7, -0.2, -2.5])
    loss = Hinge()
    check_grads(lambda r, f: loss.discriminator(r, f, PLAIN), (real, fake), order=1, modes=["rev"], rtol=1e-2)
    check_grads(lambda f: loss.generator(real, f, PLAIN), (fake,), order=1, modes=["rev"], rtol=1e-2)


# Least squares ----------------------------------------------------------------------------------------------------


def targets(fake, real, generator):
    names = ("fake_target", "real_target", "generator_target")
    return dict(zip(names, map(jnp.float32, (fake, real, generator)), strict=True))


def test_the_least_squares_losses_by_hand():
    # Data at 2 and 1 miss the target 1 by 1 and 0, samples at 1 and 3 miss 0 by 1 and 3, and 1 by 0 and 2.
    real, fake, hparams = jnp.array([2.0, 1.0]), jnp.array([1.0, 3.0]), targets(0, 1, 1)
    assert LeastSquares().discriminator(real, fake, hparams) == 0.5 * (1 + 0) / 2 + 0.5 * (1 + 9) / 2
    assert LeastSquares().generator(None, fake, hparams) == 0.5 * (0 + 4) / 2
    assert [slope.tolist() for slope in slopes(LeastSquares(), real, fake, hparams)] == [[0.5, 0], [0.5, 1.5]]
    assert jax.grad(lambda f: LeastSquares().generator(None, f, hparams))(fake).tolist() == [0, 1]


def test_every_target_of_least_squares_is_used():
    # Data at 2 miss 5 by 3, samples at 1 miss -1 by 2, and 4 by 3.
    hparams = targets(-1, 5, 4)
    assert LeastSquares().discriminator(jnp.array([2.0]), jnp.array([1.0]), hparams) == (9 + 4) / 2
    assert LeastSquares().generator(None, jnp.array([1.0]), hparams) == 9 / 2


# p = (3/4, 1/4) and q = (1/4, 3/4) on two points, as four rows each.
P, Q = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1])


@pytest.mark.parametrize(("a", "b", "best"), [(0, 1, [3 / 4, 1 / 4]), (-1, 1, [1 / 2, -1 / 2])])
def test_the_best_least_squares_critic_weighs_the_targets_by_the_densities(a, b, best):
    # C* = (b p + a q) / (p + q); for 0 and 1 that is D* itself.
    table = jnp.array(best)

    def loss(table):
        return LeastSquares().discriminator(table[P], table[Q], targets(a, b, 0))

    np.testing.assert_allclose(jax.grad(loss)(table), [0, 0], atol=1e-7)
    assert loss(table + jnp.array([0.1, 0.0])) > loss(table) < loss(table + jnp.array([0.0, -0.1]))


def test_with_the_targets_minus_1_1_0_the_generator_meets_half_the_pearson_divergence():
    # Summed over data and samples (the data's share is the same for all generators): sum (p - q)^2 / (p + q) / 2 = 1/4.
    table, hparams = jnp.array([1 / 2, -1 / 2]), targets(-1, 1, 0)
    both = LeastSquares().generator(None, table[P], hparams) + LeastSquares().generator(None, table[Q], hparams)
    assert both == pytest.approx(1 / 4)


# Wasserstein ------------------------------------------------------------------------------------------------------


def test_the_wasserstein_losses_by_hand():
    real, fake = jnp.array([5.0, 1.0]), jnp.array([2.0, -1.0])
    assert Wasserstein().discriminator(real, fake, PLAIN) == 0.5 - 3.0
    assert Wasserstein().generator(None, fake, PLAIN) == -0.5
    assert [slope.tolist() for slope in slopes(Wasserstein(), real, fake)] == [[-0.5, -0.5], [0.5, 0.5]]


@settings(deadline=None, max_examples=30)
@given(SCORES, st.integers(-8, 8))
def test_the_wasserstein_critic_is_antisymmetric_and_knows_no_offset(scores, power):
    real, fake = jnp.array(scores[:2], jnp.float32), jnp.array(scores[2:], jnp.float32)
    value = Wasserstein().discriminator(real, fake, PLAIN)
    assert Wasserstein().discriminator(fake, real, PLAIN) == -value
    assert Wasserstein().discriminator(real + 3.0, fake + 3.0, PLAIN) == pytest.approx(float(value), abs=1e-4)
    # What is left is the scale: multiply the critic, and the value goes along without end.
    assert Wasserstein().discriminator(real * 2.0**power, fake * 2.0**power, PLAIN) == value * 2.0**power


# Cramér -----------------------------------------------------------------------------------------------------------

# Lengths: both data rows 5, the samples 0 and 10. The rows moved by one place are (6, 8), (0, 0).
REAL, FAKE = jnp.array([[3.0, 4.0], [0.0, 5.0]]), jnp.array([[0.0, 0.0], [6.0, 8.0]])


def test_the_cramer_critics_loss_by_hand():
    # f(x) = ||x - g'|| - ||x||: on data 5 - 5 and 5 - 5, on samples 10 - 0 and 10 - 10.
    assert Cramer().discriminator(REAL, FAKE, PLAIN) == pytest.approx(5.0)


def test_the_cramer_generators_loss_by_hand():
    # Data to samples: 5 and sqrt(45), to the other samples 5 and 5; among samples 10 twice, among data sqrt(10) twice.
    by_hand = (5 + sqrt(45)) / 2 + (5 + 5) / 2 - 10 - sqrt(10)
    assert Cramer().generator(REAL, FAKE, PLAIN) == pytest.approx(by_hand, rel=1e-6)


def test_the_cramer_critic_averages_over_all_anchors():
    # (3, 4) is 5 from both anchors and from the origin; (0, 5) is 5 and sqrt(45) from them.
    np.testing.assert_allclose(Cramer().critic(REAL, FAKE), [0.0, (5 + sqrt(45)) / 2 - 5], rtol=1e-5, atol=1e-6)
    assert Cramer().critic(REAL, FAKE[:1]).tolist() == [0, 0]
    slope = jax.grad(lambda h: Cramer().critic(h, FAKE).sum())(REAL)
    # At (3, 4): towards (6, 8) and away from the origin cancel, minus its own direction (3, 4) / 5.
    np.testing.assert_allclose(slope[0], [-0.6, -0.8], rtol=1e-5)


def test_the_cramer_critics_loss_is_its_critic_on_both_sides():
    moved = jnp.roll(FAKE, 1, axis=0)
    rows = [jnp.stack([Cramer().critic(side[i : i + 1], moved[i : i + 1])[0] for i in (0, 1)]) for side in (REAL, FAKE)]
    assert Cramer().discriminator(REAL, FAKE, PLAIN) == pytest.approx(float(rows[1].mean() - rows[0].mean()))


def test_cramer_gradients_are_finite_where_two_rows_agree():
    same = jnp.ones((3, 2))
    for part in (Cramer().discriminator, Cramer().generator):
        found = jax.grad(lambda r, f, part=part: part(r, f, PLAIN), argnums=(0, 1))(same, same)
        assert all(bool(jnp.all(jnp.isfinite(slope))) for slope in found)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_cramer_generator_estimates_the_energy_distance(shift):
    # E|N(m, 2)| = m erf(m / 2) + 2 exp(-m^2 / 4) / sqrt(pi), across with m = shift and within each side with m = 0.
    across = shift * erf(shift / 2) + 2 * exp(-(shift**2) / 4) / sqrt(pi)
    keys = jax.random.split(jax.random.key(0), 2)
    real, fake = (jnp.pad(jax.random.normal(key, (400_000, 1)), ((0, 0), (0, 1))) for key in keys)
    found = Cramer().generator(real + jnp.array([shift, 0.0]), fake, PLAIN)
    # Distances have a spread of about 1 and four means are taken: two standard errors are 0.006.
    assert found == pytest.approx(2 * across - 4 / sqrt(pi), abs=0.006)


def test_the_cramer_critic_is_blind_where_the_energy_distance_is_not():
    # Data at 2 and samples at 1 on a ray: f is 1 - 2 on data and 0 - 1 on samples.
    real, fake = jnp.array([[2.0, 0.0]] * 2), jnp.array([[1.0, 0.0]] * 2)
    assert Cramer().discriminator(real, fake, PLAIN) == 0
    assert Cramer().generator(real, fake, PLAIN) == 2


# Feature matching -------------------------------------------------------------------------------------------------


def test_feature_matching_by_hand():
    # The means are (2, 3) and (1, 1); each row carries half of the slope -2 (1, 2).
    real, fake = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[0.0, 0.0], [2.0, 2.0]])
    assert FeatureMatching().generator(real, fake, PLAIN) == 1 + 4
    slope = jax.grad(lambda f: FeatureMatching().generator(real, f, PLAIN))(fake)
    assert slope.tolist() == [[-1, -2], [-1, -2]]
    assert FeatureMatching().generator(real, real[::-1] + jnp.array([[1.0], [-1.0]]), PLAIN) == 0


def test_the_discriminator_of_feature_matching_is_the_original_one():
    real, fake, hparams = jnp.array([log(3.0), 0.0]), jnp.array([-log(3.0)] * 2), {"label_smoothing": jnp.float32(0.1)}
    # Data at D = 3/4 and 1/2 with the target 0.9, samples at 1/4.
    by_hand = -(0.9 * log(3 / 4) + 0.1 * log(1 / 4) + log(1 / 2)) / 2 - log(3 / 4)
    assert FeatureMatching().discriminator(real, fake, hparams) == pytest.approx(by_hand, rel=1e-6)
    assert FeatureMatching().discriminator(real, fake, hparams) == NonSaturating().discriminator(real, fake, hparams)
