"""The chain of a generative stochastic network: its corruption, and the distribution that it leaves unchanged."""

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import usual_options
from flax import linen as nn

from ganrun.methods.gsn.gsn import Gsn, gaussian_noise, salt_and_pepper
from ganrun.methods.likelihoods import Likelihood
from ganrun.optimizers import Sgd

PIXELS, N, TOLERANCE = 4, 20_000, 0.02
STATES = np.array(list(itertools.product((-1.0, 1.0), repeat=PIXELS)))
DATA = np.random.default_rng(1).dirichlet(np.full(16, 0.5))  # a distribution of four pixels that are not independent


def corruption_matrix(level):
    """C(c|x) of salt-and-pepper noise ``(x, c)``: a pixel is kept with probability 1 - level / 2."""
    flips = (STATES[:, None] != STATES[None, :]).sum(axis=2)
    return (level / 2) ** flips * (1 - level / 2) ** (PIXELS - flips)


def posterior(level):
    """P(x|c) ``(c, x)`` under the distribution of the data."""
    joint = DATA[:, None] * corruption_matrix(level)  # (x, c)
    return (joint / joint.sum(axis=0)).T


def total_variation(p, q):
    return 0.5 * np.abs(p - q).sum()


class Identity(nn.Module):
    """A denoiser whose parameters are the corrupted pixels themselves."""

    @nn.compact
    def __call__(self, x, train):
        return x[..., None]


@dataclass(frozen=True)
class Tabulated(Likelihood):
    """P(x|c) from a table for the noise of ``level``, given c: the distribution of all pixels together."""

    OUTPUTS = 1
    level: float = 0.4

    def log_prob(self, parameters, x):
        raise NotImplementedError

    def mean(self, parameters):
        raise NotImplementedError

    def sample(self, parameters, key):
        pixels = parameters[..., 0].reshape(len(parameters), PIXELS)
        index = ((pixels > 0) @ (2 ** np.arange(PIXELS)[::-1])).astype(int)
        drawn = jax.random.categorical(key, jnp.log(jnp.asarray(posterior(self.level)))[index])
        return jnp.asarray(STATES, jnp.float32)[drawn].reshape(parameters.shape[:-1])


def chain(level, steps=60, table=0.4):
    """The distribution of the states of N chains from white images after ``steps`` steps with noise of ``level``."""
    settings = {"optimizer": Sgd(), "batch_size": 4, "shape": (2, 2, 1), "walkback": 1, "sample_steps": 8}
    method = Gsn(module=Identity(), likelihood=Tabulated(table), **settings)
    variables = {"params": {"networks": {}}, "batch_stats": {}}

    def body(index, x):
        return method.transition(variables, level, jax.random.fold_in(jax.random.key(0), index), x)[0]

    run = jax.jit(lambda x: jax.lax.fori_loop(0, steps, body, x), compiler_options=usual_options())
    found = np.asarray(run(jnp.ones((N, 2, 2, 1)))).reshape(N, PIXELS)
    return np.bincount((found > 0) @ (2 ** np.arange(PIXELS)[::-1]), minlength=16) / N


def test_the_distribution_of_the_data_is_stationary_if_the_denoiser_is_the_posterior():
    transition = corruption_matrix(0.4) @ posterior(0.4)
    np.testing.assert_allclose(DATA @ transition, DATA, atol=1e-12)
    far = np.linalg.matrix_power(transition, 60)[-1]  # from white
    assert total_variation(far, DATA) < 1e-3
    assert total_variation(chain(0.4), DATA) < TOLERANCE


@pytest.mark.parametrize("steps", [1, 2])
def test_a_step_has_the_probabilities_of_the_transition_matrix(steps):
    transition = corruption_matrix(0.4) @ posterior(0.4)
    wanted = np.linalg.matrix_power(transition, steps)[-1]
    assert total_variation(wanted, DATA) > 3 * TOLERANCE
    assert total_variation(chain(0.4, steps), wanted) < TOLERANCE


def test_another_corruption_than_that_of_the_posterior_has_another_distribution():
    assert total_variation(chain(0.9), DATA) > 3 * TOLERANCE


def test_salt_and_pepper_noise_replaces_a_share_of_the_pixels_by_fair_ones():
    x = jnp.concatenate([jnp.ones((N, 1)), -jnp.ones((N, 1))], axis=1)
    found = np.asarray(salt_and_pepper(x, jnp.float32(0.4), jax.random.key(0)))
    assert set(np.unique(found)) == {-1.0, 1.0}
    np.testing.assert_allclose((found != np.asarray(x)).mean(axis=0), 0.2, atol=0.015)
    np.testing.assert_array_equal(salt_and_pepper(x, jnp.float32(0.0), jax.random.key(0)), x)


def test_gaussian_noise_has_the_standard_deviation_of_its_level():
    found = np.asarray(gaussian_noise(jnp.full((N, 2), 3.0), jnp.float32(0.4), jax.random.key(0)))
    np.testing.assert_allclose((found.mean(axis=0), found.std(axis=0)), ([3.0, 3.0], [0.4, 0.4]), atol=0.015)
