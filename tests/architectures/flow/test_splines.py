"""Rational-quadratic splines: numbers by hand, an implementation with NumPy, and those of flowjax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.architectures.flow import splines
from ganrun.architectures.flow.splines import Knots

BOUND = 3.0
X = np.array([-3.5, -3.0, -2.2, -1.0, -0.4, 0.1, 0.9, 1.5, 2.0, 2.9, 3.0, 4.0])
# Three bins on [-3, 3], which are not alike.
POSITIONS, VALUES, SLOPES = (-3.0, -1.0, 1.5, 3.0), (-3.0, -2.0, 2.0, 3.0), (1.0, 0.3, 2.5, 1.0)
# What flowjax 19.1.2 computes at X for these knots, in double precision.
FLOWJAX_Y = [
    -3.5,
    -3.0,
    -2.440559440559441,
    -2.0,
    -1.6152556580050292,
    -0.9778346121057118,
    0.5641240569991619,
    2.0,
    2.5483870967741935,
    2.918669131238447,
    3.0,
    4.0,
]
FLOWJAX_LOG_SLOPE = [
    0.0,
    0.0,
    -0.7029263685450747,
    -1.2039728043259361,
    -0.010949601078967112,
    0.439454596501443,
    0.8087230457981289,
    0.9162907318741551,
    -0.6694956924779846,
    -0.40377868647186255,
    0.0,
    0.0,
]


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def of(x, y, slope):
    return Knots(*(jnp.asarray(part, float) for part in (x, y, slope)))


def with_numpy(x, y, slope, at):
    """The definition, one number at a time: eq. 4 of Durkan et al. 2019, and its derivative by complex steps."""

    def value(point, k):
        t = (point - x[k]) / (x[k + 1] - x[k])
        s = (y[k + 1] - y[k]) / (x[k + 1] - x[k])
        above = (y[k + 1] - y[k]) * (s * t**2 + slope[k] * t * (1 - t))
        return y[k] + above / (s + (slope[k + 1] + slope[k] - 2 * s) * t * (1 - t))

    values, slopes = [], []
    for point in at:
        if not x[0] <= point <= x[-1]:
            values.append(point)
            slopes.append(1.0)
            continue
        k = min(int(np.searchsorted(x, point, side="right")) - 1, len(x) - 2)
        values.append(value(point, k))
        slopes.append(value(point + 1e-30j, k).imag / 1e-30)
    return np.array(values), np.log(slopes)


def test_the_middle_of_a_bin_is_the_number_derived_by_hand():
    # Two bins, of [-1, 0] onto [-1, 1/2] and of [0, 1] onto [1/2, 1], with slope 2 between them. In the first one
    # s = 3/2 and t = 1/2: y = -1 + 3/2 (3/8 + 1/4) / (3/2 + (2 + 1 - 3) / 4) = -3/8, and the derivative is
    # (9/4) (2/4 + 3/4 + 1/4) / (9/4) = 3/2. In the second s = 1/2:
    # y = 1/2 + 1/2 (1/8 + 2/4) / (1/2 + (3 - 1) / 4) = 13/16, and the derivative is (1/4) (1/4 + 1/4 + 2/4) / 1 = 1/4.
    spline = of([-1.0, 0.0, 1.0], [-1.0, 0.5, 1.0], [1.0, 2.0, 1.0])
    y, log_slope = splines.forward(spline, jnp.asarray([-0.5, 0.5]))
    np.testing.assert_allclose(y, [-3 / 8, 13 / 16], rtol=1e-12)
    np.testing.assert_allclose(log_slope, np.log([3 / 2, 1 / 4]), rtol=1e-12)
    np.testing.assert_allclose(splines.inverse(spline, y), [-0.5, 0.5], rtol=1e-12)


def test_values_and_slopes_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    for _ in range(5):
        x, y = (np.sort(np.concatenate([[-BOUND, BOUND], rng.uniform(-BOUND, BOUND, 4)])) for _ in range(2))
        slope = np.concatenate([[1.0], rng.uniform(0.1, 4.0, 4), [1.0]])
        at = rng.uniform(-4.0, 4.0, 200)
        values, log_slopes = splines.forward(of(x, y, slope), jnp.asarray(at))
        wanted, wanted_slopes = with_numpy(x, y, slope, at)
        np.testing.assert_allclose(values, wanted, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(log_slopes, wanted_slopes, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(splines.inverse(of(x, y, slope), values), at, rtol=1e-8, atol=1e-9)


def test_values_and_slopes_are_those_that_flowjax_has_computed():
    y, log_slope = splines.forward(of(POSITIONS, VALUES, SLOPES), jnp.asarray(X))
    np.testing.assert_allclose(y, FLOWJAX_Y, rtol=1e-12)
    np.testing.assert_allclose(log_slope, FLOWJAX_LOG_SLOPE, rtol=1e-10, atol=1e-12)


def test_the_stored_numbers_are_those_of_flowjax():
    bijections = pytest.importorskip("flowjax.bijections")
    import equinox

    spline = bijections.RationalQuadraticSpline(knots=2, interval=BOUND)
    own = tuple(jnp.asarray(part) for part in (POSITIONS, VALUES, SLOPES))
    spline = equinox.tree_at(lambda one: (one.x_pos, one.y_pos, one.derivatives), spline, own)
    y, log_slope = jax.vmap(spline.transform_and_log_det)(jnp.asarray(X))
    np.testing.assert_allclose(y, FLOWJAX_Y, rtol=1e-12)
    np.testing.assert_allclose(log_slope, FLOWJAX_LOG_SLOPE, rtol=1e-10, atol=1e-12)


def test_zeros_describe_the_identity_with_bins_of_equal_size():
    spline = splines.knots(jnp.zeros((splines.outputs(6),)), 1.5)
    np.testing.assert_allclose(spline.x, np.linspace(-1.5, 1.5, 7), atol=1e-12)
    np.testing.assert_allclose(spline.y, spline.x, atol=1e-12)
    np.testing.assert_allclose(spline.slope, 1.0, atol=1e-12)
    y, log_slope = splines.forward(spline, jnp.asarray(X))
    np.testing.assert_allclose(y, X, atol=1e-12)
    np.testing.assert_allclose(log_slope, 0.0, atol=1e-10)


def test_knots_of_any_numbers_increase_and_end_at_the_bounds():
    raw = 20.0 * np.random.default_rng(0).normal(size=(100, splines.outputs(8)))
    spline = splines.knots(jnp.asarray(raw), BOUND)
    for part in (spline.x, spline.y):
        assert part.shape == (100, 9)
        np.testing.assert_array_equal(part[:, [0, -1]], np.broadcast_to([-BOUND, BOUND], (100, 2)))
        assert np.diff(part, axis=1).min() >= 0.99 * splines.MIN_SHARE * 2 * BOUND
    assert np.asarray(spline.slope).min() >= splines.MIN_SLOPE
    np.testing.assert_array_equal(spline.slope[:, [0, -1]], 1.0)


def test_gradients_are_finite_inside_outside_and_at_the_bounds():
    raw = jnp.asarray(np.random.default_rng(1).normal(size=(len(X), splines.outputs(5))))

    def loss(raw, x):
        y, log_slope = splines.forward(splines.knots(raw, BOUND), x)
        return jnp.sum(y**2 + log_slope)

    for gradient in jax.grad(loss, (0, 1))(raw, jnp.asarray(X)):
        assert np.all(np.isfinite(gradient)) and np.any(gradient != 0)
