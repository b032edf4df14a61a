"""The Fréchet distance against closed forms and a matrix square root."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.frechet import frechet, frechet_of_moments


def by_matrix_root(real: np.ndarray, fake: np.ndarray) -> float:
    one, two = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = linalg.sqrtm(one @ two)
    return float(((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(one + two - 2 * np.real(root)))


def test_it_is_that_of_the_matrix_root() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(300, 6)) @ rng.normal(size=(6, 6)) + 1
    fake = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))
    found = frechet(real, fake)
    assert found.value == pytest.approx(by_matrix_root(real, fake), rel=1e-9)
    assert found.mean_term == pytest.approx(((real.mean(0) - fake.mean(0)) ** 2).sum())
    assert found.value == found.mean_term + found.covariance_term and not found.is_below_dimension
    moments = frechet_of_moments(real.mean(0), np.cov(real.T), fake.mean(0), np.cov(fake.T))
    assert moments.value == pytest.approx(found.value, rel=1e-9) and not moments.is_below_dimension


def test_known_gaussians() -> None:
    # Commuting covariances: |mu|^2 + sum (sigma_1 - sigma_2)^2 = 9 + 16 + 1 + 4.
    found = frechet_of_moments(np.array([3.0, 4.0]), np.diag([4.0, 9.0]), np.zeros(2), np.diag([1.0, 1.0]))
    assert found.value == pytest.approx(9 + 16 + 1 + 4)
    # Correlations +r and -r with unit variances: S_1 S_2 = (1 - r^2) I, so 4 - 4 sqrt(1 - r^2).
    one, two = np.array([[1, 0.6], [0.6, 1]]), np.array([[1, -0.6], [-0.6, 1]])
    assert frechet_of_moments(np.zeros(2), one, np.zeros(2), two).value == pytest.approx(4 - 4 * 0.8)


def test_one_dimension_by_hand_divides_by_n_minus_one() -> None:
    # Means 1 and 0, variances 2 and 8: 1 + (sqrt 2 - sqrt 8)^2 = 3.
    assert frechet(np.array([[0.0], [2.0]]), np.array([[-2.0], [2.0]])).value == pytest.approx(3.0)


@pytest.mark.parametrize("n", [5, 20, 21])
def test_equal_sets_have_distance_zero_and_a_shift_its_square_below_and_above_the_dimension(n) -> None:
    rows = 100 * np.random.default_rng(1).normal(size=(n, 20))
    assert frechet(rows, rows[::-1]).value < 1e-8
    shifted = frechet(rows, rows + 2.0)
    assert shifted.value == pytest.approx(80.0, abs=1e-7)
    assert shifted.is_below_dimension == (n <= 20)


def test_singular_covariances_agree_with_those_of_more_columns() -> None:
    # Columns of zeros add nothing, but make n <= d.
    rng = np.random.default_rng(2)
    real, fake = rng.normal(size=(30, 4)), rng.normal(1, 2, size=(25, 4))
    wide = [np.hstack([rows, np.zeros((len(rows), 30))]) for rows in (real, fake)]
    assert frechet(*wide).is_below_dimension
    assert frechet(*wide).value == pytest.approx(frechet(real, fake).value, rel=1e-10)
    assert frechet(wide[0], np.hstack([np.repeat(fake, 2, 0), np.zeros((50, 30))])).is_below_dimension


def test_it_is_biased_below_the_dimension() -> None:
    rng = np.random.default_rng(3)
    small, large = (frechet(rng.normal(size=(n, 32)), rng.normal(size=(n, 32))).value for n in (24, 2000))
    assert small > 20 * large


@pytest.mark.parametrize(
    ("moments", "message"),
    [
        ((np.zeros(2), np.eye(3), np.zeros(2), np.eye(2)), "Two means (d,) and two covariances (d, d) are needed"),
        ((np.zeros(2), np.eye(2), np.zeros(2), np.full((2, 2), np.nan)), "contain NaN or Inf"),
        ((np.zeros(2), np.eye(2), np.zeros(2), np.array([[1.0, 1.0], [0.0, 1.0]])), "must be symmetric"),
        ((np.zeros(2), np.eye(2), np.zeros(2), np.diag([1.0, -1.0])), "the smallest is -1."),
    ],
)
def test_moments_that_are_none_are_refused(moments, message) -> None:
    with pytest.raises(ConfigError) as error:
        frechet_of_moments(*moments)
    assert message in str(error.value)
