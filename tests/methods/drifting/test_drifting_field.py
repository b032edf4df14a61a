"""The drifting field: numbers by hand, the sum over pairs, and what makes it vanish."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.methods.drifting.field import FEW, KERNELS, drifting_field, squared_distances

ONE = jnp.asarray([1.0])


def column(*numbers):
    return jnp.asarray(numbers, jnp.float32)[:, None]


def points(seed, n, dim=2):
    return jax.random.normal(jax.random.key(seed), (n, dim))


def by_pairs(x, data, samples, temperatures, log_k):
    """The field as the mean over all pairs of an example and a sample, in float64."""
    x, data, samples = (np.asarray(rows, np.float64) for rows in (x, data, samples))
    found = np.zeros_like(x)
    for t in temperatures:
        for i, point in enumerate(x):
            total, z_data, z_samples = np.zeros(x.shape[1]), 0.0, 0.0
            for plus in data:
                z_data += np.exp(log_k(point - plus, t)) / len(data)
                for minus in samples:
                    weight = np.exp(log_k(point - plus, t) + log_k(point - minus, t))
                    total += weight * (plus - minus) / (len(data) * len(samples))
            for minus in samples:
                z_samples += np.exp(log_k(point - minus, t)) / len(samples)
            found[i] += total / (z_data * z_samples)
    return found


PAIRS = {
    "laplace": lambda difference, t: -np.sqrt(np.sum(difference**2)) / t,
    "gaussian": lambda difference, t: -np.sum(difference**2) / (2 * t**2),
}


@pytest.mark.parametrize(
    ("kernel", "to_data", "to_samples"), [("laplace", np.exp(-2), np.exp(-1)), ("gaussian", np.exp(-4), np.exp(-1.5))]
)
def test_the_field_between_two_examples_and_two_samples(kernel, to_data, to_samples):
    # At 0, with t = 1: the example at 3 has exp(-2) times the weight of that at 1 with the Laplace kernel, exp(-4) with
    # the Gaussian one; the sample at -2 has exp(-1) times, or exp(-3/2) times, that of the one at -1.
    wanted = (1 + 3 * to_data) / (1 + to_data) + (1 + 2 * to_samples) / (1 + to_samples)
    v = drifting_field(column(0), column(1, 3), column(-1, -2), ONE, KERNELS[kernel])
    assert float(v[0, 0]) == pytest.approx(wanted, rel=1e-6)


def test_two_samples_drift_to_the_only_example_and_away_from_each_other():
    # The sample at 0: (2 - 0) towards the example and (0 - 1) away from the other sample.
    x = column(0, 1)
    v = drifting_field(x, column(2), x, jnp.asarray([0.5, 0.1]), KERNELS["laplace"], without_self=True)
    np.testing.assert_allclose(v[:, 0], [2 * 1.0, 2 * 2.0], rtol=1e-6)  # summed over two temperatures


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_field_is_the_mean_over_pairs(kernel):
    x, data, samples, temperatures = points(0, 4), points(1, 5) + 0.5, points(2, 6), (0.3, 1.5)
    v = drifting_field(x, data, samples, jnp.asarray(temperatures), KERNELS[kernel])
    np.testing.assert_allclose(v, by_pairs(x, data, samples, temperatures, PAIRS[kernel]), rtol=2e-5, atol=2e-6)
    assert np.abs(v).min() > 1e-3


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_field_changes_its_sign_if_data_and_samples_are_swapped(kernel):
    x, data, samples = points(0, 4), points(1, 5) + 0.5, points(2, 6)
    t = jnp.asarray([0.3, 1.5])
    one, other = (drifting_field(x, *sets, t, KERNELS[kernel]) for sets in ((data, samples), (samples, data)))
    np.testing.assert_array_equal(one, -other)
    assert np.abs(one).min() > 1e-3
    np.testing.assert_array_equal(drifting_field(x, data, data, t, KERNELS[kernel]), np.zeros((4, 2)))


def mean_of_field(without_self, draws=4000, n=5):
    """The mean field at the sample 0.7 over minibatches of one normal distribution, in standard errors."""
    drawn = jax.random.normal(jax.random.key(3), (draws, 2, n, 1))

    def at(sets):
        samples = jnp.concatenate([column(0.7), sets[1]])
        return drifting_field(samples, sets[0], samples, jnp.asarray([0.5]), KERNELS["laplace"], without_self)[0, 0]

    v = np.asarray(jax.vmap(at)(drawn), np.float64)
    return v.mean() / (v.std(ddof=1) / np.sqrt(draws))


def test_without_itself_a_sample_of_the_data_distribution_does_not_drift_on_average():
    assert abs(mean_of_field(without_self=True)) < 4.0
    assert abs(mean_of_field(without_self=False)) > 20.0  # it would be attracted to where the data are


def test_the_order_of_examples_does_not_matter_and_that_of_samples_is_the_order_of_the_field():
    data, x, t = points(1, 5) + 0.5, points(2, 6), jnp.asarray([0.3, 1.5])
    order = np.asarray([3, 1, 4, 0, 5, 2])
    v = drifting_field(x, data, x, t, KERNELS["laplace"], without_self=True)
    np.testing.assert_allclose(
        drifting_field(x, data[::-1], x, t, KERNELS["laplace"], without_self=True), v, rtol=1e-5, atol=1e-6
    )
    moved = drifting_field(x[order], data, x[order], t, KERNELS["laplace"], without_self=True)
    np.testing.assert_allclose(moved, v[order], rtol=1e-5, atol=1e-6)


def test_distances_from_products_are_those_from_differences():
    x, y = points(0, 4, 3) + 5.0, points(1, 6, 3) + 5.0
    wide = [jnp.pad(rows, ((0, 0), (0, FEW))) for rows in (x, y)]
    np.testing.assert_allclose(squared_distances(*wide), squared_distances(x, y), rtol=1e-5, atol=1e-5)
    assert float(squared_distances(wide[0], wide[0]).min()) >= 0.0


@pytest.mark.parametrize("kernel", KERNELS)
def test_far_from_all_data_the_field_is_finite_and_points_to_the_nearest_example(kernel):
    x = column(1e4, -1e4)
    v = drifting_field(x, column(1, 2), x, jnp.asarray([1e-3]), KERNELS[kernel], without_self=True)
    np.testing.assert_allclose(v[:, 0], [2 + 1e4, 1 - 1e4], rtol=1e-6)
