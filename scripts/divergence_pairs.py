"""Pairs of distributions with known Jensen-Shannon divergence, for benchmarks of the estimators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp

LOG_2 = float(np.log(2.0))


@dataclass(frozen=True)
class Distribution:
    """``draw(rng, n)`` gives ``(n, d)``; ``log_density(x)`` gives ``(n,)``, or is None for a singular distribution."""

    draw: Callable[[np.random.Generator, int], np.ndarray]
    log_density: Callable[[np.ndarray], np.ndarray] | None


def gaussians(means: object, stds: object, weights: object = None) -> Distribution:
    """A mixture of isotropic Gaussians: ``means`` ``(modes, d)``, ``stds`` one number or one per mode."""
    centre = np.atleast_2d(np.asarray(means, float))
    modes, d = centre.shape
    spread = np.broadcast_to(np.asarray(stds, float), (modes,))
    share = np.ones(modes) if weights is None else np.asarray(weights, float)
    share = share / share.sum()

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        mode = rng.choice(modes, n, p=share)
        return centre[mode] + spread[mode, None] * rng.standard_normal((n, d))

    def log_density(x: np.ndarray) -> np.ndarray:
        parts = []
        for j in range(modes):
            square = np.sum((x - centre[j]) ** 2, axis=1) / spread[j] ** 2
            parts.append(np.log(share[j]) - 0.5 * square - d * np.log(spread[j] * np.sqrt(2 * np.pi)))
        return np.asarray(logsumexp(np.stack(parts), axis=0))

    return Distribution(draw, log_density)


def correlated(d: int, correlation: float) -> Distribution:
    """One Gaussian with unit variances and the same correlation between all dimensions."""
    factor = np.linalg.cholesky((1 - correlation) * np.eye(d) + correlation)
    log_volume = np.log(np.diag(factor)).sum() + 0.5 * d * np.log(2 * np.pi)

    def log_density(x: np.ndarray) -> np.ndarray:
        return -0.5 * np.sum(np.linalg.solve(factor, x.T) ** 2, axis=0) - log_volume

    return Distribution(lambda rng, n: rng.standard_normal((n, d)) @ factor.T, log_density)


def student(d: int, freedom: float, scale: float = 1.0, shift: float = 0.0) -> Distribution:
    """Student's t in ``d`` dimensions: heavy tails; one degree of freedom is the Cauchy distribution."""

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        normal = rng.standard_normal((n, d))
        return shift + scale * normal / np.sqrt(rng.chisquare(freedom, n) / freedom)[:, None]

    def log_density(x: np.ndarray) -> np.ndarray:
        square = np.sum(((x - shift) / scale) ** 2, axis=1)
        norm = gammaln((freedom + d) / 2) - gammaln(freedom / 2) - 0.5 * d * np.log(freedom * np.pi) - d * np.log(scale)
        return norm - 0.5 * (freedom + d) * np.log1p(square / freedom)

    return Distribution(draw, log_density)


def ring(std: float = 0.02, rotation: float = 0.0, modes: object = range(8), weights: object = None) -> Distribution:
    """Some or all of the eight modes of ganrun's ring dataset."""
    angle = 2 * np.pi * np.asarray(list(modes)) / 8 + rotation  # type: ignore[call-overload]
    return gaussians(2.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1), std, weights)


def spiral(std: float, rotation: float = 0.0) -> Distribution:
    """Two arms of one and a half turns, 400 Gaussians along them."""
    angle = 3 * np.pi * np.sqrt(np.linspace(0.05, 1, 200))
    arm = np.stack([angle * np.cos(angle + rotation), angle * np.sin(angle + rotation)], axis=1) / np.pi
    return gaussians(np.concatenate([arm, -arm]), std)


def segment(place: float) -> Distribution:
    """Uniform on the vertical segment from (place, 0) to (place, 1)."""
    return Distribution(lambda rng, n: np.stack([np.full(n, place), rng.random(n)], axis=1), None)


def normal(d: int, shift: float = 0.0, std: float = 1.0) -> Distribution:
    """One Gaussian, shifted by ``shift`` along the first axis."""
    centre = np.zeros((1, d))
    centre[0, 0] = shift
    return gaussians(centre, std)


_RANDOM = np.random.default_rng(7)
_FOUR_8 = 1.2 * _RANDOM.standard_normal((4, 8))
_MOVED_8 = _FOUR_8 + np.where(np.arange(4)[:, None] == 0, 1.2, 0.0)
_FOUR_32 = 0.7 * _RANDOM.standard_normal((4, 32))
_MOVED_32 = _FOUR_32 + 0.25 * _RANDOM.standard_normal((4, 32))
_GRID = [[x, y] for x in range(-4, 5, 2) for y in range(-4, 5, 2)]

# The accuracy goals are for 10 000 examples per distribution for d <= 2 and for 50 000 for d = 8.
TABLE = {
    "N, shift 0": (normal(1), normal(1)),
    "N, shift 1": (normal(1), normal(1, 1.0)),
    "N, shift 4": (normal(1), normal(1, 4.0)),
    "bimodal against N": (gaussians([[-1.5], [2.0]], [0.7, 1.0], [0.6, 0.4]), normal(1)),
    "ring8, one mode dropped": (ring(), ring(modes=range(7))),
    "ring8, std x 1.5": (ring(), ring(std=0.03)),
    "ring8 rotated .01 rad": (ring(), ring(rotation=0.01)),
    "ring8 against N": (ring(), normal(2, std=2**0.5)),
    "segments .001 apart": (segment(0.0), segment(0.001)),
    "d=8 shift 1": (normal(8), normal(8, 1.0)),
    "d=8 scale 1.3": (normal(8), normal(8, std=1.3)),
    "d=8 mixture": (gaussians(_FOUR_8, 1.0), gaussians(_MOVED_8, [1.0, 1.2, 0.9, 1.0])),
    "d=32 shift 1": (normal(32), normal(32, 1.0)),
    "d=32 scale 1.15": (normal(32), normal(32, std=1.15)),
    "d=32 mixture": (gaussians(_FOUR_32, 1.0), gaussians(_MOVED_32, 1.0)),
}
OTHERS = {
    "Cauchy, scale 2": (student(1, 1), student(1, 1, 2.0)),
    "t2 in d=2, shift (1, 1)": (student(2, 2), student(2, 2, 1.0, 1.0)),
    "spiral, std .1 / .15": (spiral(0.1), spiral(0.15)),
    "spiral rotated .15 rad": (spiral(0.1), spiral(0.1, 0.15)),
    "ring8, weights 1:2": (ring(), ring(weights=[1, 2, 1, 2, 1, 2, 1, 2])),
    "grid25, std x 1.4, weights": (gaussians(_GRID, 0.05), gaussians(_GRID, 0.07, np.arange(1, 26))),
    "correlation .99 / .95, d=2": (correlated(2, 0.99), correlated(2, 0.95)),
    "correlation .8 / .6, d=8": (correlated(8, 0.8), correlated(8, 0.6)),
    "t3 in d=8, scale 1.3": (student(8, 3), student(8, 3, 1.3)),
}
PAIRS = TABLE | OTHERS


def log_ratio(name: str, x: np.ndarray) -> np.ndarray:
    """Return log p(x) / q(x) of the pair ``name``."""
    p, q = PAIRS[name]
    assert p.log_density is not None and q.log_density is not None
    parts = np.array_split(x, -(-len(x) // 20_000))  # in blocks: a mixture of hundreds needs hundreds of values per row
    return np.concatenate([p.log_density(part) - q.log_density(part) for part in parts])


def truth(name: str, n: int = 1_000_000) -> tuple[float, float]:
    """Return the divergence of the pair ``name``, nats, and its standard error, from D* on ``n`` samples of each."""
    p, q = PAIRS[name]
    if p.log_density is None:
        return LOG_2, 0.0
    rng = np.random.default_rng(2026)
    real = LOG_2 - np.logaddexp(0.0, -log_ratio(name, p.draw(rng, n)))
    fake = LOG_2 - np.logaddexp(0.0, log_ratio(name, q.draw(rng, n)))
    return float(real.mean() + fake.mean()) / 2, float(np.sqrt((real.var() + fake.var()) / n)) / 2
