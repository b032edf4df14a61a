"""Nearest training examples and spreads, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

from ganrun.evaluation.metrics import neighbours
from ganrun.evaluation.metrics.neighbours import nearest, nearest_rows, spread, to_float


def test_the_nearest_of_three_by_hand() -> None:
    training = np.array([[0.0, 0.0], [3.0, 4.0], [10.0, 0.0]], np.float32)
    rows = np.array([[3.0, 0.0], [9.0, 0.5]], np.float32)
    distance, largest = nearest(rows, training)
    np.testing.assert_allclose(distance, [3.0, np.hypot(1.0, 0.5)])
    np.testing.assert_allclose(largest, [3.0, 1.0])


@pytest.mark.parametrize("rows_per_block", [8192, 7, 0])
def test_it_is_what_all_pairs_give(rows_per_block, monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 4 * 5 * rows_per_block)
    rng = np.random.default_rng(0)
    rows, training = rng.normal(size=(20, 5)).astype(np.float32), rng.normal(size=(60, 5)).astype(np.float32)
    distances = cdist(rows, training)
    np.testing.assert_allclose(nearest(rows, training)[0], distances.min(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(nearest_rows(rows, training, 3), np.argsort(distances, axis=1)[:, :3])
    np.testing.assert_array_equal(nearest_rows(rows, training, 60), np.argsort(distances, axis=1))


def test_a_copy_is_at_no_distance_although_squares_cancel() -> None:
    training = np.full((4, 784), 0.99, np.float32)
    distance, largest = nearest(training[:1], training)
    assert distance[0] == 0.0 and largest[0] == 0.0


def test_bytes_stand_for_minus_one_to_one() -> None:
    np.testing.assert_allclose(to_float(np.array([[0, 255]], np.uint8)), [[-1.0, 1.0]])
    distance, _ = nearest(np.array([[-1.0, 0.5]], np.float32), np.array([[0, 255]], np.uint8))
    assert distance[0] == pytest.approx(0.5)


def test_the_spread_of_three_points_by_hand() -> None:
    assert spread(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])) == pytest.approx((5 + 5 + 0) / 3)


def test_the_spread_is_the_mean_of_all_pairs() -> None:
    rows = np.random.default_rng(1).normal(size=(40, 3))
    assert spread(rows) == pytest.approx(pdist(rows).mean())
