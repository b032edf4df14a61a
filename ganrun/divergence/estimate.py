"""From a classifier's held-out logits to an estimate of the Jensen-Shannon divergence that says how sure it is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

LOG_2 = float(np.log(2.0))
TOLERANCE = 0.01  # nats: an error that is no larger leaves a value that can be used, however small the value is
MISS = 0.05  # chance that the true value lies below `lower`


@dataclass(frozen=True)
class Estimate:
    """An estimated divergence.

    Attributes:
        estimate: Jensen-Shannon divergence, nats. What the method found: it may leave [0, log 2] by chance.
        se: standard error of ``estimate``, of sampling alone: what the method cannot see is not in it. Of ``exact``,
            half of how far the value may be off.
        lower: the divergence lies above with probability 0.95 at least; None where the method bounds nothing.
        method: ``stack``, ``streaming``, ``knn`` or ``exact``.
        n: examples scored a side.
        d: numbers in one example.
        seconds: wall time.
        warnings: where the estimate is known to be weak, one sentence each.
    """

    estimate: float
    se: float
    lower: float | None
    method: str
    n: int
    d: int
    seconds: float = 0.0
    warnings: tuple[str, ...] = field(default=())


def withheld(value: float, error: float) -> bool:
    """Return whether ``value``, nats, says nothing: its ``error`` is larger than it is, and larger than a tolerance."""
    return error > max(value, TOLERANCE)


def scores(real_logits: np.ndarray, fake_logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log 2D(x) on data and log 2(1 - D(x)) on samples: the mean over both halves is at most the divergence.

    JSD(p, q) = max over D of (E_p log 2D + E_q log 2(1 - D)) / 2 (Goodfellow et al. 2014, theorem 1).
    """
    return LOG_2 - np.logaddexp(0.0, -real_logits), LOG_2 - np.logaddexp(0.0, fake_logits)
