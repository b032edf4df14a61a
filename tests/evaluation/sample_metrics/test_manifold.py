"""Precision, recall, density and coverage against loops over pairs, closed forms and published values."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics import pairwise
from ganrun.evaluation.sample_metrics.manifold import expected_coverage, manifold

PUBLISHED = 0.4772, 0.4705, 1.0555, 0.9735  # precision, recall, density, coverage


def by_loops(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float, float, float]:
    def radius(rows):
        return [sorted(float(np.linalg.norm(x - y)) for y in rows)[k] for x in rows]  # the first is the example itself

    def inside(x, centres, radii):
        return sum(float(np.linalg.norm(x - c)) < r for c, r in zip(centres, radii, strict=True))

    real_radius, fake_radius = radius(real), radius(fake)
    counts = [inside(y, real, real_radius) for y in fake]
    recalled = [inside(x, fake, fake_radius) > 0 for x in real]
    covered = [any(float(np.linalg.norm(x - y)) < r for y in fake) for x, r in zip(real, real_radius, strict=True)]
    precision = np.mean([count > 0 for count in counts])
    return float(precision), float(np.mean(recalled)), float(np.mean(counts) / k), float(np.mean(covered))


@pytest.mark.parametrize("block_bytes", [1 << 28, 2000])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_it_is_what_loops_over_all_pairs_give(k, block_bytes, monkeypatch) -> None:
    monkeypatch.setattr(pairwise, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(k)
    real, fake = rng.normal(size=(60, 4)), rng.normal(0.7, 0.9, size=(45, 4))
    found = manifold(real, fake, k)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(by_loops(real, fake, k))
    assert (found.k, found.n_real, found.n_fake) == (k, 60, 45)


def test_points_on_a_line_by_hand() -> None:
    # Real 0, 1, 3 with k = 1: radii 1, 1, 2. Fake 0.5 and 10: radii 9.5.
    found = manifold(np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [10.0]]), k=1)
    assert found.precision == 0.5  # 0.5 is in the balls of 0 and 1; 10 in none
    assert found.density == 1.0  # (2 + 0) / 2
    assert found.coverage == pytest.approx(2 / 3)
    assert found.recall == 1.0


def test_copies_have_precision_and_coverage_one_and_an_example_at_the_radius_is_outside() -> None:
    # Each copy is in the ball of its original, and in those of examples of which it is one of the k - 1 nearest.
    rows = 1000 + np.random.default_rng(0).normal(size=(80, 7))
    found = manifold(rows, rows.copy(), k=5)
    assert (found.precision, found.recall, found.coverage) == (1.0, 1.0, 1.0)
    assert found.density == pytest.approx(1.0, abs=1e-12)


def test_distant_sets_have_nothing_in_common() -> None:
    rows = np.random.default_rng(1).normal(size=(50, 3))
    found = manifold(rows, rows + 100)
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_density_has_mean_one_and_coverage_its_closed_form_for_one_distribution() -> None:
    rng = np.random.default_rng(2)
    found = [manifold(rng.normal(size=(60, 2)), rng.normal(size=(40, 2)), k=3) for _ in range(300)]
    for name, expected in (("density", 1.0), ("coverage", expected_coverage(60, 40, 3))):
        values = [getattr(one, name) for one in found]
        assert abs(np.mean(values) - expected) < 4 * np.std(values) / np.sqrt(300)
    assert expected_coverage(10_000, 10_000, 5) == pytest.approx(1 - 2**-5, abs=1e-4)
    assert expected_coverage(2, 1, 1) == pytest.approx(
        0.5
    )  # of two others, the nearest is the fake one half of the time


@pytest.mark.parametrize(
    ("real", "fake", "k", "message"),
    [
        (np.ones((5, 2)), np.ones((9, 2)), 5, "k must be at least 1 and at most 4 for 5 real, 9 fake examples, not 5."),
        (np.ones((5, 2)), np.ones((9, 2)), 0, "k must be at least 1 and at most 4 for 5 real, 9 fake examples, not 0."),
        (np.ones((5, 2)), np.ones((9, 3)), 1, "The features must have the same dimension, not real 2, fake 3."),
        (np.ones((1, 2)), np.ones((9, 2)), 1, "The metric needs at least 2 real examples, not 1."),
        (np.ones(5), np.ones((9, 2)), 1, "The real features must be real numbers (n, d), not float64 (5,)."),
        (np.ones((5, 2)), np.full((9, 2), np.inf), 1, "The fake features contain NaN or Inf."),
    ],
)
def test_what_is_wrong_is_named(real, fake, k, message) -> None:
    with pytest.raises(ConfigError) as error:
        manifold(real, fake, k)
    assert str(error.value) == message


def waves(n: int, d: int, phase: float) -> np.ndarray:
    """Numbers that do not depend on a generator's stream."""
    i = np.arange(n * d).reshape(n, d)
    return np.sin(1.7 * i + phase) * np.cos(0.37 * i**1.3 + phase)


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (3, (0.9666666666666667, 0.9916666666666667, 0.8962962962962964, 0.7416666666666667)),
        (5, (1.0, 1.0, 0.9933333333333334, 0.925)),
    ],
)
def test_it_is_the_value_of_prdc(k, expected) -> None:
    # prdc 0.2: compute_prdc(real, fake, k), in the order precision, recall, density, coverage.
    found = manifold(waves(120, 6, 0.0), waves(90, 6, 0.4) + 0.1, k)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_two_normal_samples_of_ten_thousand_in_a_thousand_dimensions() -> None:
    # The page of prdc has PUBLISHED for other draws; the tolerances are about four standard deviations over seven
    # pairs. The closer values are those of prdc 0.2 for these draws, whose stream NumPy does not change.
    rng = np.random.RandomState(0)
    real, fake = (rng.standard_normal((10_000, 1000)) for _ in range(2))
    tracemalloc.start()
    found = manifold(real, fake, k=5)
    assert tracemalloc.get_traced_memory()[1] < 2 << 30
    tracemalloc.stop()
    values = found.precision, found.recall, found.density, found.coverage
    assert values == pytest.approx((0.491, 0.4746, 1.15124, 0.9799), abs=1e-6)
    for value, published, tolerance in zip(values, PUBLISHED, (0.05, 0.05, 0.25, 0.03), strict=True):
        assert abs(value - published) < tolerance
