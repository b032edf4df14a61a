"""Divergences in the plane between a known density and a model that computes its own."""

import numpy as np
import pytest

from ganrun.datasets.synthetic import mixture
from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.evaluation.divergence.exact.model import of_model
from ganrun.evaluation.divergence.exact.plane import of_known

STANDARD = mixture(np.zeros((1, 2)), 1.0)


def shifted(by, std=1.0):
    """The log density of a normal distribution around (by, 0), its draws, and its map from latents."""

    def log_density(x):
        return -0.5 * np.sum((x - [by, 0.0]) ** 2, axis=1) / std**2 - np.log(2 * np.pi * std**2)

    def push(z):
        return (std * z + np.array([by, 0.0])).astype(np.float32)

    return log_density, lambda n, seed: push(np.random.default_rng(seed).normal(size=(n, 2))), push


def divergence_on_the_line(by):
    """The Jensen-Shannon divergence of N(0, 1) and N(by, 1), to which the second coordinate adds nothing."""
    x = np.linspace(-12.0, 16.0, 100_001)
    p, q = (np.exp(-0.5 * (x - centre) ** 2) / np.sqrt(2 * np.pi) for centre in (0.0, by))
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(one > 0, one * np.log(2 * one / (p + q)), 0.0) for one in (p, q)]
    return 0.5 * sum(np.trapezoid(part, x) for part in parts)


@pytest.mark.parametrize("by", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("stratified", [True, False])
def test_the_divergences_of_two_normal_distributions_are_those_known(by, stratified):
    log_density, draw, push = shifted(by)
    found = of_known(STANDARD, log_density, draw, push if stratified else None, points=1 << 14)
    assert found.jsd == pytest.approx(divergence_on_the_line(by), abs=max(found.error, 1e-6))
    assert found.error < 0.01 and found.missed == 0.0
    # KL of normal distributions with equal variances is half the squared distance, both ways.
    assert (found.kl_forward, found.kl_reverse) == pytest.approx((by**2 / 2, by**2 / 2), abs=0.05 * max(by, 0.1))


def test_a_density_is_taken_where_there_is_one():
    log_density, draw, _ = shifted(1.0)

    def wrong(z):
        raise AssertionError("the latents of a model with a density need not be triangulated")

    model = Distribution("model", (2,), draw=draw, log_density=log_density)
    found = of_model(STANDARD, model, lambda: wrong(None), points=1 << 12)
    assert found.exact.jsd == pytest.approx(divergence_on_the_line(1.0), abs=found.exact.error)
    assert found.missed == 0.0 and found.samples == 0


def test_the_error_bounds_the_deviation_over_seeds():
    log_density, draw, push = shifted(0.3, std=1.1)
    runs = [of_known(STANDARD, log_density, draw, push, points=1 << 10, seed=seed) for seed in range(40)]
    truth = of_known(STANDARD, log_density, draw, push, points=1 << 18, seed=99)
    assert truth.error < 1e-3
    assert np.mean([abs(run.jsd - truth.jsd) <= run.error for run in runs]) >= 0.9


def test_a_model_without_points_of_its_own_is_refused():
    with pytest.raises(ValueError, match="draw or push"):
        of_known(STANDARD, shifted(0.0)[0], None)
