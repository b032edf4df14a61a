"""The Vendi score: its extremes, and the eigenvalues of the whole kernel matrix."""

from __future__ import annotations

import numpy as np
import pytest

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.vendi import vendi


def test_identical_rows_are_one_and_orthonormal_rows_are_all_different() -> None:
    assert vendi(np.tile([3.0, 4.0], (7, 1))) == pytest.approx(1.0, abs=1e-12)
    assert vendi(np.eye(9)) == pytest.approx(9.0, rel=1e-12)
    assert vendi(np.hstack([5 * np.eye(4), np.zeros((4, 30))])) == pytest.approx(4.0, rel=1e-12)


def test_groups_count_by_the_entropy_of_their_sizes() -> None:
    # Two orthogonal directions with shares 3/4 and 1/4.
    rows = np.array([[1.0, 0], [2, 0], [3, 0], [0, 1]])
    assert vendi(rows) == pytest.approx(np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25)), rel=1e-12)


def test_the_angle_of_two_rows_by_hand() -> None:
    # Cosine 1/2: eigenvalues of K / 2 are 3/4 and 1/4.
    rows = np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)]])
    assert vendi(rows) == pytest.approx(np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25)), rel=1e-12)


@pytest.mark.parametrize(("n", "d"), [(30, 5), (5, 30), (12, 12)])
def test_it_is_the_entropy_of_the_whole_kernel_matrix(n, d) -> None:
    rows = np.random.default_rng(n).normal(0.3, 1, (n, d))
    kernel = np.array([[x @ y / np.sqrt((x @ x) * (y @ y)) for y in rows] for x in rows])
    values = np.linalg.eigvalsh(kernel / n)
    values = values[values > 1e-14]
    assert vendi(rows) == pytest.approx(np.exp(-np.sum(values * np.log(values))), rel=1e-9)
    assert 1 <= vendi(rows) <= min(n, d)


def test_a_row_of_zeros_has_no_direction() -> None:
    with pytest.raises(ConfigError) as error:
        vendi(np.array([[0.0, 0.0], [1.0, 0.0]]))
    assert str(error.value) == "The cosine kernel needs rows other than 0; 1 of 2 rows are 0."
