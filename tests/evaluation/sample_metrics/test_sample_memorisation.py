"""Authenticity, distance ratios and the test for copies: by hand, by loops, and on planted copies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.memorisation import authenticity, copy_test, nearest_distances

D = 8


def draws(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, D))


def test_copies_are_not_authentic() -> None:
    training = 1000 + draws(60, 0)
    found = authenticity(training[::-1].copy(), training)
    assert found.percent == 0.0 and not found.is_authentic.any()
    assert authenticity(training + 100, training).percent == 100.0


def test_authenticity_by_hand() -> None:
    # Training 0, 1, 10: their nearest are at 1, 1, 9. Samples 0.4 (0.4 from 0), 2.5 (1.5 from 1), 14 (4 from 10).
    found = authenticity(np.array([[0.4], [2.5], [14.0]]), np.array([[0.0], [1.0], [10.0]]))
    assert found.is_authentic.tolist() == [False, True, False]
    assert found.percent == pytest.approx(100 / 3)


def test_a_copy_of_a_duplicate_is_not_authentic_and_a_sample_beside_it_is() -> None:
    training = np.array([[0.0], [0.0], [5.0]])
    assert authenticity(np.array([[0.0], [0.1]]), training).is_authentic.tolist() == [False, True]


def test_authenticity_is_what_loops_over_all_pairs_give() -> None:
    samples, training = draws(40, 1), draws(70, 2)
    to_training, within = cdist(samples, training), cdist(training, training)
    np.fill_diagonal(within, np.inf)
    expected = [row.min() > within[row.argmin()].min() for row in to_training]
    found = authenticity(samples, training)
    assert found.is_authentic.tolist() == expected and 0 < found.percent < 100


def test_distance_ratios_by_hand() -> None:
    training = np.array([[0.0], [3.0], [9.0], [9.0]])
    found = nearest_distances(np.array([[1.0], [3.0], [9.0]]), np.array([[4.0], [2.0]]), training)
    assert found.ratios.tolist() == pytest.approx([1 / 2, 0, 0])
    assert found.held_out_ratios.tolist() == pytest.approx([1 / 4, 1 / 2])
    assert found.median_ratio == 0.0  # medians 0 and 1
    assert np.isnan(nearest_distances(training, training, training).median_ratio)


def test_the_p_value_by_hand() -> None:
    # 16 ratios, 8 of each, and all samples are copies: the tail of 8 has all of them, 1 / C(16, 8) of the arrangements.
    training = draws(50, 3)
    found = copy_test(training[:8], draws(8, 4), training)
    assert (found.tail, found.samples_in_tail, found.below_held_out) == (8, 8, 8)
    assert found.p_value == pytest.approx(1 / 12870)


def test_the_p_value_counts_the_tails_that_were_tried() -> None:
    # 10 copies of 100 among 100 held-out examples: all of the first 8; tails 8, 16, 32 and 64 are tried.
    training = draws(500, 5)
    samples = np.vstack([training[:10], 30 + draws(90, 6)])  # the others are near no single training example
    found = copy_test(samples, draws(100, 7), training)
    assert found.tail == 8 and found.below_held_out == 10
    assert found.p_value == pytest.approx(4 * stats.hypergeom.pmf(8, 200, 100, 8))


def test_equal_ratios_count_for_the_hypothesis() -> None:
    training = draws(50, 8)
    found = copy_test(training[:20], training[20:40], training)
    assert found.p_value == 1.0 and found.below_held_out == 0


def test_it_rejects_no_more_often_than_its_level_for_new_examples() -> None:
    training = draws(300, 9)
    p_values = np.array([copy_test(draws(60, 100 + i), draws(80, 9000 + i), training).p_value for i in range(300)])
    assert (p_values <= 0.1).mean() <= 0.1 + 3 * np.sqrt(0.09 / 300)


@pytest.mark.parametrize(("copies", "noise"), [(25, 0.0), (25, 0.1), (12, 0.0)])
def test_planted_copies_are_detected(copies, noise) -> None:
    detected = 0
    for i in range(20):
        training, held_out, samples = draws(800, 3 * i), draws(400, 3 * i + 1), draws(400, 3 * i + 2)
        samples[:copies] = training[:copies] + noise * samples[:copies]
        detected += copy_test(samples, held_out, training).p_value < 0.05
    assert detected >= 19


def test_the_order_of_the_samples_does_not_matter() -> None:
    training, held_out, samples = draws(200, 10), draws(50, 11), draws(70, 12)
    found = copy_test(samples, held_out, training)
    assert copy_test(samples[::-1], held_out[::-1], training[::-1]) == found


def test_few_examples_cannot_be_tested() -> None:
    with pytest.raises(ConfigError) as error:
        copy_test(draws(8, 0), draws(7, 1), draws(9, 2))
    assert str(error.value) == "The test needs at least 16 samples and held-out examples, not 15."
    with pytest.raises(ConfigError, match="at least 2 training examples, not 1"):
        authenticity(draws(8, 0), draws(1, 2))
