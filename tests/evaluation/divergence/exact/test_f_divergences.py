"""f-divergences on the line against closed forms, quadrature that shares no code, and the table of the f-GAN paper."""

from itertools import pairwise
from math import erf, exp, inf, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from ganrun.datasets.synthetic import Grid, mixture
from ganrun.evaluation.divergence.exact.densities import of_densities
from ganrun.evaluation.divergence.exact.f_divergences import INTEGRANDS, f_divergence, fit_gaussian

TARGET = mixture(np.array([[-1.0], [2.0]]), np.array([0.255, 1.415]), np.array([0.33, 0.67]))
BIMODAL = mixture(np.array([[-1.5], [2.0]]), np.array([0.7, 1.0]), np.array([0.6, 0.4]))


def normal(mean, std=1.0):
    return mixture(np.array([[mean]]), std)


every_divergence = pytest.mark.parametrize("name", list(INTEGRANDS))


@pytest.mark.parametrize("shift", [0.25, 1.0, 3.0])
def test_two_normals_of_one_width_have_closed_forms(shift):
    closed = {
        "kl": shift**2 / 2,
        "reverse_kl": shift**2 / 2,
        "jeffrey": shift**2,
        "pearson": exp(shift**2) - 1,
        "squared_hellinger": 2 - 2 * exp(-(shift**2) / 8),
        "total_variation": erf(shift / sqrt(8)),
    }
    for name, value in closed.items():
        assert f_divergence(normal(0.0), normal(shift), name) == pytest.approx(value, rel=1e-11), name


def test_two_widths_have_closed_forms():
    # p = N(0, 1), q = N(0, 4): log 2 - 3/8 one way, 3/2 - log 2 the other. p^2 / q is exp(-7 x^2 / 8) 2 / sqrt(2 pi),
    # whose integral is 4 / sqrt 7; the overlap of the roots is sqrt(4/5).
    p, q = normal(0.0), normal(0.0, 2.0)
    assert f_divergence(p, q, "kl") == pytest.approx(log(2) - 3 / 8, rel=1e-11)
    assert f_divergence(p, q, "reverse_kl") == pytest.approx(3 / 2 - log(2), rel=1e-11)
    assert f_divergence(p, q, "jeffrey") == pytest.approx(9 / 8, rel=1e-11)
    assert f_divergence(p, q, "pearson") == pytest.approx(4 / sqrt(7) - 1, rel=1e-11)
    assert f_divergence(p, q, "squared_hellinger") == pytest.approx(2 - 2 * sqrt(4 / 5), rel=1e-11)


@pytest.mark.parametrize("std", [0.625, 0.70703125, 0.7109375, 0.75, 1.0])
def test_the_pearson_divergence_is_infinite_where_the_models_tails_are_too_light(std):
    # p^2 / q has the precision 2 - 1 / s^2: none from s = sqrt(1/2) = 0.7071 down. Above, its integral is
    # s / sqrt(2 - 1 / s^2), of tails that reach as far as they like.
    precision = 2 - 1 / std**2
    expected = inf if precision <= 0 else std / sqrt(precision) - 1
    assert f_divergence(normal(0.0), normal(0.0, std), "pearson") == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("p", "q"), [(TARGET, normal(1.0, 1.75)), (normal(0.5, 0.25), BIMODAL)])
def test_the_js_divergence_is_that_of_the_other_quadrature(p, q):
    found = of_densities(p, q)
    assert f_divergence(p, q, "js") == pytest.approx(found.jsd, abs=1e-7)
    assert f_divergence(p, q, "kl") == pytest.approx(found.kl_forward, rel=1e-6)
    assert f_divergence(p, q, "reverse_kl") == pytest.approx(found.kl_reverse, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "integrand"),
    [
        ("jeffrey", lambda p, q: (p - q) * log(p / q)),
        ("pearson", lambda p, q: (p - q) ** 2 / q),
        ("squared_hellinger", lambda p, q: (sqrt(p) - sqrt(q)) ** 2),
        ("total_variation", lambda p, q: abs(p - q) / 2),
    ],
)
def test_a_mixture_against_a_normal_by_adaptive_quadrature(name, integrand):
    def summand(x):
        p = 0.6 * norm.pdf(x, -1.5, 0.7) + 0.4 * norm.pdf(x, 2.0, 1.0)
        return integrand(p, norm.pdf(x, 0.5, 2.0))

    pieces = np.linspace(-14, 14, 15)
    expected = sum(quad(summand, low, high, epsabs=1e-13, limit=200)[0] for low, high in pairwise(pieces))
    assert f_divergence(BIMODAL, normal(0.5, 2.0), name) == pytest.approx(expected, rel=1e-7)


def test_a_bend_between_two_narrow_modes_is_found():
    # Nearly all of q lies around 0, where next to nothing of p does and -log p changes its slope from 40 to -40 within
    # a tenth. By symmetry the integral is twice that over x > 0, in pieces around the bend.
    p = mixture(np.array([[-10.0], [10.0]]), 0.5)
    q = normal(0.0, 2.0)

    def half(x):
        both = np.logaddexp(norm.logpdf(x, 10, 0.5), norm.logpdf(x, -10, 0.5)) - log(2)
        return norm.pdf(x, 0, 2) * (norm.logpdf(x, 0, 2) - both)

    expected = 2 * sum(quad(half, *ends, epsabs=1e-10)[0] for ends in ((0, 0.05), (0.05, 0.5), (0.5, 4), (4, 24)))
    assert f_divergence(p, q, "reverse_kl") == pytest.approx(expected, rel=1e-9)


def test_modes_far_apart_and_disjoint():
    p, q = normal(-500.0, 0.125), normal(500.0, 0.125)
    assert f_divergence(p, q, "js") == pytest.approx(log(2), rel=1e-12)
    assert f_divergence(p, q, "total_variation") == pytest.approx(1, rel=1e-12)
    assert f_divergence(p, q, "squared_hellinger") == pytest.approx(2, rel=1e-12)
    assert f_divergence(p, q, "kl") == pytest.approx(1000**2 / 2 / 0.125**2, rel=1e-12)
    assert f_divergence(p, q, "pearson") == inf  # exp(6.4e7) is no number


@every_divergence
def test_a_density_is_at_no_distance_from_itself(name):
    assert f_divergence(TARGET, TARGET, name) == pytest.approx(0, abs=1e-15)


MIXTURES = st.tuples(
    st.lists(st.floats(-3, 3), min_size=2, max_size=2),
    st.lists(st.floats(0.5, 1.5), min_size=2, max_size=2),
    st.floats(0.1, 0.9),
)


@settings(deadline=None, max_examples=25)
@given(MIXTURES, MIXTURES)
def test_the_inequalities_between_divergences_hold(one, other):
    p, q = (mixture(np.array(m)[:, None], np.array(s), np.array([w, 1 - w])) for m, s, w in (one, other))
    value = {name: f_divergence(p, q, name) for name in INTEGRANDS}
    back = {name: f_divergence(q, p, name) for name in INTEGRANDS}
    assert min(value.values()) >= -1e-14
    for name in ("js", "jeffrey", "squared_hellinger", "total_variation"):
        assert value[name] == pytest.approx(back[name], rel=1e-9, abs=1e-12)
    assert value["kl"] == pytest.approx(back["reverse_kl"], rel=1e-9, abs=1e-12)
    assert value["jeffrey"] == pytest.approx(value["kl"] + value["reverse_kl"], rel=1e-9, abs=1e-12)
    distance, hellinger, tiny = value["total_variation"], value["squared_hellinger"], 1e-12
    assert 2 * distance**2 <= value["kl"] + tiny  # Pinsker
    assert hellinger / 2 <= distance + tiny and distance <= sqrt(hellinger) + tiny  # Le Cam
    assert log1p_at_least(value["pearson"], value["kl"])
    assert distance**2 / 2 <= value["js"] + tiny and value["js"] <= log(2) * distance + tiny  # Lin 1991


def log1p_at_least(pearson, kl):
    """KL <= log(1 + chi^2), by Jensen."""
    return pearson == inf or kl <= np.log1p(pearson) + 1e-12


# Published numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "factor", "value", "mean", "std"),
    [
        ("kl", 1, 0.2831, 1.0100, 1.8308),
        ("reverse_kl", 1, 0.2480, 1.5782, 1.6319),
        ("js", 2, 0.1280, 1.3070, 1.7542),  # the paper's is twice the Jensen-Shannon divergence
        ("jeffrey", 1, 0.5705, 1.3218, 1.7034),
        ("pearson", 1, 0.6457, 0.5737, 1.9274),
    ],
)
def test_the_table_of_the_fgan_paper(name, factor, value, mean, std):
    # Nowozin et al. 2016: the best single Gaussian for a mixture of two, by each divergence.
    fit = fit_gaussian(TARGET, name)
    assert (factor * fit.value, fit.mean, fit.std) == pytest.approx((value, mean, std), abs=1e-3)


def test_forward_kl_covers_modes_and_reverse_kl_seeks_one():
    covering, seeking = fit_gaussian(TARGET, "kl"), fit_gaussian(TARGET, "reverse_kl")
    assert covering.std == pytest.approx(1.831, abs=5e-4)
    assert seeking.std == pytest.approx(1.632, abs=5e-4)
    # KL(p, q) is least where the moments agree: sum w m, and sum w (s^2 + m^2) less that squared.
    mean = -0.33 + 0.67 * 2
    variance = 0.33 * (0.255**2 + 1) + 0.67 * (1.415**2 + 4) - mean**2
    assert (covering.mean, covering.std) == pytest.approx((mean, sqrt(variance)), abs=1e-6)
    # Modes further apart leave no doubt: reverse KL takes one of them, and log 2 is what the other half costs.
    far = mixture(np.array([[-8.0], [8.0]]), 1.0)
    assert fit_gaussian(far, "kl")[1:] == pytest.approx((0, sqrt(65)), abs=1e-5)
    one = fit_gaussian(far, "reverse_kl")
    assert (one.value, abs(one.mean), one.std) == pytest.approx((log(2), 8, 1), abs=1e-5)


def test_the_gaussian_of_the_least_js_divergence_is_not_where_the_nonsaturating_loss_rests():
    # The fixed points of the two losses agree only where the data can be matched; (-1.412, 0.782) is the other's.
    fit = fit_gaussian(BIMODAL, "js")
    assert (fit.mean, fit.std) == pytest.approx((-0.014, 1.885), abs=1e-3)


@every_divergence
def test_a_gaussian_is_fitted_by_itself_at_any_scale(name):
    for mean, std in ((0.5, 2.0), (3e4, 1e-3)):
        fit = fit_gaussian(normal(mean, std), name)
        given_mean, given_std = float(np.float32(mean)), float(np.float32(std))
        assert fit.value == pytest.approx(0, abs=1e-10)
        assert abs(fit.mean - given_mean) < 1e-4 * given_std
        assert fit.std == pytest.approx(given_std, rel=1e-4)


# What is refused --------------------------------------------------------------------------------------------------


def test_an_unknown_divergence_is_answered_with_all_and_the_closest():
    with pytest.raises(ValueError, match=r"^no f-divergence 'pearsn'\. Did you mean 'pearson'\? There are kl, .*\.$"):
        f_divergence(normal(0.0), normal(1.0), "pearsn")
    with pytest.raises(ValueError, match="no f-divergence"):
        fit_gaussian(normal(0.0), "jsd")


def test_the_plane_is_refused():
    with pytest.raises(ValueError, match="2 dimensions; an f-divergence is integrated in 1"):
        f_divergence(Grid().density(), normal(0.0), "kl")
    with pytest.raises(ValueError, match="2 dimensions"):
        fit_gaussian(Grid().density(), "kl")
