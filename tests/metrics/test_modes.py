"""Mode coverage by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrun.datasets.synthetic import Ring
from ganrun.metrics.modes import coverage

CENTRES = np.array([[0.0, 0.0], [10.0, 0.0]])
STDS = np.array([1.0, 0.5])
EQUAL = np.array([0.5, 0.5])


def cover(samples, weights=EQUAL):
    return coverage(np.array(samples, float), CENTRES, STDS, weights)


def test_both_modes_by_hand():
    # Distances 0 and 2 of 3 allowed at the first, 1 of 1.5 at the second; (5.5, 0) is nearest to neither's core.
    found = cover([[0, 0], [0, 2], [11, 0], [5.5, 0]])
    assert found == {"modes/covered": 2.0, "modes/high_quality": 0.75}


def test_three_standard_deviations_count_and_more_do_not():
    assert cover([[3.0, 0.0]])["modes/high_quality"] == 1.0
    assert cover([[3.001, 0.0]])["modes/high_quality"] == 0.0


def test_each_mode_has_its_own_width():
    # 1.6 from the second centre is more than 3 * 0.5, 1.6 from the first less than 3 * 1.
    assert cover([[10.0, 1.6], [0.0, 1.6]]) == {"modes/covered": 1.0, "modes/high_quality": 0.5}


def test_a_few_strays_do_not_cover_a_mode():
    # Half of the samples belong at each: a fifth of that is 10 of 100.
    nine, ten = ([[0.0, 0.0]] * (100 - n) + [[10.0, 0.0]] * n for n in (9, 10))
    assert cover(nine)["modes/covered"] == 1.0
    assert cover(ten)["modes/covered"] == 2.0


def test_a_light_mode_needs_fewer_samples():
    # A weight of 1/4 entitles to 25 of 100, and a fifth of that is 5.
    weights = np.array([0.75, 0.25])
    four, five = ([[0.0, 0.0]] * (100 - n) + [[10.0, 0.0]] * n for n in (4, 5))
    assert cover(four, weights)["modes/covered"] == 1.0
    assert cover(five, weights)["modes/covered"] == 2.0


def test_samples_far_from_every_mode_cover_none():
    assert cover([[100.0, 100.0], [5.0, 0.0]]) == {"modes/covered": 0.0, "modes/high_quality": 0.0}


def test_samples_that_are_not_numbers_cover_none():
    assert cover([[np.nan, np.nan], [np.inf, 0.0]]) == {"modes/covered": 0.0, "modes/high_quality": 0.0}


@settings(deadline=None, max_examples=20)
@given(reached=st.integers(1, 8), seed=st.integers(0, 1000))
def test_a_perfect_generator_of_some_modes_covers_just_those(reached, seed):
    # In the plane exp(-9 / 2) = 1.1 % of a Gaussian lie beyond three standard deviations: 10 of 900 +- 3.3 a mode.
    ring = Ring(modes=8).density()
    means, stds, weights = (np.asarray(part, float) for part in (ring.means, ring.stds, ring.weights))
    noise = np.random.default_rng(seed).normal(size=(reached, 900, 2)) * 0.02
    found = coverage((means[:reached, None] + noise).reshape(-1, 2), means, stds, weights)
    assert found["modes/covered"] == reached
    assert found["modes/high_quality"] == pytest.approx(1 - np.exp(-4.5), abs=5 * np.sqrt(0.011 / (900 * reached)))
