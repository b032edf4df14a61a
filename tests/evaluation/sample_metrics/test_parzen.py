"""The Parzen window log-likelihood against densities by loops, and the choice of its standard deviation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics import pairwise
from ganrun.evaluation.sample_metrics.parzen import SIGMAS, parzen


def by_loops(samples: np.ndarray, rows: np.ndarray, sigma: float) -> list[float]:
    return [math.log(np.mean([np.prod(stats.norm.pdf(row, sample, sigma)) for sample in samples])) for row in rows]


@pytest.mark.parametrize("block_bytes", [100, 1 << 28])
def test_it_is_the_mean_of_densities_at_the_best_standard_deviation(block_bytes, monkeypatch) -> None:
    monkeypatch.setattr(pairwise, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(0)
    samples, validation, test = rng.normal(size=(15, 2)), rng.normal(size=(8, 2)), rng.normal(size=(10, 2))
    sigmas = (0.2, 0.5, 0.8, 3.0)
    means = [np.mean(by_loops(samples, validation, sigma)) for sigma in sigmas]
    found = parzen(samples, validation, test, sigmas)
    assert found.validation_means == pytest.approx(means, rel=1e-10)
    assert found.sigma == sigmas[int(np.argmax(means))] and not found.is_at_edge
    values = by_loops(samples, test, found.sigma)
    assert found.mean == pytest.approx(np.mean(values), rel=1e-10)
    assert found.standard_error == pytest.approx(np.std(values) / np.sqrt(10), rel=1e-9)


def test_one_sample_and_one_test_example_by_hand() -> None:
    # Distance 2 in two dimensions with sigma 1: -4/2 - log 2 pi.
    found = parzen(np.zeros((1, 2)), np.ones((1, 2)), np.array([[2.0, 0.0]]), [1.0])
    assert found.mean == pytest.approx(-2 - math.log(2 * math.pi)) and found.standard_error == 0
    assert found.sigma == 1.0 and not found.is_at_edge


def test_784_pixels_neither_overflow_nor_vanish() -> None:
    rng = np.random.default_rng(1)
    samples, test = rng.uniform(size=(50, 784)), rng.uniform(size=(5, 784))
    found = parzen(samples, samples, test, [1e-3, 2e-3])
    assert math.isfinite(found.mean) and found.mean < -1e7
    assert parzen(samples, test, test, [1e-3, 2e-3, 3e-3]).is_at_edge  # others, for the widest
    assert found.is_at_edge and found.sigma == 1e-3  # validation examples that are samples ask for a window of width 0


def test_the_grid_of_the_paper_finds_the_width_of_a_normal_distribution() -> None:
    # The best of ten widths from 0.1 to 1 is the one that maximises the expected log-density of a single window.
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.4, (4000, 3))
    found = parzen(np.zeros((1, 3)), noise, noise, SIGMAS)
    expected = [-0.5 * 0.16 / sigma**2 - math.log(sigma) for sigma in np.logspace(-1, 0, 10)]
    assert found.sigma == pytest.approx(np.logspace(-1, 0, 10)[int(np.argmax(expected))])


@pytest.mark.parametrize("sigmas", [[], [0.0, 1.0], [1.0, 0.5], [0.1, float("nan")], [[0.1]]])
def test_other_standard_deviations_are_refused(sigmas) -> None:
    with pytest.raises(ConfigError, match="sigmas must be positive and increasing, not"):
        parzen(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)), sigmas)
