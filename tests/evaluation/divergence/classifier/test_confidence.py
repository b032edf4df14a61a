"""Standard error and lower bound of a mean of bounded scores: numbers by hand, coverage, invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrun.evaluation.divergence.classifier.confidence import lower_bound, standard_error

LOWEST, HIGHEST = -8.0, 0.69  # of the scores of log-odds that are cut off at about 8


def test_standard_error_of_four_numbers():
    # Variances 1/2 and 8, two numbers each: sqrt(1/4 + 4) / 2.
    assert standard_error(np.array([1.0, 2.0]), np.array([0.0, 4.0])) == pytest.approx(1.0307764, abs=1e-7)


def test_standard_error_is_the_spread_of_the_estimate():
    rng = np.random.default_rng(0)
    real, fake = rng.exponential(size=(2000, 400)), rng.uniform(size=(2000, 100))
    spread = (0.5 * (real.mean(axis=1) + fake.mean(axis=1))).std()
    stated = np.mean([standard_error(*pair) for pair in zip(real, fake, strict=True)])
    assert stated == pytest.approx(spread, rel=0.06)  # a spread of 2000 numbers is known to 1.6 %


def test_two_perfect_scores_by_hand():
    # The variance before each bet is 1/4, then (1/4 + (1 - 3/4)^2) / 2 = 5/32. With t = 1 - m the fortune is
    # (1 + a t)(1 + b t), and the bound is where it reaches 20; both stakes are below 3/4 / m there.
    a, b = np.sqrt(np.log(20) / 0.25), np.sqrt(np.log(20) / (5 / 32))
    t = (-(a + b) + np.sqrt((a + b) ** 2 + 4 * a * b * 19)) / (2 * a * b)
    assert lower_bound(np.ones(2), np.ones(2), 0.0, 1.0) == pytest.approx(1 - t, abs=1e-9)
    assert 1 - t == pytest.approx(0.10956, abs=2e-5)


@pytest.mark.parametrize("miss", [0.2, 0.05, 0.001])
@pytest.mark.parametrize("n", [2, 10, 100, 3000])
def test_perfect_scores_prove_no_more_than_they_can(n, miss):
    """A score that is 0 with probability 1 - miss^(1/n) goes unseen n times with probability miss."""
    bound = lower_bound(np.ones(n), np.ones(n), 0.0, 1.0, miss)
    assert bound <= miss ** (1 / n)
    assert bound >= 1 - 3 * np.log(1 / miss) / n


@pytest.mark.parametrize(("n", "rare"), [(1000, 1e-3), (1000, 3e-4), (300, 5e-3)])
def test_covers_near_log_2_where_a_normal_interval_does_not(n, rare):
    """Nearly every score is the best, few are the worst: what a classifier of disjoint sides scores."""
    rng = np.random.default_rng(1)
    expected = HIGHEST - rare * (HIGHEST - LOWEST)
    normal, bounds = [], []
    for _ in range(300):
        real, fake = np.where(rng.random((2, n)) < rare, LOWEST, HIGHEST)
        normal.append(0.5 * (real.mean() + fake.mean()) - 1.645 * standard_error(real, fake))
        bounds.append(lower_bound(real, fake, LOWEST, HIGHEST))
    assert np.mean(np.array(normal) <= expected) < 0.9
    assert np.mean(np.array(bounds) <= expected) >= 0.95
    assert np.mean(bounds) > expected - 2 * np.log(20) / n * (HIGHEST - LOWEST)  # shrinks as 1 / n


@pytest.mark.parametrize("sizes", [(200, 200), (200, 900), (900, 200), (50, 51)])
def test_covers_ordinary_scores(sizes):
    rng = np.random.default_rng(2)
    bounds = [lower_bound(rng.beta(5, 1, sizes[0]), rng.uniform(size=sizes[1]), 0.0, 1.0) for _ in range(300)]
    assert np.mean(np.array(bounds) <= (5 / 6 + 1 / 2) / 2) >= 0.95


def test_is_not_much_shorter_than_a_normal_interval():
    rng = np.random.default_rng(3)
    real, fake = rng.uniform(size=(2, 5000))
    mean, normal = 0.5 * (real.mean() + fake.mean()), 1.645 * standard_error(real, fake)
    # sqrt(2 log 20) against 1.645 is 1.5 times as long, and the variance of the range is not known beforehand.
    assert mean - 2.2 * normal < lower_bound(real, fake, 0.0, 1.0) < mean - normal


@pytest.mark.parametrize("seed", range(20))
def test_is_below_the_mean(seed):
    rng = np.random.default_rng(seed)
    real, fake = rng.beta(*rng.uniform(0.2, 5, 2), size=(2, int(rng.integers(2, 400))))
    assert lower_bound(real, fake, 0.0, 1.0) <= 0.5 * (real.mean() + fake.mean())


@settings(deadline=None, max_examples=40)
@given(st.floats(1e-3, 1e3), st.floats(-100, 100), st.integers(0, 2**32 - 1))
def test_follows_a_change_of_units(scale, offset, seed):
    rng = np.random.default_rng(seed)
    real, fake = rng.uniform(size=60), rng.uniform(size=45)
    unit = lower_bound(real, fake, 0.0, 1.0)
    moved = lower_bound(offset + scale * real, offset + scale * fake, offset, offset + scale)
    assert moved == pytest.approx(offset + scale * unit, abs=1e-7 * (scale + abs(offset)))


def test_the_sides_are_alike():
    real, fake = np.random.default_rng(4).uniform(size=(2, 300))
    assert lower_bound(real, fake, 0.0, 1.0) == lower_bound(fake, real, 0.0, 1.0)


def test_a_smaller_chance_to_miss_gives_a_lower_bound():
    real, fake = np.random.default_rng(5).uniform(size=(2, 300))
    bounds = [lower_bound(real, fake, 0.0, 1.0, miss) for miss in (0.5, 0.2, 0.05, 0.01, 1e-4)]
    assert np.all(np.diff(bounds) < 0)


def test_a_wider_range_gives_a_lower_bound():
    real, fake = np.random.default_rng(6).uniform(size=(2, 300))
    assert lower_bound(real, fake, -9.0, 1.0) < lower_bound(real, fake, 0.0, 1.0)


def test_surplus_scores_are_averaged_not_thrown_away():
    real, fake = np.random.default_rng(7).uniform(size=(2, 200))
    paired = lower_bound(real, fake, 0.0, 1.0)
    assert lower_bound(np.repeat(real, 3), fake, 0.0, 1.0) == pytest.approx(paired, abs=1e-9)
    assert lower_bound(real, np.repeat(fake, 3), 0.0, 1.0) == pytest.approx(paired, abs=1e-9)
    # The last of 7 scores counts, with 3 on the other side: rows of two, two and three.
    high, low = np.ones(7), np.append(np.ones(6), 0.0)
    assert lower_bound(low, np.ones(3), 0.0, 1.0) < lower_bound(high, np.ones(3), 0.0, 1.0)
    by_hand = np.array([1.0, 1.0, 2 / 3])
    assert lower_bound(low, np.ones(3), 0.0, 1.0) == pytest.approx(lower_bound(by_hand, np.ones(3), 0.0, 1.0), abs=1e-9)


@pytest.mark.parametrize("n", [2, 100])
@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
def test_all_scores_equal(n, score):
    bound = lower_bound(np.full(n, score), np.full(n, score), 0.0, 1.0)
    assert 0.0 <= bound <= score
    assert standard_error(np.full(n, score), np.full(n, score)) == 0.0


def test_scores_at_both_ends_of_the_range():
    assert lower_bound(np.full(100, LOWEST), np.full(100, LOWEST), LOWEST, HIGHEST) == LOWEST
    ends = np.random.default_rng(8).choice([LOWEST, HIGHEST], (2, 4000))
    middle = (LOWEST + HIGHEST) / 2
    assert middle - 0.06 * (HIGHEST - LOWEST) < lower_bound(*ends, LOWEST, HIGHEST) < middle
