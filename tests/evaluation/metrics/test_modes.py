"""Mode coverage and mode KL by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrun.datasets.synthetic import Ring
from ganrun.evaluation.metrics import modes
from ganrun.evaluation.metrics.modes import assigned, coverage, floor, mode_kl

CENTRES = np.array([[0.0, 0.0], [10.0, 0.0]])
STDS = np.array([1.0, 0.5])
EQUAL = np.array([0.5, 0.5])


def cover(samples, weights=EQUAL):
    return coverage(np.array(samples, float), CENTRES, STDS, weights)


def test_both_modes_by_hand():
    # Distances 0 and 2 of 3 allowed at the first, 1 of 1.5 at the second; (5.5, 0) is nearest to neither's core.
    found = cover([[0, 0], [0, 2], [11, 0], [5.5, 0]])
    # Of the three good ones two are at the first: 2/3 log(4/3) + 1/3 log(2/3) = log 2 + log(4/27) / 3.
    kl = math.log(2) + math.log(4 / 27) / 3
    assert found == {"modes/covered": 2.0, "modes/high_quality": 0.75, "modes/kl": pytest.approx(kl, abs=1e-12)}


def test_three_standard_deviations_count_and_more_do_not():
    assert cover([[3.0, 0.0]])["modes/high_quality"] == 1.0
    assert cover([[3.001, 0.0]])["modes/high_quality"] == 0.0


def test_each_mode_has_its_own_width():
    # 1.6 from the second centre is more than 3 * 0.5, 1.6 from the first less than 3 * 1.
    found = cover([[10.0, 1.6], [0.0, 1.6]])
    assert found == {"modes/covered": 1.0, "modes/high_quality": 0.5, "modes/kl": pytest.approx(math.log(2))}


# A wide component with a narrow one on its flank.
UNEVEN = np.array([[0.0, 0.0], [2.5, 0.0]]), np.array([1.0, 0.25]), np.array([0.8, 0.2])
APART = np.array([[-9.0], [9.0]]), np.array([0.7, 2.0]), np.array([0.6, 0.4])


def test_a_sample_belongs_to_its_likeliest_component_and_not_to_the_nearest():
    # (1.5, 0) is 1 = 4 widths from the narrow centre, 1.5 = 1.5 widths from the wide one, and nearer to the narrow one:
    # log .8 - 1.125 against log .2 + 2 log 4 - 8. At (2, 0) it is log .8 - 2 against log .2 + 2 log 4 - 2.
    component, distance = assigned(np.array([[1.5, 0.0], [2.0, 0.0]]), *UNEVEN)
    assert component.tolist() == [0, 1]
    assert distance.tolist() == [1.5, 2.0]


def test_weights_decide_between_components_of_one_width():
    # Half-way between, the heavier one; a little beyond, as far as r^2 / 2 outweighs log 3.
    parts = np.array([[0.0], [2.0]]), np.ones(2), np.array([0.75, 0.25])
    border = 1 + np.log(3) / 2
    component, _ = assigned(np.array([[1.0], [border - 1e-6], [border + 1e-6]]), *parts)
    assert component.tolist() == [0, 0, 1]


def test_in_the_plane_a_width_counts_twice():
    # At the common centre of two equally heavy ones the narrow one is denser, by its width squared.
    parts = np.zeros((2, 2)), np.array([1.0, 0.5]), np.array([0.79, 0.21])
    assert assigned(np.zeros((1, 2)), *parts)[0].tolist() == [1]  # 0.21 / 0.25 = 0.84
    assert assigned(np.zeros((1, 2)), *parts[:2], np.array([0.81, 0.19]))[0].tolist() == [0]  # 0.19 / 0.25 = 0.76


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), dim=st.integers(1, 2), count=st.integers(1, 6))
def test_components_that_are_alike_take_what_is_nearest(seed, dim, count):
    rng = np.random.default_rng(seed)
    means, samples = rng.normal(size=(count, dim)), rng.normal(size=(50, dim)) * 3
    component, distance = assigned(samples, means, np.full(count, 0.5), np.full(count, 1 / count))
    apart = np.sqrt(((samples[:, None] - means) ** 2).sum(axis=-1))
    assert component.tolist() == apart.argmin(axis=1).tolist()
    np.testing.assert_allclose(distance, apart.min(axis=1) / 0.5)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(25, 2))
    whole = assigned(samples, *UNEVEN)
    monkeypatch.setattr(modes, "BLOCK", 6)
    np.testing.assert_array_equal(np.stack(whole), np.stack(assigned(samples, *UNEVEN)))


@pytest.mark.parametrize(("parts", "quality"), [(UNEVEN, 1 - np.exp(-4.5)), (APART, 0.9973)])
def test_data_of_unequal_widths_score_as_any_data(parts, quality):
    seen = floor(100_000, *parts)
    assert set(seen) == {"modes/high_quality_data", "modes/kl_data"}
    # The nearest centre gave 0.920 and 0.0021 on the first.
    assert seen["modes/high_quality_data"] == pytest.approx(quality, abs=3e-3)
    assert 0 <= seen["modes/kl_data"] < 5e-4
    assert floor(100_000, *parts) == seen


def test_the_floor_is_that_of_as_many_examples():
    # Eight modes among n examples: (8 - 1) / 2n is what chance alone leaves of the KL, on average.
    ring = Ring(modes=8).density()
    parts = tuple(np.asarray(part, float) for part in (ring.means, ring.stds, ring.weights))
    small, large = floor(200, *parts), floor(20_000, *parts)
    assert 7 / 400 / 6 < small["modes/kl_data"] < 7 / 400 * 3
    assert large["modes/kl_data"] < 7 / 40_000 * 4
    assert large["modes/high_quality_data"] == pytest.approx(1 - np.exp(-4.5), abs=4e-3)


def test_a_few_strays_do_not_cover_a_mode():
    # Half of the samples belong at each: a fifth of that is 10 of 100.
    nine, ten = ([[0.0, 0.0]] * (100 - n) + [[10.0, 0.0]] * n for n in (9, 10))
    assert cover(nine)["modes/covered"] == 1.0
    assert cover(ten)["modes/covered"] == 2.0


def test_covered_is_a_share_of_all_samples_and_not_of_the_good_ones():
    # Of 100 samples 9 are good at the second mode; half of the others are astray, so of the good ones they are a sixth.
    found = cover([[0.0, 0.0]] * 45 + [[10.0, 0.0]] * 9 + [[100.0, 100.0]] * 46)
    assert found["modes/high_quality"] == 0.54
    assert found["modes/covered"] == 1.0


def test_a_light_mode_needs_fewer_samples():
    # A weight of 1/4 entitles to 25 of 100, and a fifth of that is 5.
    weights = np.array([0.75, 0.25])
    four, five = ([[0.0, 0.0]] * (100 - n) + [[10.0, 0.0]] * n for n in (4, 5))
    assert cover(four, weights)["modes/covered"] == 1.0
    assert cover(five, weights)["modes/covered"] == 2.0


def test_samples_far_from_every_mode_cover_none():
    found = cover([[100.0, 100.0], [5.0, 0.0]])
    assert found == {"modes/covered": 0.0, "modes/high_quality": 0.0, "modes/kl": pytest.approx(math.log(2))}


def test_samples_that_are_not_numbers_cover_none():
    found = cover([[np.nan, np.nan], [np.inf, 0.0]])
    assert found == {"modes/covered": 0.0, "modes/high_quality": 0.0, "modes/kl": pytest.approx(math.log(2))}


@settings(deadline=None, max_examples=20)
@given(reached=st.integers(1, 8), seed=st.integers(0, 1000))
def test_a_perfect_generator_of_some_modes_covers_just_those(reached, seed):
    # In the plane exp(-9 / 2) = 1.1 % of a Gaussian lie beyond three standard deviations: 10 of 900 +- 3.3 a mode.
    ring = Ring(modes=8).density()
    means, stds, weights = (np.asarray(part, float) for part in (ring.means, ring.stds, ring.weights))
    noise = np.random.default_rng(seed).normal(size=(reached, 900, 2)) * 0.02
    found = coverage((means[:reached, None] + noise).reshape(-1, 2), means, stds, weights)
    assert found["modes/covered"] == reached
    # Of the good ones each mode has 890 +- 3.3, which adds (3.3 / 890)^2 / 2 = 7e-6 a mode to the KL.
    assert found["modes/kl"] == pytest.approx(math.log(8 / reached), abs=1e-3)
    assert found["modes/high_quality"] == pytest.approx(1 - np.exp(-4.5), abs=5 * np.sqrt(0.011 / (900 * reached)))


EIGHTH = np.full(8, 1 / 8)


def test_every_mode_with_its_share_has_no_mode_kl():
    assert mode_kl(np.full(8, 25), EIGHTH) == 0.0
    assert mode_kl(np.array([30, 10]), np.array([0.75, 0.25])) == 0.0


@pytest.mark.parametrize("reached", [1, 2, 4])
def test_missing_modes_cost_the_logarithm_of_their_share(reached):
    counts = np.where(np.arange(8) < reached, 100, 0)
    assert mode_kl(counts, EIGHTH) == pytest.approx(math.log(8 / reached), abs=1e-12)


def test_the_mode_kl_is_of_the_model_relative_to_the_data():
    # Half at each of two modes that weigh 3/4 and 1/4: 1/2 log(2/3) + 1/2 log 2 = log(4/3) / 2 = 0.1438. The other
    # way round it would be 3/4 log(3/2) + 1/4 log(1/2) = 0.1308.
    assert mode_kl(np.array([5, 5]), np.array([0.75, 0.25])) == pytest.approx(0.5 * math.log(4 / 3), abs=1e-12)


def test_without_a_good_sample_the_mode_kl_is_that_of_the_lightest_mode_alone():
    weights = np.array([0.5, 0.4, 0.1])
    assert mode_kl(np.zeros(3, int), weights) == pytest.approx(math.log(10), abs=1e-12)
    assert mode_kl(np.array([0, 0, 7]), weights) == pytest.approx(math.log(10), abs=1e-12)


def test_samples_of_low_quality_do_not_weigh_in_the_mode_kl():
    # One good sample at each mode, and three more that are nearest to the first but far from it.
    found = cover([[0, 0], [10, 0], [0, 4], [0, 5], [0, 6]])
    assert found["modes/high_quality"] == 0.4
    assert found["modes/kl"] == 0.0


@settings(deadline=None, max_examples=100)
@given(pairs=st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 1000)), min_size=1, max_size=30), data=st.data())
def test_the_mode_kl_is_bounded_and_does_not_depend_on_the_order(pairs, data):
    counts, heavy = (np.array(column) for column in zip(*pairs, strict=True))
    weights = (heavy / heavy.sum()).astype(np.float32)  # as a mixture holds them
    found = mode_kl(counts, weights)
    assert 0.0 <= found <= math.log(heavy.sum() / heavy.min()) + 1e-5
    order = data.draw(st.permutations(range(len(pairs))))
    assert mode_kl(counts[order], weights[order]) == pytest.approx(found, abs=1e-9)
    assert mode_kl(heavy, weights) == pytest.approx(0.0, abs=1e-6)


def test_the_weights_of_modes_need_not_sum_to_one():
    # One of four samples at a mode of weight 1/4: nothing is missing. All at it: log 4.
    assert mode_kl(np.array([1, 3]), np.array([2.0, 6.0])) == pytest.approx(0.0, abs=1e-12)
    assert mode_kl(np.array([4, 0]), np.array([2.0, 6.0])) == pytest.approx(math.log(4), abs=1e-12)


def test_modes_beyond_a_block_are_compared_row_by_row(monkeypatch):
    samples = np.array([[0.0, 1.0], [10.0, 0.5], [9.0, 0.0]])
    expected = [0, 1, 1], [1.0, 1.0, 2.0]
    monkeypatch.setattr(modes, "BLOCK", 1)
    component, distance = assigned(samples, CENTRES, STDS, EQUAL)
    assert (component.tolist(), distance.tolist()) == expected
