"""Divergences from two log densities: closed forms, quadrature, and the size of the stated error."""

import numpy as np
import pytest

from ganrun.datasets import cells
from ganrun.datasets.synthetic import mixture
from ganrun.evaluation.divergence.distribution import Distribution, drawing
from ganrun.evaluation.divergence.exact.densities import of_densities
from ganrun.evaluation.divergence.exact.log_ratio import of_log_density
from ganrun.evaluation.divergence.exact.model import of_model

LOG_2 = float(np.log(2.0))


def model_of(density):
    """The distribution of a model that knows its density."""
    shape = (density.means.shape[1],)
    return Distribution(
        "model", shape, draw=drawing(density), log_density=lambda rows: cells.log_density(density, rows.astype(float))
    )


def ring(radius, std, modes=8):
    angles = 2 * np.pi * np.arange(modes) / modes
    return mixture(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), np.full(modes, std))


PAIRS = {
    "shifted by 1": (mixture([[0.0]], [1.0]), mixture([[1.0]], [1.0])),
    "two modes against one": (mixture([[-1.0], [1.0]], [0.3, 0.3]), mixture([[0.0]], [1.0])),
    "wider modes of a ring": (ring(2.0, 0.02), ring(2.0, 0.03)),
    "a missing mode": (ring(2.0, 0.1), mixture(np.asarray(ring(2.0, 0.1).means)[:7], np.full(7, 0.1))),
    "nearly equal": (ring(2.0, 0.1), ring(2.001, 0.1)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_the_divergences_are_those_of_quadrature_within_the_error(name):
    p, q = PAIRS[name]
    wanted, found = of_densities(p, q), of_log_density(p, model_of(q), 1 << 15)
    assert abs(found.jsd - wanted.jsd) <= found.error <= 0.006
    assert found.kl_reverse == pytest.approx(wanted.kl_reverse, abs=0.02)
    if name != "a missing mode":  # whose forward divergence is that of rare points
        assert found.kl_forward == pytest.approx(wanted.kl_forward, abs=0.02)
    if name == "shifted by 1":  # KL of two normal distributions: half the squared shift
        assert (found.kl_forward, found.kl_reverse) == pytest.approx((0.5, 0.5), abs=0.02)


def test_the_error_is_three_standard_errors():
    p, q = PAIRS["two modes against one"]
    wanted, model = of_densities(p, q).jsd, model_of(q)
    found = [of_log_density(p, model, 1 << 10, seed) for seed in range(60)]
    spread = np.std([one.jsd for one in found], ddof=1)
    assert np.mean([one.error for one in found]) / 3 == pytest.approx(spread, rel=0.3)
    assert np.mean([one.jsd for one in found]) == pytest.approx(wanted, abs=4 * spread / np.sqrt(60))


def test_the_control_variate_makes_the_error_of_equal_densities_vanish():
    p = ring(2.0, 0.1)
    found = of_log_density(p, model_of(p), 1 << 10)
    assert found.jsd == pytest.approx(0.0, abs=1e-7) and found.error == pytest.approx(0.0, abs=1e-6)


def test_disjoint_densities_are_log_2_apart():
    p, q = mixture([[0.0, 0.0]], [0.1]), mixture([[50.0, 0.0]], [0.1])
    found = of_log_density(p, model_of(q), 1 << 10)
    assert found.jsd == pytest.approx(LOG_2, abs=1e-6) and found.kl_forward > 1e4


def test_a_model_with_a_log_density_is_not_counted_in_cells():
    p, q = PAIRS["wider modes of a ring"]

    def dense():
        raise AssertionError("samples were drawn")

    found = of_model(p, model_of(q), dense, points=1 << 12)
    assert found.samples == 0 and found.exact.w1 is None
    line = of_model(
        *(PAIRS["shifted by 1"][0], model_of(PAIRS["shifted by 1"][1])),
        lambda: drawing(PAIRS["shifted by 1"][1])(100_000, 1),
        points=1 << 12,
    )
    assert line.exact.w1 == pytest.approx(1.0, abs=0.02)


def test_a_log_density_that_is_nan_or_missing_is_an_error():
    p = ring(2.0, 0.1)
    with pytest.raises(ValueError, match="has no log density"):
        of_log_density(p, Distribution("model", (2,), draw=drawing(p)), 8)
    wrong = Distribution("model", (2,), draw=drawing(p), log_density=lambda rows: np.full(len(rows), np.nan))
    with pytest.raises(ValueError, match="the log density of model is NaN"):
        of_log_density(p, wrong, 8)
