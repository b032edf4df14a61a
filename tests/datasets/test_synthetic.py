"""Mixtures: their densities against scipy, their samples against their moments, their centres by hand."""

from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ganrun import datasets
from ganrun.datasets.sampler import Cursor
from ganrun.datasets.synthetic import Gaussian, Grid, Mixture1d, Ring, mixture
from ganrun.errors import ConfigError

SAMPLES = 40_000


def on_the_line(means, stds, weights):
    return Mixture1d(means=means, stds=stds, weights=weights)


def draw(density, seed=0, n=SAMPLES):
    return np.asarray(density.minibatch(jax.random.key(seed), Cursor.start(), n)[0], np.float64)


@pytest.mark.parametrize("option", [Gaussian(mean=3.0, std=0.5), Mixture1d(), on_the_line((0.0,), (2.0,), (5.0,))])
def test_densities_on_the_line_integrate_to_one(option):
    x = np.linspace(-20, 20, 40_001)
    assert np.trapezoid(np.exp(option.density().log_density(x[:, None])), x) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("option", [Ring(modes=5, std=0.2), Grid(side=3, spacing=1.0, std=0.1), Ring(modes=1)])
def test_densities_in_the_plane_integrate_to_one(option):
    # The trapezoid rule is exact to rounding for a Gaussian once the spacing is below its standard deviation.
    x = np.arange(-4.0, 4.0, 0.015)
    plane = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
    assert np.exp(option.density().log_density(plane)).sum() * 0.015**2 == pytest.approx(1.0, abs=1e-5)


@settings(deadline=None, max_examples=30)
@given(x=st.floats(-100, 100), mean=st.floats(-5, 5, width=32), std=st.floats(0.125, 4, width=32))
def test_one_gaussian_has_the_log_density_of_scipy(x, mean, std):
    found = Gaussian(mean=mean, std=std).density().log_density(np.array([[x]]))
    assert found[0] == pytest.approx(stats.norm.logpdf(x, mean, std), rel=1e-9, abs=1e-9)


def test_a_mixture_in_the_plane_has_the_log_density_of_scipy():
    means, stds, weights = np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]]), [0.5, 1.0, 0.25], [2.0, 1.0, 1.0]
    x = np.random.default_rng(0).normal(size=(50, 2)) * 3
    parts = [
        weight / 4 * stats.multivariate_normal.pdf(x, mean, std**2)
        for mean, std, weight in zip(means, stds, weights, strict=True)
    ]
    found = mixture(means, np.array(stds), np.array(weights)).log_density(x)
    np.testing.assert_allclose(found, np.log(np.sum(parts, axis=0)), rtol=1e-6)


def test_the_log_density_stays_finite_far_from_every_mode():
    # (100 - 2)^2 / (2 * 0.02^2) = 12 005 000: exp of it underflows, its logarithm does not.
    found = Ring().density().log_density(np.array([[100.0, 0.0]]))
    by_hand = -np.log(8) - 98**2 / (2 * 0.02**2) - 2 * np.log(0.02 * np.sqrt(2 * np.pi))
    assert found[0] == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize(
    ("option", "mean", "variance"),
    [
        (Gaussian(mean=3.0, std=0.5), 3.0, 0.25),
        # Mean 0.6 * -1.5 + 0.4 * 2 = -0.1; second moment 0.6 (0.49 + 2.25) + 0.4 (1 + 4) = 3.644, less 0.1^2.
        (on_the_line((-1.5, 2.0), (0.7, 1.0), (0.6, 0.4)), -0.1, 3.634),
        # Weights 3 and 1 are 3/4 and 1/4: mean 1, second moment 0.01 + 1/4 * 16 = 4.01, less 1.
        (on_the_line((0.0, 4.0), (0.1, 0.1), (3.0, 1.0)), 1.0, 3.01),
        # On a circle each coordinate has half of the squared radius: 2^2 / 2 + 0.1^2.
        (Ring(modes=8, radius=2.0, std=0.1), 0.0, 2.01),
        # Positions -2, 0, 2 have variance 8 / 3.
        (Grid(side=3, spacing=2.0, std=0.5), 0.0, 8 / 3 + 0.25),
    ],
)
def test_samples_have_the_mean_and_variance_of_the_density(option, mean, variance):
    samples = draw(option.density())
    assert samples.shape == (SAMPLES, *option.shape)
    deviations = samples - mean
    error = np.sqrt(variance / SAMPLES)
    assert np.all(np.abs(deviations.mean(axis=0)) < 5 * error)
    spread = np.std(deviations**2, axis=0) / np.sqrt(SAMPLES)
    assert np.all(np.abs((deviations**2).mean(axis=0) - variance) < 5 * spread)


def test_samples_follow_the_distribution_function():
    option = on_the_line((-1.5, 2.0), (0.7, 1.0), (0.6, 0.4))

    def distribution(x):
        return 0.6 * stats.norm.cdf(x, -1.5, 0.7) + 0.4 * stats.norm.cdf(x, 2.0, 1.0)

    assert stats.kstest(draw(option.density())[:, 0], distribution).pvalue > 1e-4


def test_each_mode_gets_its_weight_of_the_samples():
    samples = draw(on_the_line((0.0, 10.0), (0.1, 0.1), (0.9, 0.1)).density())
    # The share of the second has the standard error sqrt(0.9 * 0.1 / n).
    assert abs(np.mean(samples > 5) - 0.1) < 5 * np.sqrt(0.09 / SAMPLES)


def test_another_key_draws_other_samples_and_the_cursor_stays():
    density = Ring().density()
    assert not np.array_equal(draw(density, 0, 10), draw(density, 1, 10))
    assert np.array_equal(draw(density, 0, 10), draw(density, 0, 10))
    cursor = Cursor.start()
    assert density.minibatch(jax.random.key(0), cursor, 4)[1] is cursor


def test_the_centres_of_a_ring_by_hand():
    centres = np.asarray(Ring(modes=4, radius=3.0).density().means)
    np.testing.assert_allclose(centres, [[3, 0], [0, 3], [-3, 0], [0, -3]], atol=1e-6)


def test_the_centres_of_a_grid_by_hand():
    centres = {tuple(centre) for centre in np.asarray(Grid(side=2, spacing=3.0).density().means).tolist()}
    assert centres == {(-1.5, -1.5), (-1.5, 1.5), (1.5, -1.5), (1.5, 1.5)}
    odd = {tuple(centre) for centre in np.asarray(Grid(side=3, spacing=2.0).density().means).tolist()}
    assert odd == {(x, y) for x in (-2.0, 0.0, 2.0) for y in (-2.0, 0.0, 2.0)}


def test_weights_are_normalised():
    np.testing.assert_allclose(on_the_line((0.0, 1.0), (1.0, 1.0), (3.0, 1.0)).density().weights, [0.75, 0.25])


@pytest.mark.parametrize(
    "lists",
    [((0.0, 1.0), (1.0,), (1.0, 1.0)), ((0.0,), (1.0,), (1.0, 1.0)), ((), (), ())],
)
def test_lists_of_different_lengths_are_refused(lists):
    with pytest.raises(ConfigError, match=f"have {len(lists[0])}, {len(lists[1])} and {len(lists[2])}"):
        on_the_line(*lists)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 50))
def test_the_label_is_the_component_that_a_sample_came_from(seed, n):
    # Neighbours on the ring are 1.53 apart and samples stray by 0.02: the nearest centre is the right one.
    density, key = Ring().density(), jax.random.key(seed)
    start = Cursor.start()
    both = jax.jit(lambda key: (density.labelled(key, start, n)[:2], density.minibatch(key, start, n)[0]))
    (x, y), alone = jax.device_get(both(key))
    assert np.array_equal(x, alone)
    assert y.dtype == np.int32 and y.shape == (n,)
    assert np.array_equal(y, np.linalg.norm(x[:, None] - np.asarray(density.means), axis=-1).argmin(axis=1))


def test_labels_come_as_often_as_the_weights_say():
    # Each share has the standard error sqrt(w (1 - w) / n).
    weights = np.array([0.6, 0.3, 0.1])
    density = on_the_line((0.0, 10.0, 20.0), (0.1, 0.1, 0.1), tuple(weights)).density()
    alone = density.labels(jax.random.key(0), SAMPLES)
    assert alone.dtype == np.int32 and alone.shape == (SAMPLES,)
    with_samples = density.labelled(jax.random.key(0), Cursor.start(), SAMPLES)[1]
    for drawn in (alone, with_samples):
        share = np.bincount(drawn, minlength=3) / SAMPLES
        assert np.all(np.abs(share - weights) < 5 * np.sqrt(weights * (1 - weights) / SAMPLES))


@pytest.mark.parametrize(
    ("option", "classes"),
    [
        (Gaussian(), 0),
        (Mixture1d(), 2),
        (on_the_line((0.0,), (1.0,), (1.0,)), 0),
        (Ring(modes=5), 5),
        (Ring(modes=1), 0),
        (Grid(side=3), 9),
        (Grid(side=1), 0),
    ],
)
def test_an_option_its_density_and_its_data_have_the_same_classes(option, classes):
    assert option.classes == option.density().classes == classes
    for labels in (False, True):
        assert datasets.load(option, Path("unused"), 0, labels=labels).classes == classes
