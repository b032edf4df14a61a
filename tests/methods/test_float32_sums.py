"""Gradients of values that are broadcast in bfloat16 are summed in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.methods.float32_sums import with_float32_sums

ROWS = 4096
# 0.3 is 0.30078125 = 77 / 256 in bfloat16, so 4096 of them are 1232 = 77 * 16, which has 7 significant bits. Added one
# by one in bfloat16, they stop at 128, where half the distance to the next number is larger than 0.3.
TERM, SUM = 0.3, 1232.0
half = jnp.bfloat16


def added(bias, x):
    return x + bias.reshape(1, -1)


def multiplied(scale, x):
    return x * scale[:, None].T


def replicated(bias, x):
    return jnp.broadcast_to(bias, x.shape)


def scaled_by_one_number(scale, x):
    return jnp.sum(scale) * x


def inside_a_compiled_function(bias, x):
    return jax.jit(added)(bias, x)


FUNCTIONS = (added, multiplied, replicated, inside_a_compiled_function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_gradient_of_a_value_for_every_row_is_the_sum_of_the_rows(function):
    x, value = jnp.ones((ROWS, 3), half), jnp.zeros(3, half)
    _, pull = jax.vjp(with_float32_sums(lambda value: function(value, x)), value)
    (gradient,) = jax.jit(pull)(jnp.full((ROWS, 3), TERM, half))
    assert gradient.dtype == half
    np.testing.assert_array_equal(np.asarray(gradient, np.float32), SUM)


def test_the_gradient_of_one_number_is_a_sum_in_float32_too():
    x = jnp.ones((ROWS, 3), half)
    _, pull = jax.vjp(with_float32_sums(lambda value: scaled_by_one_number(value, x)), jnp.ones(1, half))
    (gradient,) = jax.jit(pull)(jnp.full((ROWS, 3), TERM, half))
    assert float(gradient[0]) == pytest.approx(3 * SUM, rel=2**-8)  # 3696 is rounded to 8 bits


@pytest.mark.parametrize("function", FUNCTIONS)
def test_values_do_not_change(function):
    x = jax.random.normal(jax.random.key(0), (64, 3)).astype(half)
    value = jnp.array([0.3, -2.0, 1e3], half)
    wanted, given = function(value, x), with_float32_sums(lambda value: function(value, x))(value)
    assert given.dtype == wanted.dtype == half
    np.testing.assert_array_equal(np.asarray(given, np.float32), np.asarray(wanted, np.float32))


def test_derivatives_of_derivatives_are_those_of_the_function():
    """f(b) = sum over rows of (x b)^3 = n x^3 b^3: second derivative 6 n x^3 b = 6 * 4096 * 0.125 * 0.5 = 1536."""
    x = jnp.full((ROWS, 1), 0.5, half)

    def total(scale):
        rows = with_float32_sums(lambda scale: x * scale.reshape(1, 1))(scale)
        return jnp.sum(rows.astype(jnp.float32) ** 3)

    second = jax.jit(jax.grad(lambda scale: jax.grad(total)(scale).astype(jnp.float32).sum()))(jnp.full(1, 0.5, half))
    assert float(second[0]) == 1536.0


def test_derivatives_that_a_function_defines_itself_are_kept():
    @jax.custom_jvp
    def doubled(x):
        return x

    doubled.defjvp(lambda primals, tangents: (primals[0], 2 * tangents[0]))
    assert float(jax.grad(with_float32_sums(lambda x: doubled(x) * x))(jnp.asarray(3.0))) == 9.0  # 2 * 3 + 3


def test_arrays_of_other_types_and_structures_pass():
    key = jax.random.key(1)

    def function(tree):
        noise = jax.random.normal(key, tree["x"].shape)
        return {"y": tree["x"] + noise, "n": (tree["n"] + 1, jnp.where(tree["n"] > 2, 1.0, tree["x"].sum()))}

    given = {"x": jnp.arange(3.0), "n": jnp.arange(4)}
    wanted, found = function(given), with_float32_sums(function)(given)
    assert jax.tree.structure(wanted) == jax.tree.structure(found)
    jax.tree.map(np.testing.assert_array_equal, wanted, found)
