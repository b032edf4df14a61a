"""Diagnostics of Markov chains, against numbers of NumPyro and against chains whose answer is known."""

import numpy as np
import pytest

from ganrun.methods.chain_diagnostics import (
    SPECS,
    diagnosed,
    effective_sample_size,
    rank_normalised_split_r_hat,
    split_r_hat,
)

# Effective sample size and split R-hat of :func:`chains` by numpyro.diagnostics of NumPyro 0.22.0.
NUMPYRO = {
    (4, 200, 0.8, 0.0): (116.20953568104252, 1.0201623345532913),
    (2, 101, 0.0, 0.0): (231.03712159512457, 0.9921816534511733),
    (3, 50, 0.95, 1.0): (3.3297487380409185, 1.5061254376669935),
}


def chains(m, n, correlation, shift, seed=0):
    """``m`` autoregressive chains of ``n`` draws, shifted against each other."""
    noise = np.random.default_rng(seed).normal(size=(m, n))
    x = noise.copy()
    for t in range(1, n):
        x[:, t] = correlation * x[:, t - 1] + noise[:, t]
    return x + shift * np.arange(m)[:, None]


@pytest.mark.parametrize(("case", "seed"), [(case, seed) for seed, case in enumerate(NUMPYRO)])
def test_both_are_those_of_numpyro(case, seed):
    x = chains(*case, seed)
    effective, r_hat = NUMPYRO[case]
    assert effective_sample_size(x) == pytest.approx(effective, rel=1e-9)
    assert split_r_hat(x) == pytest.approx(r_hat, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_they_are_those_of_the_installed_numpyro(seed):
    diagnostics = pytest.importorskip("numpyro.diagnostics")
    for m, n in ((1, 60), (2, 20), (3, 41), (5, 100)):
        x = chains(m, n, 0.6, 0.3, seed)
        assert effective_sample_size(x) == pytest.approx(float(diagnostics.effective_sample_size(x)), rel=1e-9)
        assert split_r_hat(x) == pytest.approx(float(diagnostics.split_gelman_rubin(x)), rel=1e-9)


def test_the_split_r_hat_is_the_number_derived_by_hand():
    # Half chains (0, 2) and (4, 6): W = 2, B/n = 8 and n = 2, so that R² = 1/2 + 8/2.
    assert split_r_hat(np.array([[0.0, 2.0, 4.0, 6.0]])) == pytest.approx(np.sqrt(4.5))


def test_the_effective_sample_size_of_an_autoregressive_chain_is_that_of_its_spectrum():
    # The autocorrelation time of correlation 1/2 per draw is (1 + 1/2) / (1 - 1/2) = 3.
    x = chains(8, 20_000, 0.5, 0.0)
    assert x.size / effective_sample_size(x) == pytest.approx(3.0, rel=0.05)


def test_alternating_chains_have_no_more_effective_draws_than_allowed():
    x = chains(4, 100, -0.9, 0.0)
    assert effective_sample_size(x) == pytest.approx(400 * np.log10(400))


def test_ranks_show_chains_that_differ_in_location_or_in_scale_also_without_a_variance():
    rng = np.random.default_rng(0)
    assert rank_normalised_split_r_hat(rng.normal(size=(4, 500))) < 1.01
    assert rank_normalised_split_r_hat(rng.normal(size=(4, 500)) + np.arange(4)[:, None]) > 1.2
    scaled = rng.normal(size=(4, 500)) * np.array([1.0, 1.0, 1.0, 5.0])[:, None]
    assert split_r_hat(scaled) < 1.01 and rank_normalised_split_r_hat(scaled) > 1.1  # folded
    cauchy = rng.standard_cauchy(size=(4, 500))
    assert rank_normalised_split_r_hat(cauchy) < 1.01
    exact = rank_normalised_split_r_hat(cauchy)
    assert rank_normalised_split_r_hat(3.0 * cauchy - 1.0) == pytest.approx(exact)


def test_equal_numbers_say_nothing():
    x = np.ones((3, 10))
    assert np.isnan(effective_sample_size(x)) and np.isnan(split_r_hat(x)) and diagnosed(x) == {}


def test_chains_that_do_not_move_and_disagree_are_infinitely_far_apart():
    assert split_r_hat(np.arange(3.0)[:, None] * np.ones((3, 10))) == np.inf


def test_what_is_logged_are_the_three_diagnostics():
    x = chains(4, 50, 0.5, 0.0)
    found = diagnosed(x)
    assert list(found) == [spec.name for spec in SPECS]
    assert found["chains/autocorrelation_time"] * found["chains/effective_samples"] == pytest.approx(200)
    assert found["chains/r_hat"] == rank_normalised_split_r_hat(x)
