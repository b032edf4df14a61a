"""Robust statistics: numbers by hand, an independent implementation, and the coverage of their intervals."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ganrun.comparison.formats import as_json, as_records, gap_lines, heads
from ganrun.comparison.groups import Group
from ganrun.comparison.robust import bootstrapped, interquartile_mean, probability_of_improvement
from ganrun.comparison.runs import Run
from ganrun.comparison.table import compare

numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=9)


def group(name, tag, *values):
    return Group({"loss": name}, [Run(Path(), {}, "completed", {tag: value}) for value in values])


def test_the_interquartile_mean_leaves_out_a_quarter_of_the_runs_at_either_end():
    assert interquartile_mean(np.array([9.0, 2.0, 3.0, 4.0, -100.0, 1.0, 5.0, 1000.0])) == (2 + 3 + 4 + 5) / 4
    assert interquartile_mean(np.array([1.0, 2.0, 6.0])) == 3.0  # three quarters of a run are rounded down to none
    assert interquartile_mean(np.array([0.0, 1.0, 3.0, 100.0])) == 2.0


def test_the_probability_of_improvement_counts_pairs_of_which_equal_ones_half():
    x, y = np.array([1.0, 4.0]), np.array([1.0, 2.0, 3.0])
    # 1 against 1, 2, 3: half a win; 4: three wins.
    assert probability_of_improvement(x, y, higher=True) == pytest.approx(3.5 / 6)
    assert probability_of_improvement(x, y, higher=False) == pytest.approx(2.5 / 6)
    assert probability_of_improvement(np.array([np.inf]), np.array([np.inf, 0.0]), higher=True) == 0.75
    assert math.isnan(probability_of_improvement(x, np.array([]), higher=True))
    assert math.isnan(probability_of_improvement(x, np.array([np.nan]), higher=True))


@given(numbers, numbers)
def test_the_probability_of_improvement_is_the_mann_whitney_statistic(x, y):
    u = stats.mannwhitneyu(x, y, alternative="greater").statistic
    found = probability_of_improvement(np.array(x), np.array(y), higher=True)
    assert found == pytest.approx(u / (len(x) * len(y)), abs=1e-10)
    assert probability_of_improvement(np.array(y), np.array(x), higher=True) == pytest.approx(1 - found, abs=1e-10)


@pytest.mark.parametrize("statistic", ["iqm", "median"])
def test_an_outlier_does_not_move_it(statistic):
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    spoilt = np.array([1.0, 2.0, 3.0, 4.0, 5e6])
    assert bootstrapped(values, statistic)[0] == bootstrapped(spoilt, statistic)[0] == 3.0


@pytest.mark.parametrize("statistic", ["iqm", "median"])
def test_the_interval_covers_the_statistic_of_the_distribution(statistic):
    rng, hits = np.random.default_rng(0), 0
    for _ in range(200):
        _, low, high = bootstrapped(rng.normal(size=40), statistic)
        hits += low <= 0.0 <= high
    # 0.95 less what a percentile bootstrap of 40 values lacks; four standard errors of 200 repetitions are 0.062.
    assert 0.87 <= hits / 200 <= 0.995


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0], [1.0, np.inf]])
def test_where_there_is_no_interval_its_ends_are_nan(values):
    value, low, high = bootstrapped(np.array(values), "iqm")
    assert math.isnan(low) and math.isnan(high)
    assert math.isnan(value) == (not values)


# In the comparison


def test_groups_are_ordered_by_the_statistic_and_the_columns_name_it():
    spoilt = group("hinge", "jsd/exact", 0.1, 0.1, 0.12, 0.11, 9.0)
    other = group("minimax", "jsd/exact", 0.4, 0.5, 0.45, 0.44, 0.46)
    by_mean, by_iqm = (compare([spoilt, other], ["jsd/exact"], statistic=name) for name in ("mean", "iqm"))
    assert [one.settings["loss"] for one in by_mean.groups] == ["minimax", "hinge"]
    assert [one.settings["loss"] for one in by_iqm.groups] == ["hinge", "minimax"]
    assert "iqm" in heads(by_iqm) and "mean" not in heads(by_iqm)
    record = as_records(by_iqm)[0]
    assert record["jsd/exact iqm"] == pytest.approx((0.1 + 0.11 + 0.12) / 3)
    assert record["jsd/exact low"] <= record["jsd/exact iqm"] <= record["jsd/exact high"]


def test_differences_have_the_probability_of_improvement_of_the_better_direction():
    for tag, better in (("jsd/exact", "hinge"), ("modes/covered", "minimax")):  # lower and higher
        found = compare([group("hinge", tag, 1.0, 2.0), group("minimax", tag, 3.0, 4.0)], [tag])
        assert found.groups[0].settings["loss"] == better and found.improvements == [1.0]
        assert gap_lines(found)[0].endswith("; probability of improvement 1")
        assert json.loads(as_json(found))["differences"][0]["probability_of_improvement"] == 1.0


def test_a_metric_without_a_direction_has_none():
    found = compare([group("hinge", "D(x)", 0.1, 0.2), group("minimax", "D(x)", 0.3, 0.4)], ["D(x)"])
    assert math.isnan(found.improvements[0]) and "improvement" not in gap_lines(found)[0]
    assert json.loads(as_json(found))["differences"][0]["probability_of_improvement"] is None
