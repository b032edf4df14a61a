"""Divergences, in nats, from the known or counted masses of data and model in the same cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import psi, rel_entr


def merged(masses: np.ndarray) -> np.ndarray:
    """Return the masses of cells twice as wide: pairs of neighbours merged along every axis."""
    for axis in range(masses.ndim):
        masses = np.add.reduceat(masses, np.arange(0, masses.shape[axis], 2), axis=axis)
    return masses


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Return the Jensen-Shannon divergence, nats, of two sets of cell masses: at most that of the densities."""
    # Doubling rather than halving, which would turn the smallest subnormal number into 0.
    total = float(0.25 * (rel_entr(2 * p, p + q).sum() + rel_entr(2 * q, p + q).sum()))
    return min(total, float(np.log(2)))  # rounding may exceed it in the last digit


def _grassberger() -> np.ndarray:
    """Return (N log N - N G(N)) / 2 for counts N = 0 ... 255, where E N G(N) is close to m log m if N has mean m."""
    n = np.arange(1.0, 256.0)
    g = psi(n) + 0.5 * (-1) ** n * (psi((n + 1) / 2) - psi(n / 2))
    return np.concatenate([[0.0], 0.5 * n * (np.log(n) - g)])


EXCESS = _grassberger()


def _excess(counts: np.ndarray) -> np.ndarray:
    return np.where(counts < len(EXCESS), EXCESS[np.minimum(counts, len(EXCESS) - 1)], 0.25)


def counted_jensen_shannon(p: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Estimate the Jensen-Shannon divergence of exact masses ``p`` and a model known by ``counts`` of its samples.

    Returns:
        The estimate, corrected for the bias of using frequencies for masses, and its standard error; nats.
    """
    # A cell adds f(p, q) = (p log 2p/(p+q) + q log 2q/(p+q)) / 2, so f' = log(2q/(p+q)) / 2 and f'' = p / (2q (p+q))
    # in q. A frequency N/n for q has variance q/n to first order in q, so f is overestimated by f''/2 times that:
    # p / (p+q) / 4n. With few counts in a cell this is too much for q = 0 and too little for 0 < nq < 3: there the 1/4,
    # which comes from q log q, is replaced by (N log N - N G(N)) / 2 with the G of Grassberger 2003, "Entropy estimates
    # from insufficient samplings": 0 for N = 0 and 1/4 for large N.
    n = counts.sum()
    occupied = counts > 0
    q, mass = counts[occupied] / n, p[occupied]
    middle = 0.5 * (mass + q)
    share = 0.5 * mass / middle
    value = 0.5 * (rel_entr(mass, middle) + rel_entr(q, middle)).sum() + 0.5 * np.log(2) * (p.sum() - mass.sum())
    slope = 0.5 * np.log(q / middle)
    # For p = q the first order vanishes; the second, f'' (N/n - q)^2 / 2, has variance (p / (p+q))^2 / 8n^2.
    variance = np.sum(q * (slope - np.sum(q * slope)) ** 2) + np.sum(share**2) / (8 * n)
    return float(value - np.sum(_excess(counts[occupied]) * share) / n), float(np.sqrt(variance / n))


def extrapolated_jensen_shannon(levels: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Extrapolate the divergence to cells of zero width, from cells of one, two and four times a width.

    Args:
        levels: data masses and sample counts in the narrow, the wider and the widest cells.

    Returns:
        The estimate and its error (discretisation error plus two standard errors); nats.
    """
    (fine, deviation), (coarse, _), (coarsest, _) = (counted_jensen_shannon(*level) for level in levels)
    # For smooth densities the discretisation error falls with the square of the cells' width: each gain is a quarter of
    # the previous one, and a third of the last one is still missing (Richardson extrapolation). Otherwise more is
    # missing; the estimate of how much is rough, so the error is three times that.
    gain, before = fine - coarse, coarse - coarsest
    ratio = max(before / gain if gain else 4.0, 1.5)
    error = abs(gain) * max(1 / 6, 3 / (ratio - 1) - 1) + 2 * deviation + 1e-7
    return min(max(fine + gain / 3, 0.0), float(np.log(2))), error


def counted_kl(p: np.ndarray, log_p: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Estimate KL(data, model) and KL(model, data), nats, from masses ``p`` and ``counts`` of the model's samples.

    Half a count added to each cell keeps the first finite in cells without samples, and removes its bias elsewhere.
    ``log_p`` may differ from the log of ``p`` where that has underflowed. Either estimate may be negative by chance.
    """
    n = counts.sum()
    held = p > 0
    forward = np.sum(p[held] * (np.log(p[held]) - np.log((counts[held] + 0.5) / n)))
    occupied = counts > 0
    q = counts[occupied] / n
    reverse = np.sum(q * (np.log(q) - log_p[occupied])) - 2 * np.sum(_excess(counts[occupied])) / n
    return float(forward), float(reverse)


def log_ratio_sum(weight: np.ndarray, log_weight: np.ndarray, log_other: np.ndarray, negligible: float) -> float:
    """Return KL, nats: the sum of weight log(weight / other); infinite if other is 0 on more than ``negligible``."""
    missing = np.isneginf(log_other)
    if weight[missing].sum() > negligible:
        return float("inf")
    kept = (weight > 0) & ~missing
    return float(np.sum(weight[kept] * (log_weight[kept] - log_other[kept])))


def wasserstein(edges: np.ndarray, p: np.ndarray, q: np.ndarray) -> float:
    """Return the integral of |P - Q| for two cumulative distributions that are linear between finite edges."""
    below = np.cumsum(p)[:-1], np.cumsum(q)[:-1]
    above = np.cumsum(p[::-1])[-2::-1], np.cumsum(q[::-1])[-2::-1]
    # Accumulated from the nearer end: far out, the difference of two values near 1 would lose its precision.
    gap = np.where(below[0] + below[1] < 1, below[0] - below[1], above[1] - above[0])
    left, right = gap[:-1], gap[1:]
    total = np.abs(left) + np.abs(right)
    crossed = left * right < 0
    height = 0.5 * total
    height[crossed] = 0.5 * (left[crossed] ** 2 + right[crossed] ** 2) / total[crossed]
    return float(np.sum(height * np.diff(edges[1:-1])))
