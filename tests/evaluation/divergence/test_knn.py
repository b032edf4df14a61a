"""Divergence from the distances of nearest neighbours: known pairs and invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrun.evaluation.divergence import knn
from ganrun.evaluation.divergence.estimate import LOG_2


def pair(seed: int, mean: float = 1.0, n: int = 500, d: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=(2, n, d))
    fake[:, 0] += mean
    return real, fake


@pytest.mark.parametrize(("mean", "truth"), [(0.0, 0.0), (1.0, 0.1114), (4.0, 0.6327)])
def test_two_gaussians(mean, truth):
    found = [knn.estimate(*pair(seed, mean, n=4000)) for seed in range(12)]
    values = [one.estimate for one in found]
    assert np.mean(values) == pytest.approx(truth, abs=0.008)  # bias .003, standard error of the mean .002
    assert abs(values[0] - truth) < 3.5 * found[0].se + 0.004
    assert np.std(values) < 1.6 * found[0].se
    assert found[0].lower is None
    assert (found[0].estimator, found[0].n, found[0].d) == ("knn", 4000, 1)


def test_two_dimensions():
    found = knn.estimate(*pair(0, n=4000, d=2))
    assert found.estimate == pytest.approx(0.1114, abs=3.5 * found.se + 0.005)


def test_nothing_in_common():
    found = knn.estimate(*pair(0, mean=100.0, n=2000))
    assert found.estimate == pytest.approx(LOG_2, abs=0.001)


def test_by_hand():
    """Far apart, an example's fifth neighbour is the same with and without the other side: log (2 n - 1) / (n - 1)."""
    found = knn.estimate(*pair(0, mean=1e4, n=10))
    assert found.estimate == pytest.approx(np.log(19 / 9), abs=1e-6)
    assert found.se == pytest.approx(0, abs=1e-6)


def test_against_all_distances():
    """The fifth neighbour of each of twenty examples a side, found by looking at all of them."""
    real, fake = pair(0, n=20)
    see = knn.Coordinates.fit(np.concatenate([real, fake]))
    x = see(np.concatenate([real, fake]))[:, 0]
    distance = np.abs(x[:, None] - x)
    own = np.concatenate([np.sort(distance[:20, :20], axis=1), np.sort(distance[20:, 20:], axis=1)])[:, 5]
    mixed = np.sort(distance, axis=1)[:, 5]
    terms = np.log(39 / 19) + np.log(mixed / own)
    found = knn.estimate(real, fake)
    assert found.estimate == pytest.approx(np.mean(terms), abs=1e-6)
    # The mean of two means of twenty, each with the variance of twenty over twenty.
    squares = [np.sum((side - side.mean()) ** 2) / 19 for side in (terms[:20], terms[20:])]
    assert found.se == pytest.approx(np.sqrt(sum(squares) / 20) / 2, rel=1e-5)


def test_the_same_ring_and_disjoint_segments_have_no_bound():
    """Estimate - 1.645 se lay above the truth in most trials on these: 0 and log 2."""
    rng = np.random.default_rng(0)
    angle = 2 * np.pi * rng.integers(8, size=(2, 1000)) / 8
    rings = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=-1) + 0.02 * rng.standard_normal((2, 1000, 2))
    height = rng.uniform(size=(2, 1000))
    segments = np.stack([np.stack([np.full(1000, 0.001 * i), height[i]], axis=1) for i in (0, 1)])
    for pair_of, truth in ((rings, 0.0), (segments, LOG_2)):
        found = knn.estimate(*pair_of)
        assert found.lower is None
        assert found.estimate == pytest.approx(truth, abs=0.03)


@pytest.mark.parametrize("shared", [False, True])
def test_repeated_examples(shared):
    """Thirty times the same hundred points: no distance is zero, and no logarithm infinite."""
    rng = np.random.default_rng(0)
    real = np.repeat(rng.normal(size=(100, 2)), 30, axis=0)
    fake = real.copy() if shared else np.repeat(rng.normal(size=(100, 2)), 30, axis=0)
    found = knn.estimate(real, fake)
    assert found.estimate == pytest.approx(0 if shared else LOG_2, abs=0.1)
    assert np.isfinite(found.se)


def test_one_point_against_another():
    found = knn.estimate(np.zeros((100, 1)), np.ones((100, 1)))
    assert found.estimate == pytest.approx(LOG_2, abs=0.01)


@settings(deadline=None, max_examples=15)
@given(st.floats(-8, 8), st.floats(-1e3, 1e3), st.booleans())
def test_units_do_not_matter(log_scale, offset, mirrored):
    scale = (-1) ** mirrored * 10**log_scale
    real, fake = pair(0)
    assert knn.estimate(scale * (real + offset), scale * (fake + offset)).estimate == pytest.approx(
        knn.estimate(real, fake).estimate, abs=1e-4
    )


def test_axes_of_different_units():
    real, fake = pair(0, d=2)
    plain = knn.estimate(real, fake).estimate
    assert knn.estimate(real * [1e-3, 1e6], fake * [1e-3, 1e6]).estimate == pytest.approx(plain, abs=1e-4)


def test_sides_swapped():
    real, fake = pair(0)
    assert knn.estimate(real, fake).estimate == pytest.approx(knn.estimate(fake, real).estimate, abs=1e-6)


def test_the_longer_side_is_cut_to_the_shorter():
    real, fake = pair(0, n=4000)
    found = knn.estimate(real, fake[:1000])
    assert found.n == 1000
    assert found.estimate == pytest.approx(0.1114, abs=3.5 * found.se + 0.005)


def test_heavy_tails():
    rng = np.random.default_rng(0)
    found = knn.estimate(rng.standard_cauchy((4000, 1)), 2 * rng.standard_cauchy((4000, 1)))
    assert found.estimate == pytest.approx(0.0290, abs=3.5 * found.se + 0.003)
