"""The learned prior of a VAE, checked against distributions that are known and against a standard normal prior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from small_vae import begun, small

from ganrun.methods.vae.flow_prior import FlowPrior

PLANE = FlowPrior(dim=2, couplings=3, hidden=7)
SHIFT, SCALE = np.array([0.7, -1.1]), np.array([0.5, 2.0])  # of the noise: z = noise * SCALE + SHIFT


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def at_random(prior, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(0.4 * rng.normal(size=leaf.shape)), prior.init(jax.random.key(0)))


def shifted(prior):
    """The parameters of a normal prior with the mean SHIFT and the standard deviations SCALE."""
    params = prior.init(jax.random.key(0))
    params["scalings_0"] = {"log_scale": jnp.asarray(-np.log(SCALE)), "offset": jnp.asarray(-SHIFT)}
    return params


def test_the_density_integrates_to_one_in_the_plane(double):
    # The flow has heavy tails where it compresses: the box is large, and the rule is exact for smooth functions.
    side = np.linspace(-30.0, 30.0, 2_401)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    log_p = PLANE.log_prob(at_random(PLANE), jnp.asarray(grid))
    assert np.ptp(np.asarray(log_p)) > 10.0
    assert float(np.sum(np.exp(log_p))) * (side[1] - side[0]) ** 2 == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("dim", [2, 5])
def test_noise_maps_to_latents_and_back(dim, double):
    prior = FlowPrior(dim, 4, 7)
    params, noise = at_random(prior), jax.random.normal(jax.random.key(1), (50, dim))
    z = prior.from_noise(params, noise)
    assert float(jnp.max(jnp.abs(z - noise))) > 0.5
    np.testing.assert_allclose(prior.to_noise(params, z), noise, atol=1e-9)


def test_a_flow_that_scales_and_shifts_is_a_normal_distribution(double):
    z = np.random.default_rng(3).normal(size=(4, 6, 2))
    found = PLANE.log_prob(shifted(PLANE), jnp.asarray(z))
    np.testing.assert_allclose(found, multivariate_normal(SHIFT, np.diag(SCALE**2)).logpdf(z), atol=1e-12)


def test_the_initial_prior_is_the_standard_normal_one(double):
    plain, learned = small(), small(flow_prior=PLANE)
    variables = learned.variables(begun(learned))
    x, noise = jnp.linspace(-1.0, 1.0, 12).reshape(4, 3), jax.random.normal(jax.random.key(1), (3, 4, 2))
    wanted, found = (method.terms(variables, x, noise)[0] for method in (plain, learned))
    np.testing.assert_allclose(found.log_weights, wanted.log_weights, atol=1e-12)
    np.testing.assert_array_equal(found.reconstruction, wanted.reconstruction)
    for ours, theirs in zip(
        *(method.log_density(variables, jax.random.key(2), x).values() for method in (plain, learned)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def with_shifted_prior():
    method = small(flow_prior=PLANE)
    variables = method.variables(begun(method))
    variables["params"]["prior"] = shifted(PLANE)
    return method, variables


def test_the_kl_is_that_of_two_normal_distributions(double):
    method, variables = with_shifted_prior()
    x = jnp.linspace(-1.0, 1.0, 6).reshape(2, 3)
    mean, log_variance = (np.asarray(part) for part in method._apply(variables, x, "encode"))
    of_latents = 0.5 * ((np.exp(log_variance) + (mean - SHIFT) ** 2) / SCALE**2 - 1 - log_variance) + np.log(SCALE)
    # The mean over noise of a quadratic function is that over the points ±sqrt(2) e_i.
    points = np.sqrt(2) * np.concatenate([np.eye(2), -np.eye(2)])
    noise = jnp.broadcast_to(jnp.asarray(points)[:, None], (4, 2, 2))
    found = method.terms(variables, x, noise)[0].kl
    assert found.shape == (2, 1)
    np.testing.assert_allclose(found[:, 0], of_latents.sum(axis=1), atol=1e-12)


def test_decoding_and_encoding_are_of_the_noise(double):
    method, variables = with_shifted_prior()
    noise = np.random.default_rng(0).normal(size=(5, 2))
    of_decoder = method._apply(variables, jnp.asarray(noise * SCALE + SHIFT), "decode")
    np.testing.assert_allclose(method.decode(variables, jnp.asarray(noise)), of_decoder[..., 0], atol=1e-12)
    x = jnp.linspace(-1.0, 1.0, 6).reshape(2, 3)
    mean = method._apply(variables, x, "encode")[0]
    np.testing.assert_allclose(method.encode(variables, x), (mean - SHIFT) / SCALE, atol=1e-12)


def test_the_parameters_of_the_prior_are_a_network_of_their_own():
    method = small(flow_prior=PLANE)
    networks = method.networks(begun(method))
    assert set(networks) == {"decoder", "encoder", "prior"}
    assert {"scalings_0", "networks_2"} <= set(networks["prior"]["params"])
