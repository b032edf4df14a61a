"""What a discriminator is told of its minibatch, by hand and by properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.architectures.minibatch import MinibatchDiscrimination, standard_deviation, with_minibatch

# Two projections (B) of two numbers (C) from two features: rows (1, 0), (0, 1), (0, 0) become (0, 1 | 2, 2),
# (1, 3 | 2, 2) and (0, 0 | 0, 0).
LAYER = MinibatchDiscrimination(kernels=2, row=2)
PARAMS = {"params": {"Dense_0": {"kernel": jnp.array([[0.0, 1.0, 2.0, 2.0], [1.0, 3.0, 2.0, 2.0]])}}}
ROWS = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])


def test_standard_deviation_by_hand():
    # First feature 1, 3: deviation 1. Second 2, 2: sqrt(1e-8) = 1e-4. Their mean is 0.50005, for both rows.
    found = standard_deviation(jnp.array([[1.0, 2.0], [3.0, 2.0]]))
    np.testing.assert_allclose(found, [[0.50005], [0.50005]], rtol=1e-6)


def test_discrimination_of_two_rows_by_hand():
    # Distances in L1: |0 - 1| + |1 - 3| = 3 in the first projection, 0 in the second.
    found = LAYER.apply(PARAMS, ROWS[:2])
    np.testing.assert_allclose(found, [[np.exp(-3), 1.0], [np.exp(-3), 1.0]], rtol=1e-6)


def test_discrimination_is_the_mean_over_the_other_rows():
    # The third row lies 1 and 4 from the others in the first projection, 4 from both in the second.
    e1, e3, e4 = np.exp([-1.0, -3.0, -4.0])
    by_hand = np.array([[e3 + e1, 1 + e4], [e3 + e4, 1 + e4], [e1 + e4, 2 * e4]]) / 2
    np.testing.assert_allclose(LAYER.apply(PARAMS, ROWS), by_hand, rtol=1e-5)


def test_rows_are_compared_within_groups():
    # 256 rows are two groups of 128: the first all equal, the second half 0 and half 2.
    second = jnp.tile(jnp.array([[0.0, 0.0], [2.0, 2.0]]), (64, 1))
    h = jnp.concatenate([jnp.ones((128, 2)), second])
    deviation = standard_deviation(h)
    np.testing.assert_allclose(deviation[:128], 1e-4, rtol=1e-5)
    np.testing.assert_allclose(deviation[128:], 1.0, rtol=1e-5)
    closeness = LAYER.apply(PARAMS, h)
    np.testing.assert_allclose(closeness[:128], 1.0, rtol=1e-5)
    # Of the 127 others 63 are equal, and the other 64 lie 2 * (1 + 4) and 2 * (4 + 4) away.
    np.testing.assert_allclose(closeness[128:], np.tile([63 / 127] * 2, (128, 1)), atol=1e-4)


def test_a_row_alone_is_finite():
    assert standard_deviation(ROWS[:1]).tolist() == [[pytest.approx(1e-4)]]
    assert LAYER.apply(PARAMS, ROWS[:1]).tolist() == [[0.0, 0.0]]


def test_gradients_are_finite_where_rows_are_equal():
    gradient = jax.grad(lambda h: standard_deviation(h).sum() + LAYER.apply(PARAMS, h).sum())(jnp.ones((4, 2)))
    assert np.isfinite(gradient).all()


def test_other_orders_of_a_group_give_the_same_rows():
    h = jax.random.normal(jax.random.key(0), (7, 2))
    order = jax.random.permutation(jax.random.key(1), 7)
    np.testing.assert_allclose(LAYER.apply(PARAMS, h[order]), LAYER.apply(PARAMS, h)[order], rtol=1e-5)


def test_looks_at_many_points_stay_affordable():
    # All pairs of 10 000 rows would be 1e8 numbers; groups of 125 are 1.25e6 a projection.
    program = jax.make_jaxpr(lambda h: LAYER.apply(PARAMS, h))(jnp.ones((10_000, 2)))
    largest = max(int(np.prod(v.aval.shape)) for equation in program.eqns for v in equation.outvars)
    assert largest == 10_000 * 125 * 2 * 2


def test_kinds_are_checked():
    assert with_minibatch(ROWS, "none", 1, 1) is ROWS
    with pytest.raises(ValueError, match="unknown kind 'all'"):
        with_minibatch(ROWS, "all", 1, 1)
