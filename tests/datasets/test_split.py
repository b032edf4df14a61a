"""Examples are held out by their content alone."""

import hashlib

import numpy as np
import pytest

from ganrun.datasets.split import held_out_rows, is_held_out, rank_of


def test_the_rank_is_the_first_eight_bytes_of_a_hash():
    assert rank_of(b"abc") == int(hashlib.blake2b(b"abc", digest_size=8).hexdigest(), 16)
    assert is_held_out(2**62, 0.25 + 1e-9) and not is_held_out(2**62, 0.25)


def test_about_the_share_is_held_out_whatever_the_order():
    rows = np.random.default_rng(0).integers(0, 256, (4000, 8), np.uint8)
    mask = held_out_rows(rows, 0.25)
    # A standard deviation of sqrt(4000 * 0.25 * 0.75) = 27.
    assert abs(int(mask.sum()) - 1000) < 5 * 27
    order = np.random.default_rng(1).permutation(len(rows))
    np.testing.assert_array_equal(held_out_rows(rows[order], 0.25), mask[order])
    np.testing.assert_array_equal(held_out_rows(rows[:100], 0.25), mask[:100])


def test_copies_are_in_the_same_split():
    rows = np.random.default_rng(0).integers(0, 256, (50, 8), np.uint8)
    mask = held_out_rows(np.concatenate([rows, rows]), 0.5)
    np.testing.assert_array_equal(mask[:50], mask[50:])


@pytest.mark.parametrize(("share", "held"), [(1e-12, 1), (1 - 1e-12, 2)])
def test_neither_split_is_empty(share, held):
    assert held_out_rows(np.array([[1], [2], [3]], np.uint8), share).sum() == held
