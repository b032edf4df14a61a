"""Latents found by descent: by hand for linear generators, and those that a generator's own samples came from."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from ganrun.evaluation.samples import through
from ganrun.latent_space import latent_error
from ganrun.latent_space.agreement import relative_error
from ganrun.latent_space.latents import draw
from ganrun.latent_space.projection import project

# G(z) = (z1 + z2, z1 - z2, 0): the third number of an input is out of reach.
MATRIX = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0]], np.float32)


def linear(variables, latents):
    return latents @ variables


def begins(n: int, starts: int, dim: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, starts, dim)).astype(np.float32)


def test_the_latent_of_a_linear_generator_is_the_least_squares_solution():
    inputs = np.array([[1.0, 0.0, 0.0], [3.0, 1.0, 1.0]], np.float32)
    found = project(linear, MATRIX, inputs, begins(2, 2, 2), "normal", 400)
    # Beside the 1 that stays, single precision sees an error of the latent from about 2e-4 on.
    np.testing.assert_allclose(found, [[0.5, 0.5], [2.0, 1.0]], atol=1e-3)


def test_latents_of_the_uniform_prior_stay_in_its_range():
    # Without the range the answer would be (2, 1); inside it, the error 2 (z1 - 2)^2 + 2 (z2 - 1)^2 is least at (1, 1).
    inputs = np.array([[3.0, 1.0, 0.0]], np.float32)
    found = project(linear, MATRIX, inputs, np.zeros((1, 3, 2), np.float32), "uniform", 400)
    np.testing.assert_allclose(found, [[1.0, 1.0]], atol=1e-4)
    assert np.abs(found).max() <= 1.0


def test_of_several_ways_the_best_is_kept():
    # G(z) = z^2 (z - 2): at x = 0 both 0 and 2 are exact; at x = 5, one descent ends in the dip at 0, where G is 0.
    def bent(variables, latents):
        return latents**2 * (latents - variables)

    inputs = np.array([[5.0]], np.float32)
    low, high = np.array([[[-1.0]]], np.float32), np.array([[[-1.0], [2.5]]], np.float32)
    stuck = project(bent, jnp.float32(2.0), inputs, low, "normal", 300)
    free = project(bent, jnp.float32(2.0), inputs, high, "normal", 300)
    assert abs(stuck[0, 0]) < 0.1
    (root,) = np.roots([1, -2, 0, -5]).real[np.isreal(np.roots([1, -2, 0, -5]))]
    assert free[0, 0] == pytest.approx(root, abs=1e-4)


def test_the_best_latent_on_the_way_is_kept_not_the_last():
    # From the answer itself, one step of Adam can only lead away.
    inputs = np.array([[2.0, 0.0, 0.0]], np.float32)
    start = np.array([[[1.0, 1.0]]], np.float32)
    found = project(linear, MATRIX, inputs, start, "normal", 1)
    np.testing.assert_array_equal(found, [[1.0, 1.0]])


def test_an_input_is_projected_alike_alone_and_among_many():
    # 300 ways of 2 starts each do not fit into one call of the program.
    inputs = np.random.default_rng(1).normal(size=(300, 3)).astype(np.float32)
    ways = begins(300, 2, 2)
    together = project(linear, MATRIX, inputs, ways, "normal", 200)
    assert together.shape == (300, 2)
    np.testing.assert_allclose(project(linear, MATRIX, inputs[-1:], ways[-1:], "normal", 200), together[-1:], atol=1e-5)


def test_a_generators_own_samples_are_found_again(tiny_ring):
    variables = tiny_ring.init().model.average
    latents = draw(tiny_ring.method.prior, 5, 12)
    samples = through(lambda z: tiny_ring.decode(variables, z), latents)
    ways = draw(tiny_ring.method.prior, 6, 12 * 8).reshape(12, 8, 2)
    found = project(tiny_ring.decode, variables, samples, ways, "normal", 800)
    again = through(lambda z: tiny_ring.decode(variables, z), found)
    assert relative_error(samples, again) < 1e-6
    # The first draws of another seed reconstruct nothing: the measure itself tells apart.
    assert relative_error(samples, through(lambda z: tiny_ring.decode(variables, z), ways[:, 0])) > 0.5
    assert latent_error(latents, latents) == 0.0
