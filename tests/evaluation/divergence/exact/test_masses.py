"""Divergences from cell masses: what counting adds is taken off again, and a hand-made Wasserstein distance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrun.evaluation.divergence.exact import masses


def test_bias_of_counting_is_subtracted():
    # Uncorrected, 1000 cells and 20 000 samples would read 1000 / 160 000.
    rng, p = np.random.default_rng(3), np.full(1000, 1e-3)
    plain, corrected = [], []
    for _ in range(20):
        counts = rng.multinomial(20_000, p)
        plain.append(masses.jensen_shannon(p, counts / 20_000))
        corrected.append(masses.counted_jensen_shannon(p, counts)[0])
    assert np.mean(plain) == pytest.approx(1 / 160, rel=0.1)
    assert abs(np.mean(corrected)) < 1e-4


def test_bias_of_counting_is_subtracted_from_both_kl():
    rng, p = np.random.default_rng(4), np.full(200, 1 / 200)
    q = np.linspace(0.5, 1.5, 200) / 200
    found = np.mean([masses.counted_kl(p, np.log(p), rng.multinomial(4000, q)) for _ in range(400)], axis=0)
    # Uncorrected, the two would be off by the number of cells over twice the number of samples: 0.025.
    assert found[0] == pytest.approx(np.sum(p * np.log(p / q)), abs=2e-3)
    assert found[1] == pytest.approx(np.sum(q * np.log(q / p)), abs=2e-3)


def test_wasserstein_where_the_cumulative_functions_cross():
    # The difference runs from +.2 at 0 to -.2 at 1 and to 0 at 2.
    edges = np.array([-np.inf, 0.0, 1.0, 2.0, np.inf])
    p, q = np.array([0.6, 0.0, 0.4, 0.0]), np.array([0.4, 0.4, 0.2, 0.0])
    assert masses.wasserstein(edges, p, q) == pytest.approx(2 * 0.5 * 0.5 * 0.2 + 0.5 * 0.2)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_joining_cells_never_raises_the_divergence(pairs: list[tuple[float, float]]):
    p, q = np.array(pairs).T
    fine, coarse = masses.jensen_shannon(p, q), masses.jensen_shannon(masses.merged(p), masses.merged(q))
    assert coarse <= fine + 1e-12
    square = np.outer(p, q), np.outer(q, p)
    assert masses.jensen_shannon(*map(masses.merged, square)) <= masses.jensen_shannon(*square) + 1e-12


@pytest.mark.parametrize(
    ("coarse", "coarsest", "error"),
    [
        # Gains of .02 and .08: a ratio of 4, as the theory has it. The error is half of gain / 3.
        (0.28, 0.20, 0.02 / 6),
        # Gains of .02 and .04: those that halve leave as much again, of which a third is taken; three times the rest.
        (0.28, 0.24, 0.02 * 2),
    ],
)
def test_what_cells_of_finite_size_lose_is_extrapolated_with_an_error_by_hand(coarse, coarsest, error, monkeypatch):
    monkeypatch.setattr(masses, "counted_jensen_shannon", lambda *level: level)
    found = masses.extrapolated_jensen_shannon([(0.30, 0.01), (coarse, 0.5), (coarsest, 0.5)])
    assert found == pytest.approx((0.30 + 0.02 / 3, error + 2 * 0.01 + 1e-7), rel=1e-9)
