"""The coordinates in which classifiers see both samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrun.evaluation.divergence.coordinates import KNEE, MAX, Coordinates


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def see(x: np.ndarray) -> np.ndarray:
    return Coordinates.fit(x)(x)


def covariance(x: np.ndarray) -> np.ndarray:
    return np.cov(x.T).reshape(x.shape[1], x.shape[1])


@pytest.mark.parametrize("d", [1, 2, 7])
def test_unit_variance_and_uncorrelated(rng, d):
    x = rng.normal(size=(500, d)) @ rng.normal(size=(d, d)) * 10.0 ** rng.uniform(-6, 6, d) + rng.normal(size=d)
    assert see(x).mean(axis=0) == pytest.approx(np.zeros(d), abs=1e-6)
    assert covariance(see(x)) == pytest.approx(np.eye(d), abs=1e-6)


@pytest.mark.parametrize("correlation", [0.99, 0.999999])
def test_nearly_parallel_columns(rng, correlation):
    x = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], 2000)
    seen = see(x)
    assert covariance(seen) == pytest.approx(np.eye(2), abs=1e-6)
    # The thin direction is one of the coordinates, undistorted where the data are.
    thin = np.abs(np.corrcoef(np.c_[seen, x[:, 0] - x[:, 1]].T)[2, :2])
    assert thin.max() > 0.9


def test_parallel_columns(rng):
    x = rng.normal(size=(500, 1)) * np.array([1.0, 2.0, -0.5])
    seen = see(x)
    assert np.isfinite(seen).all()
    assert seen[:, 0].std() == pytest.approx(1, abs=0.01)
    assert np.abs(seen[:, 1:]).max() < 1e-3  # nothing is left, and rounding is not blown up


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["normal", "standard_cauchy", "exponential"]))
def test_one_to_one_on_a_line(seed, law):
    """Ranks are kept, so no two examples fall together and none change places."""
    rng = np.random.default_rng(seed)
    x = getattr(rng, law)(size=(200, 1))
    order = np.argsort(x[:, 0])
    step = np.diff(see(x)[order, 0])
    assert np.all(step > 0) or np.all(step < 0)


@pytest.mark.parametrize("d", [3, MAX])
def test_one_to_one_in_more_dimensions(rng, d):
    """The map has an inverse: from the coordinates back to the examples."""
    x = rng.normal(size=(300, d)) @ rng.normal(size=(d, d)) + 3.0
    found = Coordinates.fit(x)
    drawn_in = found(x) @ np.linalg.inv(found.rotation) + found.mean
    assert found.centre + KNEE * found.scale * np.sinh(drawn_in / KNEE) == pytest.approx(x, abs=1e-6)


def test_nearly_linear_where_most_of_the_data_are(rng):
    x = rng.normal(size=(4000, 1))
    assert abs(np.corrcoef(see(x)[:, 0], x[:, 0])[0, 1]) > 0.995


@pytest.mark.parametrize("freedom", [1.0, 0.5, 0.2])
def test_heavy_tails(rng, freedom):
    """However far the farthest example, half of all examples keep a place of their own."""
    x = rng.standard_t(freedom, size=(4000, 2))
    seen = see(x)
    assert np.abs(seen).max() < 60
    middle = np.percentile(seen, [25, 75], axis=0)
    assert (middle[1] - middle[0]).min() > 0.05


def test_constant_columns(rng):
    x = np.c_[rng.normal(size=500), np.full(500, 3.7), rng.normal(size=500), np.full(500, -1e9)]
    seen = see(x)
    assert covariance(seen[:, :2]) == pytest.approx(np.eye(2), abs=1e-6)
    assert np.abs(seen[:, 2:]).max() < 1e-3
    # What was constant may vary in new examples.
    new = Coordinates.fit(x)(x + 1.0)
    assert np.isfinite(new).all()
    assert np.abs(new[:, 2:]).max() > 1


def test_nothing_varies():
    assert np.array_equal(see(np.full((100, 3), 5.0)), np.zeros((100, 3)))


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_mostly_constant_columns(rng, unit):
    """The corner of a picture: one grey, seldom another."""
    rare = np.where(rng.random(1000) < 0.05, rng.uniform(size=1000), -1.0)
    seen = see(np.c_[rng.normal(size=1000), unit * rare])
    assert covariance(seen) == pytest.approx(np.eye(2), abs=1e-6)
    assert np.abs(seen).max() < 12
    # Among the rare values it is nearly linear: the farthest is not drawn in.
    column = seen[rare > -1, np.abs(seen[rare > -1]).mean(axis=0).argmax()]
    assert abs(np.corrcoef(column, rare[rare > -1])[0, 1]) > 0.9


def test_more_columns_than_are_kept(rng):
    """The leading principal components are kept, in order: here what varies most."""
    x = rng.normal(size=(1000, 100))
    x[:, 40:] = x[:, :1] + 0.1 * x[:, 40:]  # sixty columns that go together, forty that do not
    seen = see(x)
    assert seen.shape == (1000, MAX)
    assert covariance(seen) == pytest.approx(np.eye(MAX), abs=1e-6)
    assert abs(np.corrcoef(seen[:, 0], x[:, 40:].mean(axis=1))[0, 1]) > 0.99


def test_columns_of_any_scale_count_alike(rng):
    x = rng.normal(size=(500, 2))
    wide = see(x * np.array([1e-9, 1e12]))
    assert np.abs(wide) == pytest.approx(np.abs(see(x)), abs=1e-6)


def test_a_large_offset(rng):
    x = rng.normal(size=(2000, 2))
    assert np.abs(see(x + 1e6)) == pytest.approx(np.abs(see(x)), abs=1e-5)


@pytest.mark.parametrize("scale", [1e-18, 1.0, 3e17])
def test_single_precision(rng, scale):
    """All that a file of samples may hold: numbers up to 1e18, whose squares do not add up in single precision."""
    x = (scale * rng.normal(size=(20_000, 2))).clip(-1e18, 1e18).astype(np.float32)
    seen = see(x)
    assert seen.dtype == np.float64
    assert covariance(seen) == pytest.approx(np.eye(2), abs=1e-3)


def test_fitted_on_some_and_used_on_others(rng):
    found = Coordinates.fit(rng.normal(size=(500, 2)))
    rows = rng.normal(size=(7, 2))
    assert found(rows).shape == (7, 2)
    assert found(rows[3:4]) == pytest.approx(found(rows)[3:4])
