"""Models that have a density and models that have none: what is known of each, and how well."""

import dataclasses

import numpy as np
import pytest
from scipy.special import ive
from scipy.stats import norm

from ganrun.datasets.synthetic import Ring, mixture
from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.evaluation.divergence.exact import model as exact_model
from ganrun.evaluation.divergence.exact.model import Exact, Smoothed, of_model, of_smoothed

LOG_2 = float(np.log(2))
STANDARD = mixture(np.zeros((1, 2)), 1.0)
RING = Ring().density()


def summed(p: np.ndarray, q: np.ndarray, cell: float) -> float:
    """The part of the divergence of two densities that lies in cells of this size."""
    m = 0.5 * (p + q) + 1e-300
    return 0.5 * float((p * np.log(np.maximum(p, 1e-300) / m) + q * np.log(np.maximum(q, 1e-300) / m)).sum()) * cell


def of_line(sigma: float) -> float:
    """JSD of N(0, I) and (z, 0), z from N(0, 1), with noise: only the second coordinate differs."""
    y = np.linspace(-12, 12, 100_001)
    return summed(norm.pdf(y, 0, np.hypot(1, sigma)), norm.pdf(y, 0, sigma), y[1] - y[0])


def of_circle(sigma: float) -> float:
    """JSD of the ring and the even circle through its modes, with noise: both are known around one mode."""
    std = np.hypot(0.02, sigma)
    side = np.linspace(-8 * std, 8 * std, 601)
    x, y = np.meshgrid(2 + side, side, indexing="ij")
    r = np.hypot(x, y)
    # A Gaussian's mean over the circle of radius 2 is a Bessel function of the radius.
    q = np.exp(-((r - 2) ** 2) / 2 / sigma**2) * ive(0, 2 * r / sigma**2) / (2 * np.pi * sigma**2)
    p = np.exp(-((x - 2) ** 2 + y**2) / 2 / std**2) / (8 * 2 * np.pi * std**2)
    cell = (side[1] - side[0]) ** 2
    return 8 * summed(p, q, cell) + 0.5 * LOG_2 * (1 - 8 * float(q.sum()) * cell)


def to_line(z: np.ndarray) -> np.ndarray:
    return np.concatenate([z, np.float32(0) * z], axis=1)


def to_circle(z: np.ndarray) -> np.ndarray:
    return 2 * np.concatenate([np.cos(np.pi * z), np.sin(np.pi * z)], axis=1)


def to_spiral(z: np.ndarray) -> np.ndarray:
    """Sixty tight turns, which cells full of samples cannot tell from an area."""
    return np.float32(2) * np.abs(z) * to_circle(60 * z) / 2


def curve(push, prior: str = "normal") -> Distribution:
    def draw(n: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        z = rng.uniform(-1, 1, (n, 1)) if prior == "uniform" else rng.standard_normal((n, 1))
        return push(z.astype(np.float32))

    return Distribution("run", (2,), draw=draw, push=push, prior=prior, latent_dim=1)


def never() -> np.ndarray:
    raise AssertionError("the model is followed, not sampled")


@pytest.mark.parametrize("push", [to_line, to_circle, to_spiral])
def test_a_curve_has_no_density(push):
    found = of_model(STANDARD, curve(push), never)
    assert (found.exact.jsd, found.exact.error) == (LOG_2, 0.0)
    assert (found.exact.kl_forward, found.exact.kl_reverse, found.exact.w1) == (np.inf, np.inf, None)
    assert (found.missed, found.samples) == (1.0, 0)


@pytest.mark.parametrize(
    ("density", "model", "sigma", "truth"),
    [(STANDARD, curve(to_line), 0.5, of_line), (RING, curve(to_circle, "uniform"), 0.01, of_circle)],
    ids=["line", "circle"],
)
def test_with_noise_a_curve_has_one(density, model, sigma, truth):
    smoothed = of_model(density, model, never).smoothed
    assert smoothed is not None and smoothed.sigma == pytest.approx(sigma)
    assert abs(smoothed.jsd - truth(sigma)) < smoothed.error < 5e-3


def test_a_curve_that_can_only_be_drawn():
    model = dataclasses.replace(curve(to_circle, "uniform"), push=None)
    assert model.draw is not None
    found = of_model(RING, model, lambda: model.draw(1 << 16, 3))
    assert (found.exact.jsd, found.exact.error, found.samples) == (LOG_2, 0.0, 1 << 16)
    assert found.smoothed is not None
    assert abs(found.smoothed.jsd - of_circle(0.01)) < found.smoothed.error < 0.02


def test_what_is_smoothed_follows_from_the_seed():
    one, same, other = (
        of_model(STANDARD, curve(to_line), never, **seed).smoothed for seed in ({}, {"seed": 0}, {"seed": 2})
    )
    assert one == same != other


def test_a_curve_is_followed_evenly_with_four_noises_to_a_point(monkeypatch):
    given = []

    def of_samples(density, samples):
        given.append((density, samples))
        return Exact(0.5, 0.0, 0.0, None, 0.01)

    monkeypatch.setattr(exact_model.densities, "of_samples", of_samples)
    assert of_model(STANDARD, curve(to_line), never).smoothed == Smoothed(0.5, 0.01, 0.5)
    ((density, samples),) = given
    assert np.asarray(density.stds) == pytest.approx(1.25**0.5)
    assert samples.shape == (1 << 19, 2)
    noise = samples[1 << 17 : 1 << 18] - samples[: 1 << 17]  # of the same points: only the noise differs
    assert noise.std() == pytest.approx(0.5 * 2**0.5, rel=0.01)
    assert samples[:, 0].std() == pytest.approx(1.25**0.5, rel=0.01)


def test_the_noise_is_half_as_wide_as_the_narrowest_mode_and_on_both_sides():
    data = mixture(np.array([[0.0, 0.0], [5.0, 0.0]]), np.array([1.0, 0.2]))
    rng = np.random.default_rng(0)
    mode = rng.integers(2, size=200_000)
    samples = np.stack([5.0 * mode, 0 * mode], axis=1) + np.where(mode, 0.2, 1.0)[:, None] * rng.standard_normal(
        (200_000, 2)
    )
    found = of_smoothed(data, samples, rng)
    assert found.sigma == pytest.approx(0.1)
    assert found.jsd < found.error < 5e-3  # samples of the data stay samples of the data


@pytest.mark.parametrize(
    ("shape", "latent_dim", "rank", "singular"),
    [((2,), 1, 0, True), ((2,), 2, 2, False), ((2,), 3, 1, True), ((1,), 1, 1, False), ((2,), 0, 0, False)],
)
def test_a_model_is_singular_where_it_has_fewer_dimensions(shape, latent_dim, rank, singular):
    assert Distribution("run", shape, latent_dim=latent_dim, rank=rank).is_singular == singular


def test_a_plane_is_followed_and_what_it_leaves_out_is_told():
    def push(z: np.ndarray) -> np.ndarray:
        return np.abs(z)

    model = dataclasses.replace(curve(to_line), push=push, latent_dim=2)
    found = of_model(STANDARD, model, never, nodes=33, points=1 << 10)
    assert found.missed == pytest.approx(0.75, abs=0.01)
    assert (found.exact.kl_forward, found.smoothed) == (np.inf, None)


def test_a_line_is_followed():
    density = mixture(np.zeros((1, 1)), 1.0)
    model = Distribution("run", (1,), draw=lambda n, seed: never(), push=lambda z: z + 1, latent_dim=1)
    found = of_model(density, model, never)
    assert found.exact.kl_forward == pytest.approx(0.5, abs=1e-5)
    assert (found.missed, found.smoothed, found.samples) == (None, None, 0)


@pytest.mark.parametrize("more", [{"push": None, "latent_dim": 2}, {"latent_dim": 3}], ids=["conditional", "three"])
def test_what_cannot_be_followed_is_sampled(more):
    rng = np.random.default_rng(0)
    found = of_model(STANDARD, dataclasses.replace(curve(to_line), **more), lambda: rng.standard_normal((20_000, 2)))
    assert found.samples == 20_000
    assert found.exact.jsd < found.exact.error + 0.005
    assert (found.missed, found.smoothed) == (None, None)
