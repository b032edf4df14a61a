"""Intervals of means against their closed form, and of nearest-neighbour statistics against repeated experiments."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.intervals import bootstrap, delete_jackknife, floor, subsampling
from ganrun.evaluation.sample_metrics.manifold import manifold

INTERVALS = {"delete_jackknife": delete_jackknife, "subsampling": subsampling, "bootstrap": bootstrap}


def difference(x: np.ndarray, y: np.ndarray) -> float:
    return float(x.mean() - y.mean())


@pytest.mark.parametrize("name", INTERVALS)
def test_the_interval_of_a_difference_of_means_is_that_of_the_normal_theory(name) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(1, 2, (100, 1)), rng.normal(0, 1, (60, 1))
    found = INTERVALS[name](difference, x, y, repeats=4000)
    error = np.sqrt(x.var(ddof=1) / 100 + y.var(ddof=1) / 60)
    z = stats.norm.ppf(0.975)
    assert found.value == difference(x, y) and found.level == 0.95
    assert found.standard_error == pytest.approx(error, rel=0.05)
    assert found.low == pytest.approx(found.value - z * error, abs=0.15 * error)
    assert found.high == pytest.approx(found.value + z * error, abs=0.15 * error)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_the_standard_error_does_not_depend_on_the_share_that_is_kept(kept) -> None:
    x = np.random.default_rng(1).normal(size=(50, 1))
    found = delete_jackknife(lambda rows: float(rows.mean()), x, kept=kept, repeats=4000)
    assert found.standard_error == pytest.approx(x.std(ddof=1) / np.sqrt(50), rel=0.05)


def test_all_subsets_of_three_by_hand() -> None:
    # Means of pairs of 0, 3, 6 are 1.5, 3, 4.5: variance 1.5, times b / (n - b) = 2; that is 9 / 3 = s^2 / n.
    found = delete_jackknife(
        lambda rows: float(rows.mean()), np.array([[0.0], [3.0], [6.0]]), kept=0.67, repeats=20_000
    )
    assert found.standard_error**2 == pytest.approx(3.0, rel=0.03)


def test_a_skewed_statistic_has_a_skewed_interval_by_subsampling() -> None:
    x = np.random.default_rng(2).exponential(size=(30, 1)) ** 3
    found = subsampling(lambda rows: float(rows.mean()), x, repeats=2000, kept=0.3)
    # A mean of few large numbers is more often far above its expectation than far below: the interval reaches down.
    assert found.value - found.low > 1.05 * (found.high - found.value)


def test_the_jackknife_of_density_is_its_spread_over_data_sets_and_the_bootstrap_is_not() -> None:
    def density(real: np.ndarray, fake: np.ndarray) -> float:
        return manifold(real, fake, 3).density

    def pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        return rng.normal(size=(120, 3)), rng.normal(size=(120, 3))

    spread = np.std([density(*pair(seed)) for seed in range(200)])
    jackknife = np.mean([delete_jackknife(density, *pair(seed), repeats=40).standard_error for seed in range(12)])
    means = [
        np.mean([density(*(rows[rng.integers(0, 120, 120)] for rows in pair(seed))) for _ in range(5)])
        for seed, rng in ((seed, np.random.default_rng(seed)) for seed in range(12))
    ]
    assert jackknife == pytest.approx(spread, rel=0.3)
    # Repeated examples shrink the balls: bootstrap samples do not have the mean of the statistic, which is 1.
    assert np.mean(means) < 0.9


def test_intervals_repeat_with_their_seed() -> None:
    x, y = np.random.default_rng(3).normal(size=(2, 40, 1))
    for interval in INTERVALS.values():
        assert interval(difference, x, y, seed=1) == interval(difference, x, y, seed=1)
        assert interval(difference, x, y, seed=1) != interval(difference, x, y, seed=2)


def test_a_higher_level_is_wider_about_the_same_value() -> None:
    x, y = np.random.default_rng(4).normal(size=(2, 40, 1))
    for interval in INTERVALS.values():
        narrow, wide = interval(difference, x, y, level=0.5), interval(difference, x, y, level=0.99)
        assert wide.low < narrow.low < narrow.value == wide.value < narrow.high < wide.high


def test_the_floor_compares_disjoint_sets_of_the_given_sizes() -> None:
    real = np.arange(10.0)[:, None]
    seen = []

    def statistic(x: np.ndarray, y: np.ndarray) -> float:
        seen.append((len(x), len(y), len(set(x[:, 0]) | set(y[:, 0]))))
        return difference(x, y)

    found = floor(statistic, real, (6, 4), repeats=8)
    assert seen == [(6, 4, 10)] * 8 and len(set(found.values)) > 1
    assert found.mean == pytest.approx(np.mean(found.values))
    assert found.standard_deviation == pytest.approx(np.std(found.values, ddof=1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: floor(difference, x, (3, 3)), "The floor needs 3 + 3 different real examples, but there are 5."),
        (lambda x: floor(difference, x, (2, 2), repeats=1), "repeats must be at least 2, not 1."),
        (lambda x: bootstrap(difference, x, x, repeats=1), "repeats must be at least 2, not 1."),
        (lambda x: bootstrap(difference, x, x, level=1.0), "level must be between 0 and 1, not 1."),
        (lambda x: subsampling(difference, x, x, level=0), "level must be between 0 and 1, not 0."),
        (lambda x: delete_jackknife(difference, x, x, kept=1.5), "kept must be between 0 and 1, not 1.5."),
        (
            lambda x: delete_jackknife(difference, x, x, kept=0.05),
            "kept=0.05 leaves [0, 0] of [5, 5] examples; keep some, not all.",
        ),
    ],
)
def test_impossible_words_are_named(call, message) -> None:
    with pytest.raises(ConfigError) as error:
        call(np.ones((5, 1)))
    assert str(error.value) == message
