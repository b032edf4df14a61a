"""Power-function averages and their profiles, by hand and by numerical integration."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrun.methods.power_average import combination, exponent, inner_products, power_averages

POINTS = (np.arange(200_000) + 0.5) / 200_000  # of [0, 1]


def profile(power, step):
    """The profile at ``step`` at points of [0, 1], of which the longest run is 1."""
    return np.where(step >= POINTS, (power + 1) * POINTS**power / step ** (power + 1), 0.0)


@pytest.mark.parametrize(("sigma_rel", "power"), [(18**-0.5, 1.0), ((3 / 80) ** 0.5, 2.0), (0.1, 6.94), (0.05, 16.97)])
def test_exponents_by_hand_and_of_the_paper(sigma_rel, power):
    # γ = 1: 2 / (3² 4) = 1/18; γ = 2: 3 / (4² 5) = 3/80. The paper rounds the others.
    assert exponent(sigma_rel) == pytest.approx(power, abs=5e-3)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.01, 0.28))
def test_the_width_is_the_standard_deviation_of_the_profile(sigma_rel):
    density = profile(exponent(sigma_rel), 1.0)
    mean = np.mean(density * POINTS)
    assert np.mean(density) == pytest.approx(1, abs=1e-4)
    assert np.sqrt(np.mean(density * (POINTS - mean) ** 2)) == pytest.approx(sigma_rel, rel=1e-3)


def test_three_steps_by_hand():
    # γ = 1: β is 0, 1/4, 4/9. From 7: 0, then 3/4 * 4 = 3, then 4/9 * 3 + 5/9 * 9 = 57/9. γ = 0: the plain mean.
    averages = ({"w": jnp.full(2, 7.0)}, {"w": jnp.full(2, 7.0)})
    found = []
    for step, new in enumerate((0.0, 4.0, 9.0)):
        averages = power_averages(averages, {"w": jnp.full(2, new)}, jnp.array([1.0, 0.0]), jnp.int32(step))
        found.append([float(average["w"][1]) for average in averages])
    np.testing.assert_allclose(found, [[0, 0], [3, 2], [57 / 9, 13 / 3]], rtol=1e-6)


def test_an_average_moves_late_in_a_long_run():
    # After 10^6 steps with γ = 1 the portion of a new value is 1 - (1 - 1e-6)² = 2e-6, of which β keeps one digit.
    (average,) = power_averages((jnp.zeros(()),), jnp.ones(()), jnp.array([1.0]), jnp.int32(999_999))
    assert float(average) == pytest.approx(2e-6, rel=1e-3)


def test_what_is_no_float_is_the_newest():
    (average,) = power_averages((jnp.int32(3),), jnp.int32(8), jnp.array([1.0]), jnp.int32(5))
    assert average.dtype == jnp.int32 and int(average) == 8


@pytest.mark.parametrize("one", [(0.4, 3.0), (1.0, 0.5), (0.7, 6.0)])
@pytest.mark.parametrize("other", [(0.4, 6.0), (1.0, 2.0), (0.25, 0.3)])
def test_inner_products_are_integrals(one, other):
    found = inner_products(np.array([one[0]]), np.array([one[1]]), *other)
    wanted = np.mean(profile(one[1], one[0]) * profile(other[1], other[0]))
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.06, 0.2), st.integers(20, 40))
def test_a_profile_between_stored_ones_is_rebuilt_and_the_difference_is_that_of_the_profiles(sigma_rel, count):
    steps, powers = np.repeat(np.arange(1, count + 1) / count, 2), np.tile([exponent(0.05), exponent(0.1)], count)
    found = combination(steps, powers, 1.0, exponent(sigma_rel))
    wanted = profile(exponent(sigma_rel), 1.0)
    rebuilt = sum(x * profile(power, step) for x, step, power in zip(found.coefficients, steps, powers, strict=True))
    assert np.linalg.norm(rebuilt - wanted) / np.linalg.norm(wanted) == pytest.approx(found.difference, abs=2e-4)
    assert found.difference < 0.02
    assert found.coefficients.sum() == pytest.approx(1, abs=0.01)


def test_a_stored_profile_is_itself_and_two_equal_ones_share_it():
    powers = np.array([2.0, 6.0, 2.0])
    found = combination(np.array([50.0, 100.0, 50.0]), powers, 100.0, 6.0)
    np.testing.assert_allclose(found.coefficients, [0, 1, 0], atol=1e-9)
    assert found.difference < 1e-6
    found = combination(np.array([50.0, 100.0, 50.0]), powers, 50.0, 2.0)
    np.testing.assert_allclose(found.coefficients, [0.5, 0, 0.5], atol=1e-9)


def test_a_profile_much_narrower_than_those_stored_is_far_from_every_combination():
    assert combination(np.array([50.0, 100.0]), np.array([2.0, 2.0]), 100.0, exponent(0.01)).difference > 0.5
