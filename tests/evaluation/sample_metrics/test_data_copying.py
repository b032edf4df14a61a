"""The data-copying statistic against a Mann-Whitney test per cell, copies, and samples that are too far."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.data_copying import data_copying

CENTRES = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]])


def clusters(counts: tuple[int, int, int], seed: int) -> np.ndarray:
    rows = np.repeat(CENTRES, counts, axis=0)
    return rows + np.random.default_rng(seed).normal(size=rows.shape)


def test_it_is_the_weighted_mean_of_mann_whitney_scores_over_clusters() -> None:
    samples, held_out, training = clusters((60, 30, 40), 0), clusters((50, 40, 10), 1), clusters((90, 90, 90), 2)
    found = data_copying(samples, held_out, training, cells=3)
    total, weights = 0.0, []
    for centre, n, h in zip(CENTRES, (60, 30, 40), (50, 40, 10), strict=True):
        near = [
            cdist(rows[np.linalg.norm(rows - centre, axis=1) < 25], training).min(axis=1)
            for rows in (samples, held_out)
        ]
        u = stats.mannwhitneyu(near[0], near[1]).statistic
        total += h / 100 * (u - n * h / 2) / np.sqrt(n * h * (n + h + 1) / 12)
        weights.append(h / 100)
    assert found.value == pytest.approx(total, rel=1e-10)
    assert sorted(found.weights) == pytest.approx(sorted(weights))
    assert found.p_value == pytest.approx(stats.norm.cdf(total / np.sqrt(0.25 + 0.16 + 0.01)))


def test_one_cell_by_hand() -> None:
    # Distances 1, 2 of samples and 3 of the held-out example: U = 0, n h / 2 = 1, variance 2 * 4 / 12.
    found = data_copying(np.array([[1.0], [2.0]]), np.array([[3.0]]), np.zeros((1, 1)), cells=1, minimum=1)
    assert found.value == pytest.approx(-1 / np.sqrt(8 / 12))
    tied = data_copying(np.array([[3.0], [-3.0]]), np.array([[3.0]]), np.zeros((1, 1)), cells=1, minimum=1)
    assert tied.value == 0.0 and tied.p_value == 0.5


def test_copies_are_far_below_zero_and_noise_far_above() -> None:
    held_out, training = clusters((100, 100, 100), 3), clusters((200, 200, 200), 4)
    copies = data_copying(training[::2], held_out, training)
    noise = data_copying(
        clusters((100, 100, 100), 5) + np.random.default_rng(6).normal(0, 3, (300, 2)), held_out, training
    )
    assert copies.value < -8 and copies.p_value < 1e-15
    assert noise.value > 5 and noise.p_value > 0.999


def test_its_p_value_is_uniform_for_new_examples() -> None:
    training = clusters((70, 70, 70), 7)
    p_values = [
        data_copying(clusters((40, 40, 40), 100 + i), clusters((40, 40, 40), 9000 + i), training).p_value
        for i in range(200)
    ]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_a_cell_with_too_few_samples_is_left_out() -> None:
    samples, held_out, training = clusters((60, 19, 40), 8), clusters((50, 40, 10), 9), clusters((90, 90, 90), 10)
    found = data_copying(samples, held_out, training, cells=3)
    missing = np.isnan(found.z_scores)
    assert missing.sum() == 1 and found.weights[missing] == pytest.approx(0.4)
    assert found.value == pytest.approx(np.nansum(found.z_scores * found.weights) / 0.6)
    enough = data_copying(clusters((60, 20, 40), 8), held_out, training, cells=3)
    assert not np.isnan(enough.z_scores).any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"cells": 0}, "cells must be at least 1 and at most 30, not 0."),
        ({"cells": 31}, "cells must be at least 1 and at most 30, not 31."),
        ({"minimum": 31}, "Each of 3 cells has fewer than 31 of 30 samples; use fewer cells."),
    ],
)
def test_impossible_cells_are_named(words, message) -> None:
    rows = clusters((10, 10, 10), 11)
    with pytest.raises(ConfigError) as error:
        data_copying(rows, rows, rows, **words)
    assert str(error.value) == message


def test_cells_are_those_of_the_best_of_k_means_and_equal_rows_are_one_cell() -> None:
    held_out = clusters((30, 20, 50), 12)
    found = data_copying(held_out, held_out, held_out, cells=3)
    assert sorted(found.weights) == pytest.approx([0.2, 0.3, 0.5])
    equal = data_copying(np.ones((30, 2)), np.ones((30, 2)), np.zeros((5, 2)), cells=3)
    assert sorted(equal.weights) == [0, 0, 1] and equal.value == 0.0
