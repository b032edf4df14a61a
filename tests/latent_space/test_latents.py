"""Ways through the latent space: where they begin and end, and that they stay where the prior has mass."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ganrun.evaluation.interpolation import interpolate, plane, slerp
from ganrun.evaluation.samples import through
from ganrun.latent_space.latents import draw, pushing, truncate, walk

POINTS = arrays.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.floats(-3, 3))
INSIDE = arrays.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.floats(-0.99, 0.99))


def test_half_way_along_a_quarter_circle_is_the_diagonal():
    middle = slerp(np.array([2.0, 0.0]), np.array([0.0, 2.0]), np.array(0.5))
    np.testing.assert_allclose(middle, [np.sqrt(2), np.sqrt(2)], rtol=1e-12)


def test_a_third_of_a_right_angle_is_thirty_degrees():
    third = slerp(np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array(1 / 3))
    np.testing.assert_allclose(third, [np.sqrt(3) / 2, 0.5], rtol=1e-12)


@given(POINTS, st.integers(0, 2**32 - 1), st.floats(0, 1))
@settings(deadline=None, max_examples=50)
def test_latents_of_equal_norm_keep_it(starts, seed, t):
    lengths = np.linalg.norm(starts, axis=1)
    assume(starts.shape[1] > 1 and (lengths > 1e-3).all())
    ends = np.random.default_rng(seed).normal(size=starts.shape)
    ends *= (lengths / np.linalg.norm(ends, axis=1))[:, None]
    cosine = np.sum(starts * ends, axis=1) / lengths**2
    assume((cosine > -1 + 1e-6).all())  # of opposite latents the way is a straight line
    along = slerp(starts, ends, np.full(len(starts), t))
    np.testing.assert_allclose(np.linalg.norm(along, axis=1), lengths, rtol=1e-6)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
@given(starts=POINTS, seed=st.integers(0, 2**32 - 1), steps=st.integers(2, 9))
@settings(deadline=None, max_examples=50)
def test_a_way_begins_and_ends_at_its_latents(prior, starts, seed, steps):
    ends = np.random.default_rng(seed).normal(size=starts.shape)
    ways = interpolate(starts, ends, prior, steps)
    assert ways.shape == (len(starts), steps, starts.shape[1]) and np.isfinite(ways).all()
    np.testing.assert_array_equal(ways[:, 0], starts)
    np.testing.assert_array_equal(ways[:, -1], ends)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_a_way_between_opposite_latents_is_straight_and_finite(prior):
    ways = interpolate(np.array([[1.5], [-2.0]]), np.array([[-1.5], [2.0]]), prior, 3)
    np.testing.assert_allclose(ways[..., 0], [[1.5, 0.0, -1.5], [-2.0, 0.0, 2.0]], atol=1e-12)


def test_a_way_under_the_uniform_prior_is_straight_and_evenly_spaced():
    ways = interpolate(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), "uniform", 5)
    np.testing.assert_allclose(ways[0], [[1, 0], [0.75, 0.25], [0.5, 0.5], [0.25, 0.75], [0, 1]], atol=1e-12)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
@given(points=INSIDE, steps=st.integers(1, 7))
@settings(deadline=None, max_examples=50)
def test_a_walk_goes_through_its_points_in_their_order(prior, points, steps):
    way = walk(points, prior, steps)
    assert way.shape == (len(points), steps, points.shape[1])
    np.testing.assert_allclose(way[:, 0], points, atol=1e-9)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
@given(points=INSIDE, shift=st.integers(0, 5))
@settings(deadline=None, max_examples=50)
def test_a_walk_closes_it_is_the_same_from_whichever_point_it_starts(prior, points, shift):
    shifted = walk(np.roll(points, -shift, axis=0), prior, 5)
    np.testing.assert_allclose(shifted, np.roll(walk(points, prior, 5), -shift, axis=0), atol=1e-9)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_a_walk_is_smooth_where_it_closes_too(prior):
    points = np.random.default_rng(0).uniform(-0.9, 0.9, (5, 3))
    way = walk(points, prior, 200).reshape(-1, 3)
    speed = np.roll(way, -1, axis=0) - way
    turn = np.abs(np.roll(speed, -1, axis=0) - speed).max(axis=1)
    # A corner would show as a turn of the size of a step; here no turn is more than a few hundredths of one.
    assert turn.max() < 0.05 * np.abs(speed).max()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_every_latent_of_a_walk_has_the_variance_of_the_prior(n):
    # A walk through the unit vectors shows the weights of the points; independent points add up their squares.
    weights = walk(np.eye(n), "normal", 9)
    np.testing.assert_allclose(np.sum(weights**2, axis=-1), 1.0, rtol=1e-12)


def test_half_way_the_weights_are_those_of_the_cubic_spline():
    # Catmull and Rom's are (-1, 9, 9, -1) / 16 there; their squares sum to 164 / 256.
    weights = walk(np.eye(5), "normal", 2)[1, 1]
    np.testing.assert_allclose(weights, np.array([-1.0, 9.0, 9.0, -1.0, 0.0]) / np.sqrt(164), atol=1e-12)


def test_a_walk_under_the_uniform_prior_stays_in_its_range_and_has_its_variance():
    points = np.random.default_rng(1).uniform(-1, 1, (20_000, 1))
    way = walk(points, "uniform", 3)
    assert np.abs(way).max() <= 1.0
    # The standard error of the variance of a uniform number is sqrt(4 / 45 / n) = 0.002.
    np.testing.assert_allclose(way.var(axis=0)[:, 0], 1 / 3, atol=0.01)


def test_a_walk_from_the_very_edge_of_the_uniform_prior_is_finite():
    assert np.isfinite(walk(np.array([[-1.0], [1.0], [0.0]]), "uniform", 4)).all()


@given(st.floats(0.01, 5.0), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_normal_latents_lie_within_the_truncation_and_those_that_did_stay(bound, seed):
    latents = jax.random.normal(jax.random.key(seed), (40, 3))
    moved = np.asarray(truncate(latents, jax.random.key(seed + 1), "normal", bound))
    stays = np.abs(np.asarray(latents)) <= np.float32(bound)
    assert np.abs(moved).max() <= np.float32(bound)
    np.testing.assert_array_equal(moved[stays], np.asarray(latents)[stays])
    assert (moved[~stays] != np.asarray(latents)[~stays]).all()


def test_truncated_latents_have_the_variance_of_the_truncated_normal():
    latents = jax.random.normal(jax.random.key(0), (200_000, 1))
    moved = np.asarray(truncate(latents, jax.random.key(1), "normal", 1.0))
    # Var = 1 - 2 b phi(b) / (2 Phi(b) - 1) = 1 - 2 * 0.2419707 / 0.6826895 at b = 1.
    assert abs(moved.var() - 0.2911251) < 0.003


def test_uniform_latents_are_drawn_towards_the_middle():
    moved = truncate(jnp.array([[-1.0, 0.5]]), jax.random.key(0), "uniform", 0.5)
    np.testing.assert_allclose(moved, [[-0.5, 0.25]])


def test_latents_depend_on_the_seed_and_their_place_alone(tiny_ring):
    few, many = draw(tiny_ring.method.prior, 3, 5), draw(tiny_ring.method.prior, 3, 600)
    assert many.shape == (600, 2) and len(np.unique(many, axis=0)) == 600
    np.testing.assert_array_equal(many[:5], few)
    assert (draw(tiny_ring.method.prior, 4, 5) != few).all()


def test_latents_are_drawn_from_the_prior(tiny_ring):
    normal = draw(tiny_ring.method.prior, 0, 4000)
    uniform = draw(dataclasses.replace(tiny_ring.method.prior, name="uniform"), 0, 4000)
    assert abs(normal.var() - 1) < 0.08 and np.abs(normal).max() > 2  # 5 standard errors
    assert abs(uniform.var() - 1 / 3) < 0.02 and np.abs(uniform).max() <= 1


def test_a_wide_truncation_leaves_the_draws_as_they_are_and_a_tight_one_binds(tiny_ring):
    np.testing.assert_array_equal(draw(tiny_ring.method.prior, 0, 20, 50.0), draw(tiny_ring.method.prior, 0, 20))
    assert np.abs(draw(tiny_ring.method.prior, 0, 700, 0.25)).max() <= 0.25


@pytest.mark.parametrize("n", [1, 512, 513])
def test_rows_go_through_a_network_in_blocks_and_come_back_in_order(n):
    sizes = []

    def network(x):
        sizes.append(len(x))
        return 2 * x + 1

    rows = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    np.testing.assert_array_equal(through(network, rows), 2 * rows + 1)
    assert set(sizes) == {512}


class Shifting:
    """A class-conditional method that adds the label to the latents."""

    def decode(self, variables, latents, labels=None):
        assert labels is not None and labels.dtype == jnp.int32
        return variables * latents + labels[:, None]


def test_a_class_conditional_generator_is_told_the_label_of_every_latent():
    made = pushing(SimpleNamespace(method=Shifting()), 3)(jnp.float32(2.0), jnp.array([[0.0, 1.0], [0.5, -1.0]]))  # type: ignore[arg-type]
    np.testing.assert_array_equal(made, [[3.0, 5.0], [4.0, 1.0]])


def test_a_generator_without_classes_is_the_methods_own(tiny_ring):
    variables, latents = tiny_ring.init().model.average, jnp.ones((2, 2))
    made = pushing(tiny_ring, None)(variables, latents)
    np.testing.assert_array_equal(made, tiny_ring.decode(variables, latents))


def test_a_plane_has_cells_of_equal_probability_from_the_lower_left_corner():
    # The middles of four equal parts are 1/8, 3/8, 5/8 and 7/8.
    found = plane("normal", 4)
    quantiles = np.array([-1.1503494, -0.3186394, 0.3186394, 1.1503494])
    np.testing.assert_allclose(found[:, :, 0], np.tile(quantiles, (4, 1)), atol=1e-6)
    np.testing.assert_allclose(found[:, :, 1], np.tile(quantiles[::-1, None], (1, 4)), atol=1e-6)
    np.testing.assert_allclose(plane("uniform", 2), [[[-0.5, 0.5], [0.5, 0.5]], [[-0.5, -0.5], [0.5, -0.5]]])
