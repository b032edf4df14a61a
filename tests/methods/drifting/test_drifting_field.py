"""The drifting field: numbers by hand, the sum over pairs, and what makes it vanish."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.methods.drifting.field import FEW, KERNELS, NORMALISATIONS, drifting_fields, rescaled, squared_distances

ONE = jnp.asarray([1.0])


def column(*numbers):
    return jnp.asarray(numbers, jnp.float32)[:, None]


def points(seed, n, dim=2):
    return jax.random.normal(jax.random.key(seed), (n, dim))


def drifting_field(x, data, samples, temperatures, kernel, without_self=False, normalisation="separate"):
    """The sum of the fields over all temperatures."""
    normalise = NORMALISATIONS[normalisation]
    return drifting_fields(x, data, samples, temperatures, kernel, normalise, without_self).sum(axis=0)


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


def test_the_field_with_joint_weights_between_two_examples_and_two_samples():
    # At the only point 0, weights over the points are 1, so they are the roots of exp(-distance) / Z over all four.
    z = 2 * np.exp(-1) + np.exp(-2) + np.exp(-3)
    data, samples = np.exp([-0.5, -1.5]), np.exp([-0.5, -1.0])
    pairs = [p * m * (y + x) for p, y in zip(data, (1, 3), strict=True) for m, x in zip(samples, (1, 2), strict=True)]
    v = drifting_field(column(0), column(1, 3), column(-1, -2), ONE, KERNELS["laplace"], normalisation="joint")
    assert float(v[0, 0]) == pytest.approx(sum(pairs) / z, rel=1e-6)


def test_joint_weights_let_an_example_attract_the_nearest_point_even_if_that_is_far():
    # The example at 50 is far from both points, which have an example each. With separate weights it has none.
    x, data = column(0, 10), column(0, 10, 50)
    found = {
        name: drifting_field(x, data, x, ONE, KERNELS["laplace"], without_self=True, normalisation=name)[1, 0]
        for name in NORMALISATIONS
    }
    assert float(found["separate"]) == pytest.approx(10 - 0, abs=1e-3)  # the mean shift of the data alone is 0
    # Joint weights of the point at 10, before the root: of the example at 10 about 1 and 1, of that at 50 exp(-40) and
    # 1, of the sample at 0 exp(-10) and 1. In V, those of the examples are multiplied by that of the sample.
    assert float(found["joint"]) == pytest.approx(10 * np.exp(-5), rel=1e-3)


def test_rescaled_fields_have_the_same_mean_square_and_the_direction_they_had():
    fields = jnp.asarray([[[3.0, 4.0], [0.0, 5.0]], [[1e-3, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    found = rescaled(fields)  # mean squares 12.5 and 2.5e-7
    np.testing.assert_allclose(found[0], fields[0] / np.sqrt(12.5), rtol=1e-6)
    np.testing.assert_allclose(found[1], [[2.0, 0.0], [0.0, 0.0]], rtol=1e-5)
    np.testing.assert_array_equal(found[2], np.zeros((2, 2)))


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


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_field_changes_its_sign_if_data_and_samples_are_swapped(kernel, normalisation):
    x, data, samples = points(0, 4), points(1, 5) + 0.5, points(2, 6)
    t = jnp.asarray([0.3, 1.5])

    def field(data, samples):
        return drifting_field(x, data, samples, t, KERNELS[kernel], normalisation=normalisation)

    np.testing.assert_allclose(field(data, samples), -field(samples, data), rtol=1e-5, atol=1e-6)
    assert np.abs(field(data, samples)).min() > 1e-3
    np.testing.assert_allclose(field(data, data), np.zeros((4, 2)), atol=1e-6)


def mean_of_field(normalisation, without_self, draws=4000, n=5):
    """The mean field at the sample 0.7 over minibatches of one normal distribution, in standard errors."""
    drawn = jax.random.normal(jax.random.key(3), (draws, 2, n, 1))

    def at(sets):
        samples = jnp.concatenate([column(0.7), sets[1]])
        return drifting_field(
            samples, sets[0], samples, jnp.asarray([0.5]), KERNELS["laplace"], without_self, normalisation
        )[0, 0]

    v = np.asarray(jax.vmap(at)(drawn), np.float64)
    return v.mean() / (v.std(ddof=1) / np.sqrt(draws))


def test_without_itself_a_sample_of_the_data_distribution_does_not_drift_on_average():
    assert abs(mean_of_field("separate", without_self=True)) < 4.0
    assert abs(mean_of_field("separate", without_self=False)) > 20.0  # it would be attracted to where the data are


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_the_order_of_examples_does_not_matter_and_that_of_samples_is_the_order_of_the_field(normalisation):
    data, x, order = points(1, 5) + 0.5, points(2, 6), np.asarray([3, 1, 4, 0, 5, 2])

    def field(x, data):
        return drifting_field(x, data, x, jnp.asarray([0.3, 1.5]), KERNELS["laplace"], True, normalisation)

    np.testing.assert_allclose(field(x, data[::-1]), field(x, data), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(field(x[order], data), field(x, data)[order], rtol=1e-5, atol=1e-6)


def test_distances_from_products_are_those_from_differences():
    x, y = points(0, 4, 3) + 5.0, points(1, 6, 3) + 5.0
    wide = [jnp.pad(rows, ((0, 0), (0, FEW))) for rows in (x, y)]
    np.testing.assert_allclose(squared_distances(*wide), squared_distances(x, y), rtol=1e-5, atol=1e-5)
    assert float(squared_distances(wide[0], wide[0]).min()) >= 0.0


@pytest.mark.parametrize("kernel", KERNELS)
def test_far_from_all_data_the_field_is_finite_and_points_to_the_nearest_example(kernel):
    x = column(1e4, -1e4)
    far = drifting_field(x, column(1, 2), x, jnp.asarray([1e-3]), KERNELS[kernel], True, "joint")
    assert np.isfinite(far).all()
    v = drifting_field(x, column(1, 2), x, jnp.asarray([1e-3]), KERNELS[kernel], without_self=True)
    np.testing.assert_allclose(v[:, 0], [2 + 1e4, 1 - 1e4], rtol=1e-6)
