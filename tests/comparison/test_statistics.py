"""Intervals, differences and corrections: numbers worked out by hand or with SciPy's own tests, and properties."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from ganrun.comparison.statistics import adjust, comparable, differences, intervals, mean_interval

FINITE = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))
SAMPLES = st.lists(FINITE, min_size=2, max_size=8).map(np.array)
quick = settings(max_examples=50, deadline=None)
P_VALUES = st.lists(st.floats(0.0, 1.0), max_size=12)


def quantile_of_two(level: float) -> float:
    """The two-sided quantile of Student's t with two degrees of freedom, which has a closed form."""
    p = 0.5 + level / 2
    return (2 * p - 1) / math.sqrt(2 * p * (1 - p))


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


# The interval of a mean


@pytest.mark.parametrize(("level", "tabled"), [(0.90, 2.920), (0.95, 4.303), (0.99, 9.925)])
def test_the_interval_of_three_runs_is_that_of_the_table_of_students_t(level, tabled):
    # 1, 2, 3: mean 2, s = 1, two degrees of freedom, so 2 ± t / sqrt(3).
    found = mean_interval(array(3.0, 1.0, 2.0), level)
    half = tabled / math.sqrt(3)
    assert quantile_of_two(level) == pytest.approx(tabled, abs=5e-4)
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0 - half, 2.0 + half), abs=5e-4)


def test_the_interval_of_two_runs_is_very_wide():
    # 0, 2: mean 1, s = sqrt 2, s / sqrt n = 1; one degree of freedom is the Cauchy law: t = tan(0.95 pi / 2) = 12.706.
    found = mean_interval(array(0.0, 2.0))
    assert (found.low, found.high) == pytest.approx((1 - 12.7062, 1 + 12.7062), abs=1e-4)


def test_the_default_is_student_at_95_percent():
    # SciPy's test of one mean inverts to the same interval.
    values = array(0.31, 0.27, 0.4, 0.35, 0.1)
    ends = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = mean_interval(values)
    assert found.value == pytest.approx(0.286)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), rel=1e-12)


@pytest.mark.parametrize("method", ["student", "bootstrap"])
def test_no_run_has_no_mean_and_one_run_no_interval(method):
    nothing = mean_interval(array(), method=method)
    assert all(map(math.isnan, (nothing.value, nothing.low, nothing.high)))
    single = mean_interval(array(0.25), method=method)
    assert single.value == 0.25
    assert math.isnan(single.low) and math.isnan(single.high)


@pytest.mark.parametrize("method", ["student", "bootstrap"])
@pytest.mark.parametrize(("value", "n"), [(8.0, 2), (0.1, 3), (0.1, 7), (0.0, 4)])
def test_runs_that_agree_have_their_mean_and_no_interval(value, n, method):
    # Also where the sum rounds: three times 0.1 is not 0.3 in binary, but the mean of three 0.1 is 0.1.
    found = mean_interval(array(*[value] * n), method=method)
    assert found.value == value
    assert math.isnan(found.low) and math.isnan(found.high)


@pytest.mark.parametrize("method", ["student", "bootstrap"])
@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ((1.0, 2.0, math.inf), math.inf),
        ((math.inf, math.inf), math.inf),
        ((math.inf,), math.inf),
        ((1.0, -math.inf), -math.inf),
        ((math.inf, -math.inf), math.nan),
        ((1.0, 2.0, math.nan), math.nan),
        ((math.nan, math.nan), math.nan),
        ((math.nan,), math.nan),
    ],
)
def test_a_value_that_is_not_finite_leaves_the_interval_open(values, mean, method):
    found = mean_interval(array(*values), method=method)
    assert found.value == pytest.approx(mean, nan_ok=True)
    assert math.isnan(found.low) and math.isnan(found.high)


@pytest.mark.parametrize("method", ["student", "bootstrap"])
def test_a_table_has_the_interval_of_each_of_its_columns(method):
    columns = [array(1, 2, 4), array(3, 3, 3), array(1, math.inf, 2), array(0.1, 0.5, 0.2), array(math.nan, 1, 2)]
    low, high = intervals(np.stack(columns, axis=1), 0.9, method)
    for column, *ends in zip(columns, low, high, strict=True):
        alone = mean_interval(column, 0.9, method)
        assert ends == pytest.approx([alone.low, alone.high], nan_ok=True)
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [False, True, True, False, True]
    for few in (np.zeros((0, 2)), np.zeros((1, 2)), np.zeros((2, 0))):
        assert np.isnan(intervals(few, 0.9, method)).all()


def test_whole_numbers_are_taken_too():
    assert mean_interval(np.array([7, 8, 8, 7])).value == 7.5


@quick
@given(SAMPLES, st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_an_interval_contains_its_mean_in_the_middle(values, level):
    assume(np.ptp(values) > 0)
    found = mean_interval(values, level)
    assert found.value == pytest.approx(math.fsum(values) / len(values), abs=1e-9)
    assert found.low <= found.value <= found.high
    assert found.high - found.value == pytest.approx(found.value - found.low, rel=1e-6, abs=1e-9)


@quick
@given(SAMPLES, st.floats(0.05, 0.99), st.floats(0.05, 0.99))
def test_a_surer_interval_is_wider(values, one, other):
    assume(abs(one - other) > 1e-3 and np.ptp(values) > 1e-6)
    inner, outer = (mean_interval(values, level) for level in sorted([one, other]))
    assert outer.low < inner.low <= inner.high < outer.high


@quick
@given(SAMPLES, st.sampled_from([-2.0, 0.5, 8.0]), FINITE)
def test_an_interval_follows_scale_and_shift(values, scale, shift):
    assume(np.ptp(values) > 0)
    plain, moved = mean_interval(values), mean_interval(scale * values + shift)
    ends = sorted([scale * plain.low + shift, scale * plain.high + shift])
    assert [moved.low, moved.high] == pytest.approx(ends, rel=1e-6, abs=1e-6)


def test_of_many_samples_of_three_the_level_contains_the_truth():
    # 2000 tries at 90 %: the standard deviation of the count is 13.4; four of them are 54.
    samples = np.random.default_rng(0).normal(5.0, 2.0, (2000, 3))
    covered = sum(found.low <= 5.0 <= found.high for found in (mean_interval(one, 0.9) for one in samples))
    assert abs(covered - 1800) < 54


# The bootstrap


@settings(max_examples=15, deadline=None)
@given(SAMPLES)
def test_a_bootstrap_interval_contains_the_mean_and_lies_within_the_sample(values):
    assume(np.ptp(values) > 0)
    found = mean_interval(values, method="bootstrap")
    rounding = 1e-9 * max(1.0, float(np.abs(values).max()))
    assert values.min() - rounding <= found.low <= found.value <= found.high <= values.max() + rounding


def test_a_bootstrap_interval_is_the_same_every_time_whatever_numpy_has_drawn_since():
    values = np.random.default_rng(7).normal(size=12)  # so many that no two resamples have the same mean by chance
    first = mean_interval(values, method="bootstrap")
    np.random.seed(1)
    assert mean_interval(values, method="bootstrap") == first


def test_a_bootstrap_interval_of_many_normal_values_is_the_textbooks():
    # 1.96 s / sqrt(n) on either side, within what 10 000 resamples resolve.
    values = np.random.default_rng(3).normal(size=400)
    found = mean_interval(values, method="bootstrap")
    half = 1.96 * values.std(ddof=1) / 20.0
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.06 * half)


def test_a_bootstrap_interval_leans_to_where_the_long_tail_is():
    values = array(*[0.0] * 10, 1.0, 2.0, 10.0)
    found = mean_interval(values, method="bootstrap")
    assert found.high - found.value > 1.5 * (found.value - found.low) > 0.0


def test_a_bootstrap_interval_is_that_of_all_resamples_there_are():
    # All 6^6 of them. Which percentiles are taken follows from the bias z, from how many means lie below the sample's
    # (those that are equal to it count half), and the acceleration a, from the jackknife (Efron 1987).
    values = array(0.1, 0.25, 0.32, 0.47, 1.03, 2.9)
    means = np.sort(values[np.array(list(itertools.product(range(6), repeat=6)))].mean(axis=1))
    below, up_to = ((means < values.mean() + slack).mean() for slack in (-1e-9, 1e-9))
    z = stats.norm.ppf((below + up_to) / 2)
    without = (values.sum() - values) / 5
    away = without.mean() - without
    a = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    ends = []
    for tail in (0.025, 0.975):
        moved = z + stats.norm.ppf(tail)
        ends.append(float(np.quantile(means, stats.norm.cdf(z + moved / (1 - a * moved)))))
    found = mean_interval(values, method="bootstrap")
    assert [found.low, found.high] == pytest.approx(ends, rel=0.02)
    assert ends[1] > 1.1 * np.quantile(means, 0.975)  # plain percentiles would be told apart


def test_a_bootstrap_interval_widens_with_the_level():
    values = array(1.0, 2.0, 4.0, 8.0, 16.0)
    widths = [found.high - found.low for found in (mean_interval(values, x, "bootstrap") for x in (0.5, 0.8, 0.95))]
    assert widths == sorted(widths) and widths[0] < widths[1] < widths[2]


# Differences


def test_the_difference_of_two_groups_by_hand():
    # 1, 2, 3 and 4, 5, 6: gap -3, variance 1/3 + 1/3, df = (2/3)^2 / (2 (1/3)^2 / 2) = 4, t = 3.674, table: 2.776.
    # For four degrees of freedom F(t) = 1/2 + 3/8 u (1 - u^2 / 12) with u = t / sqrt(1 + t^2 / 4).
    (gap,) = differences([array(1, 2, 3), array(4, 5, 6)], [(0, 1)])
    half = 2.776445 * math.sqrt(2 / 3)
    assert (gap.first, gap.second) == (0, 1)
    assert (gap.interval.value, gap.interval.low, gap.interval.high) == pytest.approx((-3, -3 - half, -3 + half))
    u = math.sqrt(13.5) / math.sqrt(1 + 13.5 / 4)
    assert gap.p == gap.adjusted == pytest.approx(2 * (0.5 - 3 / 8 * u * (1 - u**2 / 12)))
    assert gap.p == pytest.approx(0.02131, abs=1e-5)


def test_unequal_variances_lower_the_degrees_of_freedom_by_hand():
    # 1, 2, 3 and 2, 6: shares 1/3 and 8/2, df = (13/3)^2 / ((1/3)^2 / 2 + 4^2 / 1) = 338/289.
    (gap,) = differences([array(1, 2, 3), array(2, 6)], [(0, 1)], level=0.9)
    law, error = stats.t(338 / 289), math.sqrt(13 / 3)
    assert gap.interval.value == -2.0
    assert gap.interval.high == pytest.approx(-2 + law.ppf(0.95) * error)
    assert gap.interval.low == pytest.approx(-2 - law.ppf(0.95) * error)
    assert gap.p == pytest.approx(2 * law.cdf(-2 / error))


@quick
@given(SAMPLES, SAMPLES, st.sampled_from([0.5, 0.95, 0.99]))
def test_a_difference_is_that_of_scipys_test(a, b, level):
    assume(np.ptp(a) > 0.1 and np.ptp(b) > 0.1)
    expected = stats.ttest_ind(a, b, equal_var=False)
    ends = expected.confidence_interval(level)
    (gap,) = differences([a, b], [(0, 1)], level)
    assert gap.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert [gap.interval.low, gap.interval.high] == pytest.approx([ends.low, ends.high], rel=1e-6, abs=1e-6)


@quick
@given(SAMPLES, SAMPLES)
def test_the_other_way_round_is_the_opposite(a, b):
    there, back = differences([a, b], [(0, 1), (1, 0)])
    assert there.interval.value == -back.interval.value
    assume(np.ptp(a) + np.ptp(b) > 0)
    assert [there.interval.low, there.interval.high] == pytest.approx([-back.interval.high, -back.interval.low])
    assert there.p == pytest.approx(back.p)
    assert there.interval.low <= there.interval.value <= there.interval.high


THREE = [array(0, 2), array(10, 12), array(20, 22)]
EVERY = [(0, 1), (0, 2), (1, 2)]
# Variance 1 + 1, two degrees of freedom, where p = 1 - t / sqrt(2 + t^2); t^2 is 100 / 2 and 400 / 2.
NEAR, FAR = 1 - math.sqrt(50 / 52), 1 - math.sqrt(200 / 202)


@pytest.mark.parametrize(
    ("correction", "each", "adjusted"),
    [
        ("none", 0.95, [NEAR, FAR, NEAR]),
        ("bonferroni", 1 - 0.05 / 3, [3 * NEAR, 3 * FAR, 3 * NEAR]),
        ("holm", 1 - 0.05 / 3, [2 * NEAR, 3 * FAR, 2 * NEAR]),
    ],
)
def test_three_differences_at_once_by_hand(correction, each, adjusted):
    found = differences(THREE, EVERY, 0.95, correction)
    half = quantile_of_two(each) * math.sqrt(2)
    assert [(gap.first, gap.second) for gap in found] == EVERY
    assert [gap.interval.value for gap in found] == [-10, -20, -10]
    assert [gap.interval.high - gap.interval.value for gap in found] == pytest.approx([half] * 3)
    assert [gap.interval.value - gap.interval.low for gap in found] == pytest.approx([half] * 3)
    assert [gap.p for gap in found] == pytest.approx([NEAR, FAR, NEAR])
    assert [gap.adjusted for gap in found] == pytest.approx(adjusted)


@pytest.mark.parametrize(
    ("poor", "gap"),
    [(array(7), -6.0), (array(), math.nan), (array(1, math.inf), -math.inf), (array(math.nan, 1), None)],
)
def test_a_group_that_cannot_be_tested_has_a_difference_only_and_makes_the_others_no_less_sure(poor, gap):
    alone = quantile_of_two(0.95) * math.sqrt(2)
    found = differences([array(0, 2), array(10, 12), poor], EVERY)
    assert found[0].interval.high == pytest.approx(-10 + alone)
    assert found[0].p == found[0].adjusted == pytest.approx(NEAR)
    for other in found[1:]:
        assert all(map(math.isnan, (other.interval.low, other.interval.high, other.p, other.adjusted)))
    assert found[1].interval.value == pytest.approx(math.nan if gap is None else gap, nan_ok=True)


def test_the_difference_of_two_infinite_means_is_unknown():
    for one in (array(math.inf), array(math.inf, math.inf)):
        (gap,) = differences([one, one], [(0, 1)])
        assert math.isnan(gap.interval.value) and math.isnan(gap.interval.low) and math.isnan(gap.adjusted)


@pytest.mark.parametrize(
    ("value", "n", "other", "m", "p"),
    [
        # Which 2 of 4 runs are the first group's: 6 ways, one of them as extreme in either direction.
        (8.0, 2, 7.0, 2, 2 / 6),
        (7.0, 3, 8.0, 3, 2 / 20),
        (0.7, 5, 0.1, 5, 2 / 252),
        (8.0, 3, 7.0, 7, 2 / 120),
        (7.0, 2, 8.0, 3, 2 / 10),
        (8.0, 3, 8.0, 7, 1.0),
        (0.1, 2, 0.1, 2, 1.0),
    ],
)
def test_groups_without_any_variance_have_the_p_of_the_permutations_and_no_interval(value, n, other, m, p):
    (gap,) = differences([array(*[value] * n), array(*[other] * m)], [(0, 1)])
    assert gap.interval.value == value - other
    assert math.isnan(gap.interval.low) and math.isnan(gap.interval.high)
    assert gap.p == gap.adjusted == pytest.approx(p)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (2, 3), (3, 3), (2, 5), (4, 4)])
def test_the_p_of_the_permutations_is_that_of_trying_them_all(n, m):
    first, second = array(*[8.0] * n), array(*[7.0] * m)
    expected = stats.permutation_test(
        (first, second), lambda a, b: a.mean() - b.mean(), permutation_type="independent", n_resamples=np.inf
    )
    (gap,) = differences([first, second], [(0, 1)])
    assert gap.p == pytest.approx(expected.pvalue)


def test_groups_without_variance_count_among_the_tests_of_all():
    # p of the permutations 2/6 and twice Welch's, with two runs each: Holm takes three times the smallest.
    first, second, third = array(8, 8), array(7, 7), array(0, 2)
    alone = [differences([one, third], [(0, 1)])[0] for one in (first, second)]
    found = differences([first, second, third], EVERY)
    assert [gap.p for gap in found] == pytest.approx([2 / 6, alone[0].p, alone[1].p])
    ranked = sorted(gap.p for gap in found)
    assert found[1].adjusted == pytest.approx(3 * ranked[0])
    assert min(gap.adjusted for gap in found) == found[1].adjusted


def test_a_group_without_variance_is_compared_with_one_that_has_some():
    # All of the variance, 1/3, and so the degrees of freedom, 2, are the other's.
    (gap,) = differences([array(0.1, 0.1, 0.1, 0.1, 0.1), array(1, 2, 3)], [(0, 1)])
    assert gap.interval.high == pytest.approx(-1.9 + quantile_of_two(0.95) / math.sqrt(3))
    square = 1.9**2 * 3
    assert gap.p == pytest.approx(1 - math.sqrt(square / (2 + square)))


def test_tiny_variances_do_not_vanish_when_they_are_squared():
    # The same as 0, 2 and 10, 12, only 1e-90 times: its p has no scale.
    (gap,) = differences([1e-90 * THREE[0], 1e-90 * THREE[1]], [(0, 1)])
    assert gap.p == pytest.approx(NEAR)


def test_no_pairs_have_no_differences():
    assert differences([array(1, 2)], []) == []
    assert differences([], []) == []


@pytest.mark.parametrize("correction", ["none", "bonferroni", "holm"])
def test_the_pairs_that_are_shown_are_corrected_for_all_that_there_are(correction):
    every = differences([*THREE, array(7)], EVERY, 0.9, correction)
    for shown in ([(0, 2)], [(0, 1), (0, 2)], [(1, 2)]):
        some = differences([*THREE, array(7)], shown, 0.9, correction)
        assert some == [every[EVERY.index(pair)] for pair in shown]


def test_testable_are_two_finite_runs_or_more():
    assert comparable([array(), array(1), array(1, 1), array(1, 2, math.inf), array(math.nan, 1), array(3, 4, 5)]) == [
        2,
        5,
    ]


@pytest.mark.parametrize(("groups", "runs"), [(k, n) for n in (3, 5) for k in (2, 4, 8, 16)])
def test_among_equal_groups_few_are_told_apart_however_many_there_are(groups, runs):
    # The chance that any of all pairs has an adjusted p below 0.05, and that any shown interval leaves out 0.
    tries = 500
    drawn = np.random.default_rng([groups, runs]).normal(size=(tries, groups, runs))
    told, left_out = 0, 0
    for one in drawn:
        order = np.argsort(one.mean(axis=1))  # what is shown is chosen by the data: the best against the others
        found = differences(list(one[order]), [(0, j) for j in range(1, groups)])
        told += min(gap.adjusted for gap in found) < 0.05
        left_out += any(gap.interval.low > 0 or gap.interval.high < 0 for gap in found)
    allowed = 0.05 + 2 * math.sqrt(0.05 * 0.95 / tries)
    assert told / tries <= allowed and left_out / tries <= allowed


def test_corrected_intervals_hold_all_at_once():
    # 500 tries of three equal groups at 90 %: at least 450 hold, less four standard deviations of 6.7.
    rng = np.random.default_rng(0)
    tries = [differences(list(rng.normal(size=(3, 4))), EVERY, 0.9) for _ in range(500)]
    held = sum(all(gap.interval.low <= 0.0 <= gap.interval.high for gap in found) for found in tries)
    assert held > 450 - 27
    assert sum(min(gap.adjusted for gap in found) < 0.1 for found in tries) < 50 + 27


# Corrections


def test_adjusted_p_values_by_hand():
    # Sorted .005, .01, .03, .04: Holm takes 4, 3, 2 and 1 times, and never less than before: .02, .03, .06, .06.
    p = [0.01, 0.04, 0.03, 0.005]
    assert adjust(p, "holm") == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust(p, "bonferroni") == pytest.approx([0.04, 0.16, 0.12, 0.02])
    assert adjust(p, "none") == p
    assert adjust(p) == adjust(p, "holm")


@pytest.mark.parametrize("correction", ["holm", "bonferroni", "none"])
def test_nothing_and_a_single_p_value_need_no_correction(correction):
    assert adjust([], correction) == []
    assert adjust([0.3], correction) == [0.3]


def test_an_adjusted_p_value_is_at_most_one():
    assert adjust([0.5, 0.9], "holm") == [1.0, 1.0]
    assert adjust([0.5, 0.9], "bonferroni") == [1.0, 1.0]


@quick
@given(P_VALUES)
def test_holm_lies_between_the_raw_p_and_bonferroni_and_keeps_the_order(p):
    found = adjust(p, "holm")
    for raw, holm, bonferroni in zip(p, found, adjust(p, "bonferroni"), strict=True):
        assert raw <= holm <= bonferroni <= 1.0
    ranked = [holm for _, holm in sorted(zip(p, found, strict=True))]
    assert ranked == sorted(ranked)


@quick
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8), st.sampled_from([0.01, 0.05, 0.3]))
def test_holm_rejects_what_stepping_down_rejects(p, alpha):
    # Holm's procedure as he tells it: go up from the smallest p while p < alpha / (how many are left), then stop.
    assume(all(abs(value * k - alpha) > 1e-9 for value in p for k in range(1, 9)))
    rejected = 0
    for value in sorted(p):
        if value >= alpha / (len(p) - rejected):
            break
        rejected += 1
    assert sum(value < alpha for value in adjust(p, "holm")) == rejected


@quick
@given(st.permutations([0.001, 0.02, 0.02, 0.3, 0.9]))
def test_the_order_in_which_p_values_come_does_not_matter(p):
    known = {0.001: 0.005, 0.02: 0.08, 0.3: 0.6, 0.9: 0.9}  # times 5, 4 (twice: 4 and not 3), 2, 1
    assert adjust(list(p)) == pytest.approx([known[value] for value in p])


def test_intervals_are_of_95_percent_by_default():
    table = np.array([[1.0], [2.0], [4.0]])
    by_default = [ends.tolist() for ends in intervals(table)]
    assert by_default == [ends.tolist() for ends in intervals(table, 0.95)]
    # Mean 7/3, standard deviation 1.5275, t of 2 degrees of freedom at .975: 4.3027.
    assert by_default[1][0] == pytest.approx(7 / 3 + 4.302653 * 1.527525 / 3**0.5, rel=1e-6)
