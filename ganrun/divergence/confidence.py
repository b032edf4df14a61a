"""Standard error and lower confidence bound of a mean of bounded scores."""

from __future__ import annotations

import numpy as np

from ganrun.divergence.estimate import MISS


def standard_error(real: np.ndarray, fake: np.ndarray) -> float:
    """Return the standard error of (mean ``real`` + mean ``fake``) / 2, two independent samples of scores."""
    return 0.5 * float(np.sqrt(real.var(ddof=1) / len(real) + fake.var(ddof=1) / len(fake)))


def lower_bound(real: np.ndarray, fake: np.ndarray, lowest: float, highest: float, miss: float = MISS) -> float:
    """Return a number that lies below the expected (real + fake) / 2 with probability ``1 - miss`` at least.

    Holds for every sample size and every distribution of scores inside [``lowest``, ``highest``], also where nearly
    all scores are equal and a normal interval is too short (divergences near log 2). It is the empirical-Bernstein
    bound in its betting form: a gambler bets that the mean is above m, with the stakes of the empirical-Bernstein
    inequality, and every m at which the fortune passes 1 / miss is refuted (Waudby-Smith & Ramdas 2024, "Estimating
    means of bounded random variables by betting", theorem 3 with the stakes of eq. 26).

    The scores must be in an order that says nothing about their values.
    """
    n = min(len(real), len(fake))
    # Surplus examples of the longer side are averaged into its rows, so that none is thrown away.
    pair = 0.5 * (_in_rows(real, n) + _in_rows(fake, n))
    unit = np.clip((pair - lowest) / (highest - lowest), 0.0, 1.0)
    before = np.arange(1, n + 1)
    mean = np.concatenate([[0.5], (0.5 + np.cumsum(unit)) / (before + 1)])
    squares = np.cumsum((unit - mean[1:]) ** 2)
    variance = np.concatenate([[0.25], (0.25 + squares) / (before + 1)])[:-1]  # of what came before the bet
    stakes = np.sqrt(2.0 * np.log(1.0 / miss) / (n * variance))

    def refuted(m: float) -> bool:
        fortune = np.cumsum(np.log1p(np.minimum(stakes, 0.75 / m) * (unit - m)))
        return bool(fortune.max() >= np.log(1.0 / miss))

    low, high = 0.0, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return lowest + (highest - lowest) * low


def _in_rows(scores: np.ndarray, n: int) -> np.ndarray:
    if len(scores) == n:
        return scores
    edges = np.linspace(0, len(scores), n + 1).astype(int)
    return np.add.reduceat(scores, edges[:-1]) / np.diff(edges)
