"""A critic's scores become probabilities: whatever was done to their scale and offset is undone, and nothing more."""

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, ndtri

from ganrun.methods.gan.calibration import calibrate, calibrated_probabilities, probability

# Data N(0, 1) and samples N(1, 1): the logit of the best D is log p(x) - log q(x) = 1/2 - x. Midpoints of slices of
# equal probability stand for the samples, so that means over them are expectations.
QUANTILES = ndtri((np.arange(20_000) + 0.5) / 20_000)
REAL, FAKE = 0.5 - QUANTILES, 0.5 - (QUANTILES + 1.0)


def shuffled(logits, seed):
    return np.random.default_rng(seed).permutation(logits)


def gaussians(n, seed, gap=1.0):
    """Logits of the best D on ``n`` draws a side."""
    random = np.random.default_rng(seed)
    return gap * (gap / 2 - random.normal(size=n)), gap * (gap / 2 - random.normal(size=n) - gap)


def loss(real, fake, scale, offset):
    """The balanced cross-entropy with Platt's targets, written out anew."""
    n = min(len(real), len(fake))
    high, low = (n + 1) / (n + 2), 1 / (n + 2)

    def entropy(logits, target):
        s = scale * logits + offset
        return np.mean(target * np.logaddexp(0, -s) + (1 - target) * np.logaddexp(0, s))

    return (entropy(real, high) + entropy(fake, low)) / 2


def test_logits_that_are_right_are_left_as_they_are():
    assert calibrate(REAL, FAKE) == pytest.approx((1.0, 0.0), abs=2e-3)


@pytest.mark.parametrize(("factor", "constant"), [(5.0, -17.0), (0.01, 3.0), (1e5, 1e6), (1.0, -1e3)])
def test_a_known_distortion_is_undone(factor, constant):
    # The distorted score is factor * logit + constant, so logit = score / factor - constant / factor.
    scale, offset = calibrate(factor * REAL + constant, factor * FAKE + constant)
    assert scale == pytest.approx(1 / factor, rel=2e-3)
    assert offset == pytest.approx(-constant / factor, rel=2e-3, abs=2e-3)
    for before in (REAL, FAKE):
        np.testing.assert_allclose(probability(factor * before + constant, scale, offset), expit(before), atol=1e-3)


def test_the_readout_finds_d_through_a_distortion():
    # E_p D* and E_q D* as plain means of what the best D says, and the same from scores that say D = 0.000.
    real, fake = shuffled(REAL, 1), shuffled(FAKE, 2)
    found = calibrated_probabilities(3 * real - 40, 3 * fake - 40)
    assert expit(3 * real - 40).mean() < 1e-9
    assert found["D(x)/calibrated"] == pytest.approx(expit(REAL).mean(), abs=0.003)
    assert found["D(G(z))/calibrated"] == pytest.approx(expit(FAKE).mean(), abs=0.003)


def test_the_number_of_logits_of_a_picture_is_enough_for_two_digits():
    # A mean of 512 probabilities whose spread is 0.2 has a standard error of 0.01; the fit adds as much.
    truth = expit(REAL).mean()
    errors = [calibrated_probabilities(*gaussians(512, seed))["D(x)/calibrated"] - truth for seed in range(50)]
    assert np.std(errors) < 0.02 and abs(np.mean(errors)) < 0.01


SCORES = st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=40)


@settings(deadline=None, max_examples=60)
@given(SCORES, SCORES, st.floats(-3, 3), st.floats(-1e3, 1e3))
def test_an_increasing_affine_map_of_the_scores_changes_no_probability(real, fake, exponent, constant):
    real, fake, factor = np.array(real), np.array(fake), 10.0**exponent
    plain = calibrate(real, fake)
    mapped = calibrate(factor * real + constant, factor * fake + constant)
    if np.ptp([*real, *fake]) * factor < 1e-6:
        return  # the constant has swallowed the differences
    for side in (real, fake):
        np.testing.assert_allclose(
            probability(factor * side + constant, *mapped), probability(side, *plain), atol=1e-5, rtol=1e-5
        )


@settings(deadline=None, max_examples=60)
@given(SCORES, SCORES)
def test_no_other_scale_and_offset_fit_better(real, fake):
    real, fake = np.array(real), np.array(fake)
    scale, offset = calibrate(real, fake)
    best = loss(real, fake, scale, offset)
    assert scale >= 0 and np.isfinite([scale, offset]).all()
    for change in (1e-4, 1e-2, 1.0):
        for direction in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (-1, 1)):
            other = max(scale + change * direction[0], 0.0), offset + change * direction[1]
            assert loss(real, fake, *other) >= best - 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_vanishes_at_the_fit(seed):
    real, fake = gaussians(300, seed)
    scale, offset = calibrate(4 * real - 9, 4 * fake - 9)
    step = 1e-5  # truncates the central difference by step^2 times the third derivative, here below 1e-8

    def along(a, b):
        ends = [loss(4 * real - 9, 4 * fake - 9, scale + sign * a, offset + sign * b) for sign in (step, -step)]
        return (ends[0] - ends[1]) / (2 * step)

    assert [along(1, 0), along(0, 1)] == pytest.approx([0.0, 0.0], abs=1e-8)


def test_two_scores_are_fitted_by_hand():
    # Two distinct scores and two numbers: D meets the targets (n + 1) / (n + 2) = 4/5 and 1/5 exactly, logits ±log 4.
    assert calibrate(np.ones(3), np.zeros(3)) == pytest.approx((2 * log(4), -log(4)))
    # Eleven zeros more weigh as much as three, and the smaller side still sets the targets.
    assert calibrate(np.ones(3), np.zeros(14)) == pytest.approx((2 * log(4), -log(4)))


def test_scores_that_separate_the_sides_are_not_believed_beyond_their_number():
    real, fake = np.linspace(1, 2, 256), np.linspace(-2, -1, 256)
    scale, offset = calibrate(real, fake)
    assert 0 < scale < 50
    assert probability(real, scale, offset).mean() == pytest.approx(257 / 258, abs=2e-3)
    found = calibrated_probabilities(shuffled(real, 0), shuffled(fake, 1))
    assert 0.98 < found["D(x)/calibrated"] < 1 and 0 < found["D(G(z))/calibrated"] < 0.02


@pytest.mark.parametrize("constant", [0.0, 0.1, -17.3, 1e6, 3e38])
def test_scores_that_are_all_equal_say_one_half(constant):
    scores = np.full(7, constant, np.float32)
    assert calibrate(scores, scores) == (0.0, 0.0)
    assert calibrated_probabilities(scores, scores) == {"D(x)/calibrated": 0.5, "D(G(z))/calibrated": 0.5}


def test_scores_that_are_higher_for_samples_say_one_half():
    # An inverted D is no discriminator: the best admissible fit ignores it.
    assert calibrate(FAKE, REAL) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        (np.array([1e6, 1e6 + 1, 1e6 + 5]), np.array([1e6 - 1, 1e6 + 2, 1e6])),
        (np.array([1e6, -1e6, 2e6]), np.array([-1e6, 1.0, 0.0])),
        (np.array([3e38, -3e38], np.float32), np.array([0.0, 1e-38], np.float32)),
        (np.array([0.0, 1.0, 0.5, 1e6]), np.array([0.2, -1.0, 0.1, 0.0])),
        (np.array([0.0, 1.0, 0.5, 0.3]), np.array([0.2, -1.0, 0.1, 1e6])),
        (np.array([1.0]), np.array([0.0])),
    ],
    ids=["far from zero", "far apart", "all of float32", "one real far out", "one fake far out", "one a side"],
)
def test_scores_of_any_size_have_a_fit(real, fake):
    scale, offset = calibrate(real, fake)
    assert scale >= 0 and np.isfinite([scale, offset]).all()
    for side in (real, fake):
        assert np.isfinite(probability(side, scale, offset)).all()
    here = loss(np.asarray(real, float), np.asarray(fake, float), scale, offset)
    assert here <= log(2) + 1e-12  # never worse than knowing nothing


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(ValueError, match="both data and samples"):
        calibrate(np.array([]), np.ones(3))
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="NaN or Inf"):
            calibrate(np.ones(3), np.array([0.0, bad]))


def test_the_readout_is_of_scores_that_the_fit_has_not_seen():
    # Both sides are the same: a fit always finds some difference on its own scores, which others do not have.
    held_out, flattered = [], []
    for seed in range(200):
        real, fake = np.random.default_rng(seed).normal(size=(2, 40))
        found = calibrated_probabilities(real, fake)
        held_out.append(found["D(x)/calibrated"] - found["D(G(z))/calibrated"])
        fit = calibrate(real, fake)
        flattered.append(probability(real, *fit).mean() - probability(fake, *fit).mean())
    error = np.std(held_out) / np.sqrt(200)
    assert abs(np.mean(held_out)) < 3 * error
    assert np.mean(flattered) > 5 * error


def test_every_half_is_read_with_the_fit_of_the_other():
    # First halves 1 against 0 and second halves 3 against 2, with n = 2: the fits are 2 log 3 (score - 1/2) and
    # 2 log 3 (score - 5/2), so 3 and 2 are read as 3^5 and 3^3 to one, 1 and 0 as one to 3^3 and 3^5.
    found = calibrated_probabilities(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0.0, 0.0, 2.0, 2.0]))
    odds = [3.0**-3, 3.0**5]
    assert found["D(x)/calibrated"] == pytest.approx(np.mean([x / (1 + x) for x in odds]))
    odds = [3.0**-5, 3.0**3]
    assert found["D(G(z))/calibrated"] == pytest.approx(np.mean([x / (1 + x) for x in odds]))


@pytest.mark.parametrize(("real", "fake"), [(1, 5), (5, 1), (0, 0)])
def test_without_two_scores_a_side_nothing_can_be_held_out(real, fake):
    assert calibrated_probabilities(np.arange(real), np.arange(fake)) == {}


def test_an_odd_number_of_scores_counts_every_score_once():
    real, fake = gaussians(101, 0)
    found = calibrated_probabilities(real, fake[:64])
    assert sum(found.values()) == pytest.approx(1.0, abs=0.1)
