"""Which experts to believe: a logistic combination of their logits, fitted on examples that none of them has seen."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ganrun.divergence.judge import LOGIT, Judge

RIDGE = 1.0  # in units of one example's log-loss


def combine(judges: list[Judge], x: np.ndarray, is_real: np.ndarray) -> Judge:
    """Return the judge whose logits are a weighted sum of those of ``judges``, plus an offset.

    The weights minimise the cross-entropy on ``x`` ``(n, d)`` with a small ridge (Wolpert 1992, stacking). They are not
    negative (Breiman 1996, "Stacked regressions"): with a dozen experts that mostly agree, free weights would fit
    noise.
    """
    table = opinions(judges, x)
    target = is_real.astype(np.float64)

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = table @ weights[1:] + weights[0]
        loss = np.sum(np.logaddexp(0.0, logits) - target * logits) + 0.5 * RIDGE * weights[1:] @ weights[1:]
        error = expit(logits) - target
        return float(loss), np.concatenate([[error.sum()], table.T @ error + RIDGE * weights[1:]])

    columns = table.shape[1]
    start = np.concatenate([[0.0], np.full(columns, 1.0 / columns)])
    bounds = [(None, None)] + [(0.0, None)] * columns
    weights = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    # With more examples of one side the logits learned are those of log n p / (m q): take log n / m out again.
    offset = weights[0] - np.log(target.sum() / (len(target) - target.sum()))
    return lambda rows: np.clip(opinions(judges, rows) @ weights[1:] + offset, -LOGIT, LOGIT)


def opinions(judges: list[Judge], x: np.ndarray) -> np.ndarray:
    """Return the logits of all ``judges`` on ``x`` side by side, ``(n, columns)``."""
    return np.concatenate([judge(x).reshape(len(x), -1) for judge in judges], axis=1)
