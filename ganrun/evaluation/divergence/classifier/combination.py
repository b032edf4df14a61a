"""Stacking: a logistic combination of the base learners' logits, fitted on examples that none of them was fitted on."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ganrun.evaluation.divergence.classifier.classifier import LOGIT, Classifier

RIDGE = 1.0  # in units of one example's log-loss


def combine(classifiers: list[Classifier], x: np.ndarray, is_real: np.ndarray) -> Classifier:
    """Return the classifier whose logits are a weighted sum of those of ``classifiers``, plus an offset.

    The weights minimise the cross-entropy on ``x`` ``(n, d)`` with a small ridge penalty (Wolpert 1992, stacking). They
    are constrained to be non-negative (Breiman 1996, "Stacked regressions"): with a dozen highly correlated base
    learners, unconstrained weights would fit noise.
    """
    table = base_logits(classifiers, x)
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
    # With n real and m fake examples the fitted logits estimate log n p / (m q): subtract log n / m.
    offset = weights[0] - np.log(target.sum() / (len(target) - target.sum()))
    return lambda rows: np.clip(base_logits(classifiers, rows) @ weights[1:] + offset, -LOGIT, LOGIT)


def base_logits(classifiers: list[Classifier], x: np.ndarray) -> np.ndarray:
    """Return the logits of all ``classifiers`` on ``x`` as columns, ``(n, columns)``."""
    return np.concatenate([classifier(x).reshape(len(x), -1) for classifier in classifiers], axis=1)
