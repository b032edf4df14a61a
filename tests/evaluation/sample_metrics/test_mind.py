"""The scaled sliced distance: shifts, scales, unequal sizes, and a published implementation."""

from __future__ import annotations

import numpy as np
import pytest

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.mind import mind


def waves(n: int, phase: float) -> np.ndarray:
    """Numbers that do not depend on a generator's stream."""
    i = np.arange(n)
    return (np.sin(1.7 * i + phase) * np.cos(0.37 * i**1.3 + phase))[:, None]


def test_a_shift_by_delta_gives_three_times_its_square() -> None:
    # All directions of an orthonormal basis together see the shift exactly.
    rows = np.random.default_rng(0).normal(size=(50, 4))
    delta = np.array([1.0, -2.0, 0.5, 0.0])
    assert mind(rows, rows[::-1] + delta, projections=8).value == pytest.approx(3 * 5.25, rel=1e-12)
    many = mind(rows, rows + delta, projections=401)  # the last group is not a basis
    assert many.value == pytest.approx(3 * 5.25, rel=0.02) and many.projections == 401


@pytest.mark.parametrize("d", [1, 3, 20])
def test_a_scale_gives_its_closed_form_in_any_dimension(d) -> None:
    # W2^2(X, sX) = (s - 1)^2 E X^2 for the quantiles of a projection, and this set has E X^2 = 1 along every direction.
    rows = np.vstack([np.eye(d), -np.eye(d)]) * np.sqrt(d)
    assert mind(rows, 1.5 * rows, projections=64).value == pytest.approx(3 * d * 0.25, rel=1e-12)


def test_standard_normal_samples_come_near_the_closed_form() -> None:
    rng = np.random.default_rng(1)
    found = mind(rng.normal(size=(20_000, 5)), 1.3 * rng.normal(size=(15_000, 5)), projections=50)
    assert found.value == pytest.approx(3 * 5 * 0.09, rel=0.05)


def test_unequal_sizes_by_hand() -> None:
    # Quantile functions 0, 1 (halves) and 0, 3, 3 (thirds): |0-0| on 1/3, |0-3| on 1/6, |1-3| on 1/2.
    found = mind(np.array([[0.0], [1.0]]), np.array([[3.0], [0.0], [3.0]]), projections=2)
    assert found.value == pytest.approx(3 * (9 / 6 + 4 / 2), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(6, 4), (7, 5), (8, 8), (3, 12)])
def test_unequal_sizes_are_those_of_repeated_examples(n, m) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(n, 2)), rng.normal(1, 2, size=(m, 2))
    common = np.lcm(n, m)
    repeated = mind(np.repeat(x, common // n, 0), np.repeat(y, common // m, 0), projections=10)
    assert mind(x, y, projections=10).value == pytest.approx(repeated.value, rel=1e-12)


def test_it_is_the_value_of_pot() -> None:
    # POT 0.9.7: 3 * ot.wasserstein_1d(x, y, p=2).
    assert mind(waves(120, 0.0), waves(90, 0.4) + 0.1, projections=2).value == pytest.approx(
        0.07571815837192739, rel=1e-10
    )


def test_its_standard_error_is_that_of_the_directions() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(40, 6)), rng.normal(size=(40, 6)) * np.array([3, 1, 1, 1, 1, 1])
    found = [mind(x, y, projections=2, seed=seed) for seed in range(400)]
    spread = np.std([one.value for one in found])
    whole = mind(x, y, projections=600)
    assert whole.standard_error <= spread * np.sqrt(2 / 600) * 1.25
    assert abs(whole.value - np.mean([one.value for one in found])) < 5 * spread / 20
    assert mind(x, y, projections=600) == whole and mind(x, y, projections=600, seed=1) != whole


def test_one_projection_has_no_standard_error() -> None:
    with pytest.raises(ConfigError) as error:
        mind(np.ones((3, 2)), np.ones((3, 2)), projections=1)
    assert str(error.value) == "projections must be at least 2, not 1."
