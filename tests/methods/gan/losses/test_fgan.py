"""f-GAN against the definition of an f-divergence: E_q f(p/q), with f as the paper's Table 1 has it."""

import functools
from math import log, sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import weighed
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrun.datasets.synthetic import mixture
from ganrun.evaluation.divergence.exact.f_divergences import INTEGRANDS, f_divergence
from ganrun.methods.gan.losses import FGan
from ganrun.methods.gan.losses.fgan import FORMS

# f(u), convex with f(1) = 0.
GENERATING = {
    "kl": lambda u: u * jnp.log(u),
    "reverse_kl": lambda u: -jnp.log(u),
    "js": lambda u: u * jnp.log(u) - (1 + u) * jnp.log((1 + u) / 2),
    "jeffrey": lambda u: (u - 1) * jnp.log(u),
    "pearson": lambda u: (u - 1) ** 2,
    "squared_hellinger": lambda u: (jnp.sqrt(u) - 1) ** 2,
    "total_variation": lambda u: 0.5 * jnp.abs(u - 1),
}
# The network's output v whose T = g_f(v) is f'(u), by hand, in r = log u.
BEST = {
    "kl": lambda r: 1 + r,
    "reverse_kl": lambda r: r,  # -exp(-v) = -1/u
    "js": lambda r: r,  # log 2 - log(1 + exp(-v)) = log(2u / (1 + u))
    "jeffrey": lambda r: 1 + r - jnp.exp(-r),
    "pearson": lambda r: 2 * jnp.expm1(r),
    "squared_hellinger": lambda r: r / 2,  # 1 - exp(-v) = 1 - 1 / sqrt u
    "total_variation": lambda r: 20.0 * jnp.sign(r),  # tanh(v) / 2 = sign(u - 1) / 2
}
PAPER = {"js": 2.0}  # times ganrun's divergence of the same name
OMEGA = 0.5671432904097838  # Lambert's W(1): OMEGA exp(OMEGA) = 1
PLAIN = {}
every_divergence = pytest.mark.parametrize("name", list(FORMS))

# p = (3/4, 1/4) and q = (1/2, 1/2) on two points, as four rows each: u = 3/2 and 1/2.
P, Q, U = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), np.array([1.5, 0.5])


def test_the_names_are_those_of_the_exact_divergences():
    assert list(FORMS) == list(INTEGRANDS) == list(GENERATING)


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("kl", 3 / 4 * log(3 / 2) + 1 / 4 * log(1 / 2)),
        ("reverse_kl", 1 / 2 * log(2 / 3) + 1 / 2 * log(2)),
        # Against the middle (5/8, 3/8); both halves, without the factor 1/2 of the Jensen-Shannon divergence.
        ("js", 3 / 4 * log(6 / 5) + 1 / 4 * log(2 / 3) + 1 / 2 * log(4 / 5) + 1 / 2 * log(4 / 3)),
        ("jeffrey", 1 / 4 * log(3 / 2) - 1 / 4 * log(1 / 2)),
        ("pearson", (1 / 16) / (1 / 2) * 2),
        ("squared_hellinger", (sqrt(3 / 4) - sqrt(1 / 2)) ** 2 + (sqrt(1 / 4) - sqrt(1 / 2)) ** 2),
        ("total_variation", 1 / 4),
    ],
)
def test_the_value_at_the_optimum_is_the_divergence_by_hand(name, by_hand):
    table = BEST[name](jnp.log(jnp.asarray(U)))
    loss = FGan(divergence=name)
    assert -loss.discriminator(table[P], table[Q], PLAIN) == pytest.approx(by_hand, rel=2e-6)
    # No other output does better, and there the slope is 0.
    slope = jax.grad(lambda v: loss.discriminator(v[P], v[Q], PLAIN))(table)
    np.testing.assert_allclose(slope, [0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "output", "conjugate"),
    [
        # At v = 1: T, and f*(T) from the formulas of the paper's Table 2.
        ("kl", 1.0, 1.0),  # exp(1 - 1)
        ("reverse_kl", -np.exp(-1.0), 0.0),  # -1 - log(exp(-1))
        ("js", log(2) - np.log1p(np.exp(-1.0)), -log(2 - 2 / (1 + np.exp(-1.0)))),
        ("jeffrey", 1.0, OMEGA + 1 / OMEGA - 1),
        ("pearson", 1.0, 1.25),
        ("squared_hellinger", 1 - np.exp(-1.0), np.e - 1),
        ("total_variation", np.tanh(1.0) / 2, np.tanh(1.0) / 2),
    ],
)
def test_activations_and_conjugates_by_hand(name, output, conjugate):
    v = jnp.ones(3)
    assert FORMS[name].output(v) == pytest.approx(output, rel=1e-6)
    assert FORMS[name].conjugate(v) == pytest.approx(conjugate, rel=1e-6, abs=1e-7)
    real = jnp.zeros(3)
    assert FGan(divergence=name).discriminator(real, v, PLAIN) == pytest.approx(
        float(conjugate - FORMS[name].output(real)), rel=1e-5, abs=1e-6
    )


@every_divergence
def test_the_two_generators_by_hand(name):
    v = jnp.array([0.3, -1.0])
    saturating = FGan(divergence=name, generator_objective="saturating").generator(None, v, PLAIN)
    keeping = FGan(divergence=name, generator_objective="nonsaturating").generator(None, v, PLAIN)
    # The first is the generator's half of V, the second minus what the discriminator says of data.
    zero = jnp.zeros(1)
    assert FGan(divergence=name).discriminator(zero, v, PLAIN) == pytest.approx(
        float(-saturating - FORMS[name].output(zero)), rel=1e-6, abs=1e-6
    )
    assert FGan(divergence=name).discriminator(v, zero, PLAIN) == pytest.approx(
        float(keeping + FORMS[name].conjugate(zero)), rel=1e-6, abs=1e-6
    )


@every_divergence
def test_the_best_output_is_the_slope_of_f_and_its_conjugate_follows(name):
    # T* = f'(u), and f*(f'(u)) = u f'(u) - f(u), from e^-8 to e^8.
    f = GENERATING[name]
    with jax.enable_x64(True):
        r = jnp.array([-8.0, -3.0, -0.7, -0.01, 0.02, 0.5, 2.0, 8.0])
        u = jnp.exp(r)
        slope = jax.vmap(jax.grad(f))(u)
        v = BEST[name](r)
        np.testing.assert_allclose(jax.vmap(lambda v: FORMS[name].output(v[None]))(v), slope, rtol=1e-11, atol=1e-12)
        found = jax.vmap(lambda v: FORMS[name].conjugate(v[None]))(v)
        np.testing.assert_allclose(found, u * slope - f(u), rtol=1e-9, atol=1e-11)


@every_divergence
def test_a_higher_output_speaks_for_data(name):
    v = jnp.linspace(-3, 3, 25)
    outputs = jax.vmap(lambda v: FORMS[name].output(v[None]))(v)
    assert bool(jnp.all(jnp.diff(outputs) > 0))


@functools.partial(jax.jit, static_argnums=0)
def weighed_value(name, v, p, q):
    """E_p T - E_q f*(T) where point i has the mass p[i] and q[i], from the loss on batches of one row."""
    loss, zero = FGan(divergence=name), jnp.zeros(1)
    on_data = jax.vmap(lambda v: -loss.discriminator(v[None], zero, PLAIN))(v)
    on_samples = jax.vmap(lambda v: -loss.discriminator(zero, v[None], PLAIN))(v)
    return jnp.sum(p * on_data) + jnp.sum(q * on_samples) + loss.discriminator(zero, zero, PLAIN)


SHARES = st.lists(st.floats(0.05, 1.0), min_size=6, max_size=6)


@every_divergence
@settings(deadline=None, max_examples=15)
@given(shares=SHARES, outputs=st.lists(st.floats(-6, 6), min_size=3, max_size=3))
def test_no_discriminator_exceeds_the_divergence(name, shares, outputs):
    p, q = (np.array(part) / sum(part) for part in (shares[:3], shares[3:]))
    with jax.enable_x64(True):
        divergence = float(jnp.sum(q * GENERATING[name](jnp.asarray(p / q))))
        assert float(weighed_value(name, jnp.array(outputs), p, q)) <= divergence + 1e-9
        best = BEST[name](jnp.log(jnp.asarray(p / q)))
        assert float(weighed_value(name, best, p, q)) == pytest.approx(divergence, abs=1e-9)


@every_divergence
def test_the_value_at_the_optimum_is_the_exact_divergence_of_two_gaussians(name):
    mean, std = 0.75, 1.25
    with jax.enable_x64(True):
        x = jnp.asarray(weighed.Z)
        width = weighed.Z[1] - weighed.Z[0]
        log_p, log_q = weighed.log_normal(x, 0.0, 1.0), weighed.log_normal(x, mean, std)
        v = BEST[name](log_p - log_q)
        value = float(weighed_value(name, v, width * jnp.exp(log_p), width * jnp.exp(log_q)))
    exact = f_divergence(mixture(np.zeros((1, 1)), 1.0), mixture(np.array([[mean]]), std), name)
    assert value == pytest.approx(PAPER.get(name, 1.0) * exact, abs=1e-6)


@every_divergence
@pytest.mark.parametrize("v", [-30.0, 30.0])
def test_far_outputs_keep_their_value_in_single_precision(name, v):
    # The same numbers in double precision, where nothing here comes near to overflowing.
    single = [part(jnp.array([v])) for part in FORMS[name]]
    with jax.enable_x64(True):
        double = [part(jnp.array([v])) for part in FORMS[name]]
    np.testing.assert_allclose(single, double, rtol=2e-5, atol=1e-10)


def test_the_jeffrey_conjugate_has_lambert_s_equation_as_its_slope():
    # f*'(v) = u = 1 / w with w + log w = 1 - v: at w = 1/2, 1 and 100.
    w = np.array([0.5, 1.0, 100.0])
    slope = jax.vmap(jax.grad(lambda v: FORMS["jeffrey"].conjugate(v[None])))(jnp.asarray(1 - w - np.log(w)))
    np.testing.assert_allclose(slope, 1 / w, rtol=1e-5)
