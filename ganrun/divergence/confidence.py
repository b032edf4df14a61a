"""Standard error and lower confidence bound of a mean of bounded scores."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from ganrun.divergence.estimate import MISS

ORDERS = 5


def standard_error(real: np.ndarray, fake: np.ndarray) -> float:
    """Return the standard error of (mean ``real`` + mean ``fake``) / 2, two independent samples of scores."""
    return 0.5 * float(np.sqrt(real.var(ddof=1) / len(real) + fake.var(ddof=1) / len(fake)))


def lower_bound(real: np.ndarray, fake: np.ndarray, lowest: float, highest: float, miss: float = MISS) -> float:
    """Return a number that lies below the expected (real + fake) / 2 with probability ``1 - miss`` at least.

    Holds for every sample size and every distribution of scores inside [``lowest``, ``highest``], also where nearly
    all scores are equal and a normal interval is too short (divergences near log 2). It is the empirical-Bernstein
    bound in its betting form: a gambler bets that the mean is above m, with the stakes of the empirical-Bernstein
    inequality, and every m at which the fortune passes 1 / miss is refuted (Waudby-Smith & Ramdas 2024, "Estimating
    means of bounded random variables by betting").

    The last fortune counts, averaged over a few orders of the scores: an average of fair games is a fair game, and no
    single order decides.
    """
    n = min(len(real), len(fake))
    # Surplus examples of the longer side are averaged into its rows, so that none is thrown away.
    pair = 0.5 * (_in_rows(real, n) + _in_rows(fake, n))
    unit = np.clip((pair - lowest) / (highest - lowest), 0.0, 1.0)
    rng = np.random.default_rng(0)
    orders = np.stack([rng.permutation(unit) for _ in range(ORDERS)])
    seen = np.arange(n) + 1.0  # and a half at 1/2 before the first, so that the first bet has something to go by
    before = np.zeros((ORDERS, 1))
    mean = (0.5 + np.cumsum(orders, axis=1)) / (seen + 1.0)
    squares = np.cumsum((orders - mean) ** 2, axis=1)
    variance = (0.25 + np.concatenate([before, squares[:, :-1]], axis=1)) / seen  # of what came before the bet
    stakes = np.sqrt(2.0 * np.log(1.0 / miss) / (n * variance))

    def refuted(m: float) -> bool:
        fortune = np.sum(np.log1p(np.minimum(stakes, 0.75 / m) * (orders - m)), axis=1)
        return bool(logsumexp(fortune) - np.log(ORDERS) >= np.log(1.0 / miss))

    low, high = 0.0, 1.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return lowest + (highest - lowest) * low


def _in_rows(scores: np.ndarray, n: int) -> np.ndarray:
    if len(scores) == n:
        return scores
    edges = np.linspace(0, len(scores), n + 1).astype(int)
    return np.add.reduceat(scores, edges[:-1]) / np.diff(edges)
