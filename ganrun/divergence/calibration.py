"""From a critic's scores to probabilities: D(x) for the losses that leave the scale and offset of D's output free.

A relativistic critic may carry any constant and a hinge critic any scale, so the sigmoid of their output says nothing
(it can read D(x) = 0.000 at a good solution). Two numbers fitted on samples of both sides, ``scale`` and ``offset``,
make sigmoid(scale * score + offset) the probability of "data" where both sides are equally likely; they are fitted on
one half of the scores and read on the other, so that the reading is not flattered by the fit.
"""

from __future__ import annotations

import numpy as np

STEPS = 200  # Newton needs ten or so; more only where scores differ by many orders of magnitude
CLOSE = 1e-13  # squared Newton decrement after which one more step is exact: rounding hides what it gains


def calibrate(real_logits: np.ndarray, fake_logits: np.ndarray) -> tuple[float, float]:
    """Return ``(scale, offset)`` of the logistic fit of data against samples, ``scale`` at least 0.

    Minimises (E_real CE(t, s) + E_fake CE(1 - t, s)) / 2 over s = sigmoid(scale * score + offset): each side weighs one
    half whatever its size. The target t = (n + 1) / (n + 2), with n the size of the smaller side, keeps the fit finite
    where the scores separate the sides (Platt 1999, "Probabilistic outputs for support vector machines", section 2.2).
    An increasing affine map of all scores changes the result's probabilities by rounding only.

    Where all scores are equal, or where samples score higher than data, the best admissible fit is (0, 0): D = 1/2.

    Args:
        real_logits: scores ``(n,)`` on data.
        fake_logits: scores ``(m,)`` on samples.

    Raises:
        ValueError: a side is empty, or a score is NaN or Inf.
    """
    real, fake = (np.asarray(side, np.float64).ravel() for side in (real_logits, fake_logits))
    if not (real.size and fake.size):
        raise ValueError("calibration needs scores on both sides")
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
    if slope <= 0:  # the fit is convex, so the best of the admissible ones has slope 0, and then D = 1/2
        return 0.0, 0.0
    return float(slope / spread), float(constant - slope * middle / spread)


def probability(logits: np.ndarray, scale: float, offset: float) -> np.ndarray:
    """Return sigmoid(scale * logits + offset), computed in double precision."""
    return _sigmoid(scale * np.asarray(logits, np.float64) + offset)


def calibrated_readout(real_logits: np.ndarray, fake_logits: np.ndarray) -> dict[str, float]:
    """Return ``D(x)/calibrated`` and ``D(G(z))/calibrated``: mean probabilities of "data" on data and on samples.

    Each half of the scores is read with the fit of the other half, so every score counts once and none is read by a
    fit that has seen it. The scores must be in random order. At the best D the two numbers add up to 1; so do they
    here, up to the difference between the halves. They are 1/2 where D has nothing to tell.

    Returns nothing where a side has fewer than two scores, since none could be held out.
    """
    sides = [np.asarray(side).ravel() for side in (real_logits, fake_logits)]
    if min(side.size for side in sides) < 2:
        return {}
    halves = [(side[: side.size // 2], side[side.size // 2 :]) for side in sides]
    fits = [calibrate(halves[0][half], halves[1][half]) for half in (0, 1)]
    held_out = [
        np.concatenate([probability(side[0], *fits[1]), probability(side[1], *fits[0])]).mean() for side in halves
    ]
    return {"D(x)/calibrated": float(held_out[0]), "D(G(z))/calibrated": float(held_out[1])}


def _newton(x: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (slope, constant) with the least weighted cross-entropy, by Newton's method with step halving.

    The cross-entropy is convex, and its minimum is finite because every target lies inside (0, 1).
    """
    features = np.stack([x, np.ones_like(x)])
    best = np.zeros(2)
    least = _cross_entropy(best @ features, targets, weights)
    for _ in range(STEPS):
        p = _sigmoid(best @ features)
        gradient = features @ (weights * (p - targets))
        curvature = (features * (weights * p * (1 - p))) @ features.T
        curvature += 1e-14 * np.eye(2)  # where all p are 0 or 1 to the last bit there is none
        step = np.linalg.solve(curvature, gradient)
        if gradient @ step < CLOSE:
            return best - step
        length = 1.0
        while (found := _cross_entropy((best - length * step) @ features, targets, weights)) > least and length > 1e-9:
            length /= 2
        if found > least:  # rounding hides any further descent
            break
        best, least = best - length * step, found
    return best


def _cross_entropy(logits: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
    return float(weights @ (np.logaddexp(0.0, logits) - targets * logits))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -x))
