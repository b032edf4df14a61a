"""Nearest examples against a search through all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrun.evaluation.divergence.classifier.nearest import Nearest, z_order


@pytest.mark.parametrize("d", [1, 2, 3, 4])
@pytest.mark.parametrize("workers", [1, 2])
def test_nearest_examples_are_those_of_a_search_through_all(d, workers):
    rng = np.random.default_rng(d)
    x, rows = rng.standard_normal((300, d)), rng.standard_normal((40, d))
    distance, index = Nearest(x, workers=workers).query(rows, 7)
    every = np.linalg.norm(rows[:, None] - x, axis=2)
    np.testing.assert_allclose(distance, np.sort(every, axis=1)[:, :7])
    assert (index == np.argsort(every, axis=1)[:, :7]).all()
    ranked, _ = Nearest(x).query(rows, [1, 5])
    np.testing.assert_allclose(ranked, distance[:, [0, 4]])


def test_one_neighbour_is_a_column():
    distance, index = Nearest(np.array([[0.0], [3.0]])).query(np.array([[1.0], [2.5]]), 1)
    assert distance.tolist() == [[1.0], [0.5]] and index.tolist() == [[0], [1]]


def test_z_order_visits_quarter_by_quarter():
    rows = np.array([[1.0, 1.0], [0.0, 0.0], [0.9, 1.0], [0.0, 1.0], [1.0, 0.0], [0.1, 0.0]])
    assert z_order(rows).tolist() == [1, 5, 4, 3, 2, 0]


@given(st.integers(0, 50), st.integers(1, 4), st.integers(0, 9))
def test_z_order_is_a_permutation(n, d, seed):
    rows = np.random.default_rng(seed).choice([0.0, 1.0, 1e300, -1e-300], (n, d))
    assert sorted(z_order(rows)) == list(range(n))
