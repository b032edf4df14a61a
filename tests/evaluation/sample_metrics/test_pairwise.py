"""Blocks of distances and nearest neighbours against all pairs at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics import pairwise
from ganrun.evaluation.sample_metrics.pairwise import (
    check_features,
    nearest_neighbours,
    row_blocks,
    squared_distances,
)


@pytest.mark.parametrize("block_bytes", [1, 500, 1 << 28])
def test_blocks_together_are_all_pairs(block_bytes, monkeypatch) -> None:
    monkeypatch.setattr(pairwise, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(0)
    x, y = rng.normal(50, 1, (23, 5)), rng.normal(50, 1, (17, 5))
    found = np.full((23, 17), np.nan)
    for rows, square, rounding in squared_distances(x, y):
        found[rows] = square
        assert (np.abs(square - cdist(x[rows], y, "sqeuclidean")) <= rounding).all()
    np.testing.assert_allclose(found, cdist(x, y) ** 2, rtol=1e-10)


def test_a_block_is_as_large_as_its_limit_allows(monkeypatch) -> None:
    monkeypatch.setattr(pairwise, "BLOCK_BYTES", 800)
    assert list(row_blocks(25, 10)) == [slice(0, 10), slice(10, 20), slice(20, 25)]
    assert [part.stop for part in row_blocks(3, 1000)] == [1, 2, 3]  # never less than a row


@pytest.mark.parametrize("k", [1, 2, 6])
@pytest.mark.parametrize("block_bytes", [300, 1 << 28])
def test_neighbours_are_the_first_of_all_in_order(k, block_bytes, monkeypatch) -> None:
    monkeypatch.setattr(pairwise, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(400, 3))
    distances, indices = nearest_neighbours(x, y, k)
    every = cdist(x, y)
    np.testing.assert_array_equal(indices, every.argsort(axis=1)[:, :k])
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :k], rtol=1e-12)
    own, index = nearest_neighbours(x, x, k, same=True)
    np.testing.assert_allclose(own, np.sort(cdist(x, x), axis=1)[:, 1 : k + 1], rtol=1e-12)
    assert not (index == np.arange(30)[:, None]).any()


@pytest.mark.parametrize("k", [5, 31, 299])
def test_neighbours_within_a_set_are_those_of_all_pairs_for_few_and_many_neighbours_and_several_blocks(k) -> None:
    rows = np.random.default_rng(4).normal(size=(600, 2))  # blocks of 256 rows and of 88
    found, indices = nearest_neighbours(rows, rows, k, same=True)
    every = cdist(rows, rows)
    np.testing.assert_allclose(found, np.sort(every, axis=1)[:, 1 : k + 1], rtol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(every, indices, axis=1), found, rtol=1e-12)
    np.testing.assert_array_equal(np.sort(indices, axis=1)[:, 1:] > np.sort(indices, axis=1)[:, :-1], True)


def test_the_upper_half_of_a_symmetric_matrix_has_each_pair_once(monkeypatch) -> None:
    monkeypatch.setattr(pairwise, "SMALLEST_BLOCK", 3)
    rows = np.random.default_rng(5).normal(size=(40, 3))
    seen = np.zeros((40, 40), int)
    for part, square, rounding in squared_distances(rows, rows, upper=True):
        expected = cdist(rows[part], rows[part.start :], "sqeuclidean")
        assert (np.abs(square - expected) <= rounding).all() and len(square) == 4
        seen[part, part.start :] += 1
    # Pairs within a block of 4 rows are there in both orders.
    assert (np.triu(seen) == np.triu(np.ones((40, 40), int))).all() and seen.sum() == 820 + 10 * 6


def test_a_copy_far_from_the_origin_is_at_distance_zero() -> None:
    rows = 1e6 + np.random.default_rng(2).normal(size=(40, 8))
    distances, indices = nearest_neighbours(rows[::-1].copy(), rows)
    assert (distances == 0).all()
    np.testing.assert_array_equal(indices[:, 0], np.arange(40)[::-1])


@pytest.mark.parametrize("rows", [np.ones((3, 2), complex), np.ones((3, 0)), np.ones((2, 2, 2)), np.array([["a"]])])
def test_other_arrays_are_no_features(rows) -> None:
    with pytest.raises(ConfigError, match=r"must be real numbers \(n, d\)"):
        check_features(rows, "real")


def test_bytes_and_single_precision_become_double() -> None:
    found = check_features(np.array([[0, 255]], np.uint8), "real")
    assert found.dtype == np.float64 and found.tolist() == [[0.0, 255.0]]
