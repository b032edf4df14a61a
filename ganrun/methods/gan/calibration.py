"""Calibrated probabilities from a critic's scores: D(x) for losses that do not determine the output's scale and offset.

A relativistic critic's output has an arbitrary offset and a hinge critic's an arbitrary scale, so its sigmoid is not
meaningful (it can be D(x) = 0.000 at a good solution). Two parameters fitted on scores of data and samples, ``scale``
and ``offset``, make sigmoid(scale * score + offset) the probability of being real if data and samples are equally
likely. They are fitted on one half of the scores and applied to the other half, so the result is not biased by the fit.
"""

from __future__ import annotations

import numpy as np

STEPS = 200  # Newton's method needs about ten; more only if scores differ by many orders of magnitude
CLOSE = 1e-13  # squared Newton decrement below which one more step is exact up to rounding


def calibrate(real_logits: np.ndarray, fake_logits: np.ndarray) -> tuple[float, float]:
    """Return ``(scale, offset)`` of the logistic fit of data against samples, ``scale`` at least 0.

    Minimises (E_real CE(t, s) + E_fake CE(1 - t, s)) / 2 over s = sigmoid(scale * score + offset): data and samples
    have weight one half each, whatever their numbers. The target t = (n + 1) / (n + 2), with n the smaller number,
    keeps the fit finite if the scores are separable (Platt 1999, "Probabilistic outputs for support vector machines",
    section 2.2). The resulting probabilities are invariant to increasing affine maps of all scores, up to rounding.

    If all scores are equal, or samples score higher than data, the best admissible fit is (0, 0): D = 1/2.

    Args:
        real_logits: scores ``(n,)`` on data.
        fake_logits: scores ``(m,)`` on samples.

    Raises:
        ValueError: there are no scores on data or on samples, or a score is NaN or Inf.
    """
    real, fake = (np.asarray(logits, np.float64).ravel() for logits in (real_logits, fake_logits))
    if not (real.size and fake.size):
        raise ValueError("calibration needs scores on both data and samples")
    scores = np.concatenate([real, fake])
    if not np.all(np.isfinite(scores)):
        raise ValueError("a score is NaN or Inf")
    if np.ptp(scores) == 0:
        return 0.0, 0.0
    middle, spread = scores.mean(), scores.std()
    smallest = min(real.size, fake.size)
    target = (smallest + 1) / (smallest + 2)
    targets = np.repeat([target, 1 - target], [real.size, fake.size])
    weights = np.repeat([0.5 / real.size, 0.5 / fake.size], [real.size, fake.size])
    slope, constant = _newton((scores - middle) / spread, targets, weights)
    if slope <= 0:  # the problem is convex, so the best admissible fit has slope 0 and D = 1/2
        return 0.0, 0.0
    return float(slope / spread), float(constant - slope * middle / spread)


def probability(logits: np.ndarray, scale: float, offset: float) -> np.ndarray:
    """Return sigmoid(scale * logits + offset), computed in double precision."""
    return _sigmoid(scale * np.asarray(logits, np.float64) + offset)


def calibrated_probabilities(real_logits: np.ndarray, fake_logits: np.ndarray) -> dict[str, float]:
    """Return ``D(x)/calibrated`` and ``D(G(z))/calibrated``: mean probabilities of being real, of data and of samples.

    Cross-fitted: each half of the scores is mapped with the fit on the other half, so every score counts once and none
    is mapped by a fit that includes it. The scores must be in random order. For the optimal D the two values add up to
    1; so do they here, up to the difference between the halves. They are 1/2 if D carries no information.

    Returns an empty dictionary if there are fewer than two scores on data or on samples: none could be held out.
    """
    scores = [np.asarray(logits).ravel() for logits in (real_logits, fake_logits)]
    if min(part.size for part in scores) < 2:
        return {}
    halves = [(part[: part.size // 2], part[part.size // 2 :]) for part in scores]
    fits = [calibrate(halves[0][half], halves[1][half]) for half in (0, 1)]
    held_out = [
        np.concatenate([probability(part[0], *fits[1]), probability(part[1], *fits[0])]).mean() for part in halves
    ]
    return {"D(x)/calibrated": float(held_out[0]), "D(G(z))/calibrated": float(held_out[1])}


def _newton(x: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the (slope, constant) that minimises the weighted cross-entropy, by Newton's method with step halving.

    The cross-entropy is convex, and its minimiser is finite because every target lies inside (0, 1).
    """
    features = np.stack([x, np.ones_like(x)])
    best = np.zeros(2)
    least = _cross_entropy(best @ features, targets, weights)
    for _ in range(STEPS):
        p = _sigmoid(best @ features)
        gradient = features @ (weights * (p - targets))
        curvature = (features * (weights * p * (1 - p))) @ features.T
        curvature += 1e-14 * np.eye(2)  # the curvature is 0 if all p round to 0 or 1
        step = np.linalg.solve(curvature, gradient)
        if gradient @ step < CLOSE:
            return best - step
        length = 1.0
        while (loss := _cross_entropy((best - length * step) @ features, targets, weights)) > least and length > 1e-9:
            length /= 2
        if loss > least:  # no further descent above rounding errors
            break
        best, least = best - length * step, loss
    return best


def _cross_entropy(logits: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
    return float(weights @ (np.logaddexp(0.0, logits) - targets * logits))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -x))
