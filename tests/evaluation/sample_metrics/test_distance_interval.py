"""Errors of distances of two sets of one distribution against closed forms and repeats, and the interval by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.distance_interval import corrected_variance, distance_interval
from ganrun.evaluation.sample_metrics.frechet import frechet
from ganrun.evaluation.sample_metrics.kernel import kernel_distance
from ganrun.evaluation.sample_metrics.mind import mind

Z = 1.959964


def test_the_excess_is_subtracted_and_is_at_most_half() -> None:
    assert corrected_variance(4.0, 1.0) == 3.0 and corrected_variance(4.0, 0.0) == 4.0
    assert corrected_variance(4.0, 2.0) == corrected_variance(4.0, 3.0) == 2.0


def test_without_a_slope_it_is_the_normal_interval() -> None:
    found = distance_interval(1.0, 0.5, 0.0)
    assert (found.low, found.high) == pytest.approx((1 - Z * 0.5, 1 + Z * 0.5), abs=1e-6)
    assert (found.value, found.standard_error, found.level) == (1.0, 0.5, 0.95)


def test_a_value_without_error_reaches_up_by_the_slope_and_not_down() -> None:
    # (1 - theta)^2 <= z^2 2 (theta - 1) for theta from 1 to 1 + 2 z^2.
    found = distance_interval(1.0, 0.0, 2.0)
    assert (found.low, found.high) == pytest.approx((1.0, 1 + 2 * Z**2), abs=1e-5)


def test_at_its_ends_the_value_is_z_standard_errors_away() -> None:
    value, error, slope = 3.0, 0.4, 0.3
    found = distance_interval(value, error, slope, level=0.9)
    z = stats.norm.ppf(0.95)
    for end in (found.low, found.high):
        assert (end - value) ** 2 == pytest.approx(z**2 * (error**2 + slope * (end - value)))
    assert found.low < value < found.high and found.high - value > value - found.low


def test_a_level_outside_its_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="level must be between 0 and 1"):
        distance_interval(1.0, 1.0, 1.0, level=1.0)


def test_the_error_of_the_frechet_distance_of_equal_normal_distributions_is_its_closed_form() -> None:
    # c times d chi-squared variables of the means, (d^2 - d) / 2 halved ones of covariances and d halved ones of
    # variances, c = 2 / n: for d = 20 the variance is c^2 (40 + 95 + 10), up to terms of the relative order d / n.
    rng = np.random.default_rng(0)
    found = [frechet(*rng.normal(size=(2, 2000, 20))).standard_error for _ in range(30)]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(np.sqrt(145) * 2 / 2000, rel=0.08)


@pytest.mark.parametrize("name", ["frechet", "kernel", "mind"])
def test_errors_for_two_sets_of_one_distribution_are_the_spread_over_repeats(name) -> None:
    def measured(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
        if name == "mind":
            of_mind = mind(x, y, projections=16)
            return of_mind.value, of_mind.sampling_error, of_mind.slope
        found = frechet(x, y) if name == "frechet" else kernel_distance(x, y)
        return found.value, found.standard_error, found.slope

    rng = np.random.default_rng(1)
    scale = np.linspace(0.5, 1.5, 12)
    found = [measured(scale * rng.normal(size=(100, 12)), scale * rng.normal(size=(150, 12))) for _ in range(300)]
    values, errors, _ = np.array(found).T
    # Without the correction the variance would be twice as large, and the error 1.41 times.
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.2)
    intervals = [distance_interval(*one) for one in found]
    covered = np.mean([one.low <= values.mean() <= one.high for one in intervals])
    assert 0.91 < covered < 0.99


def test_the_error_of_the_kernel_distance_is_that_of_its_formula_by_loops() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(9, 2)), rng.normal(0.2, 1, size=(7, 2))

    def k(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.array([[(p @ q / 2 + 1) ** 3 for q in b] for p in a])

    def within(rows: np.ndarray) -> tuple[np.ndarray, float]:
        kernel, n = k(rows, rows), len(rows)
        pairs = [kernel[i, j] for i in range(n) for j in range(n) if i != j]
        means = np.array([np.mean([kernel[i, j] for j in range(n) if j != i]) for i in range(n)])
        return means, float(np.mean(np.square(pairs)) - 2 * np.mean(means**2) + np.mean(pairs) ** 2)

    (a, of_x), (b, of_y), cross = within(x), within(y), k(x, y)
    # In a kernel without the means of its rows and columns, the mean square is the variance.
    centred = cross - cross.mean(0) - cross.mean(1)[:, None] + cross.mean()
    first = 4 * np.var(a - cross.mean(1), ddof=1) / 9 + 4 * np.var(b - cross.mean(0), ddof=1) / 7
    second = 2 * of_x / 72 + 2 * of_y / 42 + 4 * np.mean(centred**2) / 63
    assert 0 < second < first / 2
    assert kernel_distance(x, y).standard_error == pytest.approx(np.sqrt(first - second), rel=1e-10)
