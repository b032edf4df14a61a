"""The kernel distance against double loops, its unbiasedness, and the order of its kernel's moments."""

from __future__ import annotations

import numpy as np
import pytest

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics import pairwise
from ganrun.evaluation.sample_metrics.kernel import kernel_distance, kernel_distance_of_subsets


def by_loops(real: np.ndarray, fake: np.ndarray) -> float:
    def k(x, y):
        return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def within(rows):
        pairs = [k(rows[i], rows[j]) for i in range(len(rows)) for j in range(len(rows)) if i != j]
        return sum(pairs) / len(pairs)

    return within(real) + within(fake) - 2 * sum(k(x, y) for x in real for y in fake) / (len(real) * len(fake))


@pytest.mark.parametrize("block_bytes", [1 << 28, 200])
def test_it_is_the_sum_over_all_pairs(block_bytes, monkeypatch) -> None:
    monkeypatch.setattr(pairwise, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(12, 3)), rng.normal(0.5, 1.2, size=(9, 3))
    assert kernel_distance(real, fake).value == pytest.approx(by_loops(real, fake), rel=1e-12)


def test_two_pairs_of_numbers_by_hand() -> None:
    # k(1, 1') = 8 within the real set, k(0, 0') = 1 within the fake one, and k = 1 between them: 8 + 1 - 2.
    assert kernel_distance(np.ones((2, 1)), np.zeros((2, 1))).value == pytest.approx(7.0, abs=1e-12)


def test_it_has_mean_zero_for_one_distribution_and_the_mean_of_the_moments_for_a_shift() -> None:
    # In one dimension (xy + 1)^3 gives 3 dm1^2 + 3 dm2^2 + dm3^2 for the differences of the raw moments: of N(1, 1) and
    # N(0, 1), 1, 1 and 4 give 22.
    rng = np.random.default_rng(1)
    same = [kernel_distance(rng.normal(size=(30, 1)), rng.normal(size=(20, 1))).value for _ in range(400)]
    shifted = [kernel_distance(rng.normal(1, 1, (40, 1)), rng.normal(size=(60, 1))).value for _ in range(400)]
    assert abs(np.mean(same)) < 4 * np.std(same) / 20 and min(same) < 0
    assert abs(np.mean(shifted) - 22) < 4 * np.std(shifted) / 20


def test_its_standard_error_is_the_spread_over_data_sets() -> None:
    rng = np.random.default_rng(2)
    found = [kernel_distance(rng.normal(0.5, 1, (200, 4)), rng.normal(size=(150, 4))) for _ in range(300)]
    spread = np.std([one.value for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.15)


def test_subsets_have_the_same_mean_and_a_subset_of_everything_is_everything() -> None:
    rng = np.random.default_rng(3)
    real, fake = rng.normal(size=(300, 2)), rng.normal(0.3, 1, (300, 2))
    whole = kernel_distance(real, fake)
    parts = kernel_distance_of_subsets(real, fake, subsets=200, subset_size=60)
    assert abs(parts.value - whole.value) < 4 * parts.standard_error
    assert parts.standard_error == pytest.approx(parts.standard_deviation / np.sqrt(200))
    everything = kernel_distance_of_subsets(real, fake, subsets=2, subset_size=300)
    assert everything.value == pytest.approx(whole.value) and everything.standard_error < 1e-12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"subset_size": 11}, "subset_size must be at least 2 and at most 10, not 11: 10 real and 20 fake examples."),
        ({"subset_size": 10, "subsets": 1}, "subsets must be at least 2, not 1."),
    ],
)
def test_impossible_subsets_are_named(words, message) -> None:
    with pytest.raises(ConfigError) as error:
        kernel_distance_of_subsets(np.ones((10, 2)), np.ones((20, 2)), **words)
    assert str(error.value) == message
