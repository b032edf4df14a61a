"""f-divergences between two known densities on the line, by quadrature: the optimal value of an f-GAN's objective.

D_f(p, q) = E_q f(p/q) for a convex f with f(1) = 0. The names are those of the loss ``fgan`` (Nowozin et al. 2016,
Table 1), in nats where there is a logarithm. One definition differs: ``js`` is the Jensen-Shannon divergence in
[0, log 2], as everywhere in ganrun; the paper's is twice that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from ganrun.datasets.cells import LOG_ROOT_2PI, components
from ganrun.datasets.synthetic import Mixture
from ganrun.errors import instead

LOG_2 = float(np.log(2.0))
REACH = 10.0  # integration limits, in standard deviations of every component; a mass of 1e-23 lies beyond
NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)
TOLERANCE = 1e-13  # a cell is halved until its error, relative to the total, is below this
HALVINGS = 50  # maximum number of halvings

Integrand = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _js(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    log_middle = np.logaddexp(log_p, log_q) - LOG_2
    return 0.5 * (np.exp(log_p) * (log_p - log_middle) + np.exp(log_q) * (log_q - log_middle))


def _pearson(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    high, low = np.maximum(log_p, log_q), np.minimum(log_p, log_q)
    return np.exp(2.0 * high - log_q) * np.expm1(low - high) ** 2


# q f(p/q) from the log densities. Adding q - p (or p - q), whose integral is 0, makes the integrand of KL non-negative.
INTEGRANDS: dict[str, Integrand] = {
    "kl": lambda log_p, log_q: np.exp(log_p) * (log_p - log_q) + np.exp(log_q) - np.exp(log_p),
    "reverse_kl": lambda log_p, log_q: np.exp(log_q) * (log_q - log_p) + np.exp(log_p) - np.exp(log_q),
    "js": _js,
    "jeffrey": lambda log_p, log_q: (np.exp(log_p) - np.exp(log_q)) * (log_p - log_q),
    "pearson": _pearson,
    "squared_hellinger": lambda log_p, log_q: (np.exp(0.5 * log_p) - np.exp(0.5 * log_q)) ** 2,
    "total_variation": lambda log_p, log_q: 0.5 * np.abs(np.exp(log_p) - np.exp(log_q)),
}


@dataclass(frozen=True)
class _Line:
    """A mixture on the line in double precision; each part has shape ``(modes,)``."""

    means: np.ndarray
    stds: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, density: Mixture) -> _Line:
        means, stds, weights = components(density)
        if means.shape[1] != 1:
            raise ValueError(f"the density has {means.shape[1]} dimensions; an f-divergence is integrated in 1.")
        return cls(means[:, 0], stds, weights / weights.sum())

    def log_density(self, x: np.ndarray) -> np.ndarray:
        heights = np.log(self.weights / self.stds) - LOG_ROOT_2PI
        return np.logaddexp.reduce(heights - 0.5 * ((x[..., None] - self.means) / self.stds) ** 2, axis=-1)

    def edges(self) -> np.ndarray:
        return (self.means[:, None] + self.stds[:, None] * np.arange(-REACH, REACH + 1)).ravel()


class Fit(NamedTuple):
    """The Gaussian of minimum divergence from a density: that divergence, and the two parameters."""

    value: float
    mean: float
    std: float


def f_divergence(p: Mixture, q: Mixture, divergence: str) -> float:
    """Return D_f(p, q) of the data ``p`` and the model ``q``, both on the line.

    ``kl`` is KL(p, q), ``reverse_kl`` KL(q, p), ``js`` their Jensen-Shannon divergence, ``jeffrey`` the sum of both KL,
    ``pearson`` the integral of (p - q)^2 / q (infinite where q has too light tails), ``squared_hellinger`` that of
    (sqrt p - sqrt q)^2, ``total_variation`` half of that of abs(p - q).

    Raises:
        ValueError: an unknown divergence, or densities that are not on the line.
    """
    return _divergence(_Line.of(p), _Line.of(q), _integrand(divergence))


def fit_gaussian(density: Mixture, divergence: str) -> Fit:
    """Return the Gaussian q that minimises D_f(p, q) for the known density p, a mixture on the line.

    A mode-seeking divergence has a local minimum at each mode: the search starts from every component and from the
    moments of the mixture, and the best result is returned.

    Raises:
        ValueError: an unknown divergence, or a density that is not on the line.
    """
    p, integrand = _Line.of(density), _integrand(divergence)
    mean = float(p.weights @ p.means)
    std = float(np.sqrt(p.weights @ (p.stds**2 + (p.means - mean) ** 2)))

    def at(place: np.ndarray) -> float:
        # In units of the mixture's moments, so that the tolerance is relative.
        q = _Line(np.array([mean + std * place[0]]), np.array([std * np.exp(place[1])]), np.ones(1))
        return _divergence(p, q, integrand)

    starts = [(0.0, 0.0), *zip((p.means - mean) / std, np.log(p.stds / std), strict=True)]
    options = {"xatol": 1e-8, "fatol": 1e-13, "maxiter": 2000}
    ends = [minimize(at, start, method="Nelder-Mead", options=options) for start in starts if np.isfinite(at(start))]
    best = min(ends, key=lambda end: end.fun)
    return Fit(float(best.fun), mean + std * float(best.x[0]), std * float(np.exp(best.x[1])))


def _integrand(divergence: str) -> Integrand:
    if divergence not in INTEGRANDS:
        raise ValueError(f"no f-divergence '{divergence}'.{instead(divergence, INTEGRANDS, 'There are')}")
    return INTEGRANDS[divergence]


def _divergence(p: _Line, q: _Line, integrand: Integrand) -> float:
    edges = [p.edges(), q.edges()]
    if integrand is _pearson:
        # p^2 / q has the tails of a Gaussian wider than both, or is not integrable.
        i, k = np.argmax(p.stds), np.argmax(q.stds)
        precision = 2.0 / p.stds[i] ** 2 - 1.0 / q.stds[k] ** 2
        if precision <= 0:
            return float("inf")
        centre = (2.0 * p.means[i] / p.stds[i] ** 2 - q.means[k] / q.stds[k] ** 2) / precision
        edges.append(_Line(np.array([centre]), np.array([precision**-0.5]), np.ones(1)).edges())
    return _integral(lambda x: integrand(p.log_density(x), q.log_density(x)), np.unique(np.concatenate(edges)))


def _integral(function: Callable[[np.ndarray], np.ndarray], edges: np.ndarray) -> float:
    """Integrate over the cells between ``edges``, halving each until the sum of its halves agrees; inf on overflow."""
    low, high = edges[:-1], edges[1:]
    whole, total = _gauss(function, low, high), 0.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        halves = np.stack([_gauss(function, low, middle), _gauss(function, middle, high)])
        if not np.isfinite(halves).all():
            return float("inf")
        scale = max(1.0, abs(total + halves.sum()))
        coarse = np.abs(halves.sum(axis=0) - whole) > TOLERANCE * scale
        total += halves[:, ~coarse].sum()
        if not coarse.any():
            return float(total)
        low, high = np.concatenate([low[coarse], middle[coarse]]), np.concatenate([middle[coarse], high[coarse]])
        whole = halves[:, coarse].ravel()
    return float(total + whole.sum())


def _gauss(function: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Gauss-Legendre quadrature of each cell."""
    half = 0.5 * (high - low)
    with np.errstate(over="ignore"):
        return half * (function(0.5 * (low + high)[:, None] + half[:, None] * NODES) @ WEIGHTS)
