"""Standard error and lower confidence bound of a mean of bounded scores."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from ganrun.evaluation.divergence.estimate import MISS

ORDERS = 5


def standard_error(real: np.ndarray, fake: np.ndarray) -> float:
    """Return the standard error of (mean ``real`` + mean ``fake``) / 2, two independent samples of scores."""
    return 0.5 * float(np.sqrt(real.var(ddof=1) / len(real) + fake.var(ddof=1) / len(fake)))


def lower_bound(real: np.ndarray, fake: np.ndarray, lowest: float, highest: float, miss: float = MISS) -> float:
    """Return a lower bound of the expected (real + fake) / 2 with coverage of at least ``1 - miss``.

    It holds for every sample size and every distribution of scores inside [``lowest``, ``highest``], also where nearly
    all scores are equal and a normal interval is too short (divergences near log 2). It is the empirical-Bernstein
    bound in its betting form: a gambler bets that the mean is above m, with the stakes of the empirical-Bernstein
    inequality, and every m at which the wealth exceeds 1 / miss is rejected (Waudby-Smith & Ramdas 2024, "Estimating
    means of bounded random variables by betting").

    The test uses the final wealth averaged over a few orders of the scores: an average of martingales is a martingale,
    and the bound depends less on any single order.
    """
    n = min(len(real), len(fake))
    # Surplus examples of the larger sample are averaged into its rows, so that none is discarded.
    pair = 0.5 * (_in_rows(real, n) + _in_rows(fake, n))
    unit = np.clip((pair - lowest) / (highest - lowest), 0.0, 1.0)
    rng = np.random.default_rng(0)
    orders = np.stack([rng.permutation(unit) for _ in range(ORDERS)])
    count = np.arange(n) + 1.0  # with a prior observation of 1/2, on which the first bet is based
    before = np.zeros((ORDERS, 1))
    mean = (0.5 + np.cumsum(orders, axis=1)) / (count + 1.0)
    squares = np.cumsum((orders - mean) ** 2, axis=1)
    # The stake of each bet depends on the scores before it only.
    variance = (0.25 + np.concatenate([before, squares[:, :-1]], axis=1)) / count
    stakes = np.sqrt(2.0 * np.log(1.0 / miss) / (n * variance))

    def rejected(m: float) -> bool:
        wealth = np.sum(np.log1p(np.minimum(stakes, 0.75 / m) * (orders - m)), axis=1)
        return bool(logsumexp(wealth) - np.log(ORDERS) >= np.log(1.0 / miss))

    low, high = 0.0, 1.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return lowest + (highest - lowest) * low


def _in_rows(scores: np.ndarray, n: int) -> np.ndarray:
    if len(scores) == n:
        return scores
    edges = np.linspace(0, len(scores), n + 1).astype(int)
    return np.add.reduceat(scores, edges[:-1]) / np.diff(edges)
