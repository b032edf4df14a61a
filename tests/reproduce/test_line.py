"""Expectations by quadrature against closed forms and SciPy, in double precision."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from ganrun.methods.gan.losses import LOG_4, Minimax, NonSaturating
from ganrun.reproduce.fits import fit
from ganrun.reproduce.line import MIXTURE1D, discriminator_loss, expectation, generator_gradient, jsd, kl, normal


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def test_moments_and_divergences_are_those_in_closed_form():
    assert float(expectation(lambda x: x, MIXTURE1D)) == pytest.approx(0.6 * -1.5 + 0.4 * 2.0, abs=1e-12)
    assert float(kl(normal(0.0, 1.0), normal(1.0, 2.0))) == pytest.approx(math.log(2) + 2 / 8 - 0.5, abs=1e-12)
    assert float(jsd(normal(), normal())) == pytest.approx(0.0, abs=1e-14)
    assert float(jsd(normal(-12.0), normal(12.0))) == pytest.approx(math.log(2), abs=1e-9)


def test_the_divergence_is_that_of_adaptive_quadrature():
    def density(p, x):
        return float(np.exp(p.log_density(jnp.asarray([x])))[0])

    def integrand(x):
        a, b = density(MIXTURE1D, x), density(normal(), x)
        middle = (a + b) / 2
        return 0.5 * (a * math.log(a / middle) + b * math.log(b / middle)) if min(a, b) > 0 else 0.0

    wanted, _ = integrate.quad(integrand, -12, 12, limit=400, epsabs=1e-9)
    assert float(jsd(MIXTURE1D, normal())) == pytest.approx(wanted, abs=1e-7)


def test_the_loss_of_a_constant_discriminator_is_log_4_by_ganruns_own_loss():
    assert float(discriminator_loss(Minimax(), jnp.zeros_like, MIXTURE1D, normal())) == pytest.approx(LOG_4, abs=1e-12)


def test_gradients_of_shifted_normals_are_the_integrals_of_the_derivative_of_the_logit():
    # The optimal logit of N(0, 1) against N(2, 1) is 2 - 2 x, with derivative -2: -log D has the gradient 2 E (1 - D).
    def integrand(x, of):
        return math.exp(-0.5 * (x - 2) ** 2) / math.sqrt(2 * math.pi) * of(1 / (1 + math.exp(-(2 - 2 * x))))

    alive, _ = integrate.quad(integrand, -10, 14, args=(lambda d: 2 * (1 - d),))
    vanishing, _ = integrate.quad(integrand, -10, 14, args=(lambda d: 2 * d,))
    assert generator_gradient(NonSaturating(), normal(), 2.0, 1.0)[0] == pytest.approx(alive, abs=1e-7)
    assert generator_gradient(Minimax(), normal(), 2.0, 1.0)[0] == pytest.approx(vanishing, abs=1e-7)


def test_the_best_fit_by_kl_has_the_moments_of_the_data():
    value, mean, std = fit("kl", (0.0, 2.0), MIXTURE1D)
    second = 0.6 * (0.49 + 2.25) + 0.4 * (1.0 + 4.0)
    assert mean == pytest.approx(-0.1, abs=1e-7) and std == pytest.approx(math.sqrt(second - 0.01), abs=1e-7)
    assert value == pytest.approx(float(kl(MIXTURE1D, normal(mean, std))), abs=1e-7)


def test_samples_of_a_mixture_have_its_moments():
    draws = MIXTURE1D.draw(np.random.default_rng(0), 40_000)
    assert draws.shape == (40_000, 1) and draws.mean() == pytest.approx(-0.1, abs=0.05)
