"""Estimates of the Jensen-Shannon divergence with their uncertainty, and scores of a classifier's held-out logits."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

LOG_2 = float(np.log(2.0))
TOLERANCE = 0.01  # nats; a value with an error up to this is reported however small it is
MISS = 0.05  # probability that the true value lies below `lower`


@dataclass(frozen=True)
class Estimate:
    """An estimated divergence.

    Attributes:
        estimate: Jensen-Shannon divergence, nats; not clipped, so it may leave [0, log 2] by chance.
        se: standard error of ``estimate`` from sampling only, without differences that the estimator cannot detect. For
            ``exact``, half of the error bound.
        lower: lower confidence bound of the divergence, with coverage of at least 0.95; None if the estimator has none.
        estimator: ``stack``, ``streaming``, ``knn`` or ``exact``.
        n: examples scored per distribution.
        d: dimensions of one example.
        seconds: wall time.
        warnings: known weaknesses of the estimate, one sentence each.
    """

    estimate: float
    se: float
    lower: float | None
    estimator: str
    n: int
    d: int
    seconds: float = 0.0
    warnings: tuple[str, ...] = field(default=())


def withheld(value: float, error: float) -> bool:
    """Return whether ``value``, nats, is uninformative: its ``error`` exceeds both the value and a tolerance."""
    return error > max(value, TOLERANCE)


def scores(real_logits: np.ndarray, fake_logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log 2D(x) of data and log 2(1 - D(x)) of samples; the mean of their expectations bounds JSD from below.

    JSD(p, q) = max over D of (E_p log 2D + E_q log 2(1 - D)) / 2 (Goodfellow et al. 2014, theorem 1).
    """
    return LOG_2 - np.logaddexp(0.0, -real_logits), LOG_2 - np.logaddexp(0.0, fake_logits)
