"""8-bit images as points of a continuous space: levels, logits, and the bound for a flow that is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from small_flow import Shift, drawn, small

from ganrun.methods.flow import dequantisation

GREY = (1, 1, 1)


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def levels():
    """The image of one pixel of every level, ``(256, 1, 1, 1)``."""
    return jnp.asarray(np.arange(256) * (2 / 255) - 1.0).reshape(256, *GREY)


def test_levels_become_intervals_of_the_unit_interval_and_come_back():
    lowest, highest = (dequantisation.dequantised(levels().astype(jnp.float32), u) for u in (0.0, 0.999))
    np.testing.assert_allclose(lowest.ravel(), np.arange(256) / 256, atol=1e-7)
    np.testing.assert_allclose(highest.ravel(), (np.arange(256) + 0.999) / 256, atol=1e-7)
    middle = dequantisation.dequantised(levels(), dequantisation.MIDDLE)
    np.testing.assert_allclose(dequantisation.quantised(middle), levels(), atol=1e-6)


def test_the_logit_is_the_number_derived_by_hand_and_undone():
    # y = 1/2 is in the middle: a + (1 - 2a)/2 = 1/2, logit 0, and its derivative is 0.9 / (1/4) = 3.6. The ends are
    # log(0.05 / 0.95) = -log 19 and log 19.
    v, log_det = dequantisation.to_logits(jnp.asarray([[0.5], [0.0], [1.0]]))
    np.testing.assert_allclose(v[:, 0], [0.0, -np.log(19.0), np.log(19.0)], atol=1e-6)
    np.testing.assert_allclose(log_det, np.log([3.6, 0.9 / 0.0475, 0.9 / 0.0475]), rtol=1e-6)
    np.testing.assert_allclose(dequantisation.from_logits(v)[:, 0], [0.5, 0.0, 1.0], atol=1e-6)


def test_the_log_determinant_of_the_logit_is_that_of_differentiation(double):
    y = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 2, 3)))
    matrix = jax.jacobian(lambda y: dequantisation.to_logits(y[None])[0].ravel())(y).reshape(12, 12)
    found = dequantisation.to_logits(y[None])[1][0]
    assert float(found) == pytest.approx(float(jnp.linalg.slogdet(matrix)[1]), rel=1e-10)


def test_bits_per_dim_of_uniform_noise_are_eight():
    shape = (2, 3, 1)  # six pixels that are independent and uniform have the log-probability -6 log 256
    assert dequantisation.log_volume(shape) == pytest.approx(-6 * np.log(256))
    assert float(dequantisation.bits_per_dim(jnp.float32(-6 * np.log(256)), shape)) == pytest.approx(8.0, rel=1e-6)


def test_the_density_of_the_identity_flow_is_the_number_derived_by_hand():
    # Level 0 with u = 1/2: y = 1/512, s = 0.05 + 0.9 y = 0.0517578, v = log(s / (1 - s)) = -2.908035, and
    # log p = -v²/2 - log(2 pi)/2 + log 0.9 - log s - log(1 - s) - log 256
    #       = -4.228332 - 0.918939 - 0.105361 + 2.961180 + 0.053145 - 5.545177 = -7.783484.
    method = small(GREY, module=Shift(GREY))
    found = method._log_density(drawn(method, 0.0), levels()[:1].astype(jnp.float32), None, 0.5)
    assert float(found[0]) == pytest.approx(-7.783484, abs=1e-5)


def test_the_bound_of_every_level_is_below_its_log_probability_which_is_the_mean_over_the_noise(double):
    # With z = v + 1 the flow's logits are N(-1, 1), so the probability of a level is known.
    method = small(GREY, module=Shift(GREY))
    variables = {"params": {"shift": jnp.asarray(1.0)}, "batch_stats": {}}
    nodes, weights = np.polynomial.legendre.leggauss(20)
    each = np.array([method._log_density(variables, levels(), None, (node + 1) / 2) for node in nodes])
    edges = np.log((0.05 + 0.9 * np.arange(257) / 256) / (0.95 - 0.9 * np.arange(257) / 256))
    exact = np.log(np.diff(norm.cdf(edges + 1.0)))
    np.testing.assert_allclose(np.log(weights @ np.exp(each) / 2), exact, atol=1e-9)
    bound = weights @ each / 2
    assert np.all(bound < exact) and np.all(bound > exact - 0.1)
    # An estimate with random noise has the bound as its mean.
    x = jnp.tile(levels()[3:4], (4000, 1, 1, 1))
    found = np.asarray(method.log_density(variables, jax.random.key(0), x)["log_likelihood_bound"])
    assert found.mean() == pytest.approx(bound[3], abs=4 * found.std() / np.sqrt(4000)) and found.std() > 0
