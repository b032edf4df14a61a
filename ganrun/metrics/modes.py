"""Mode coverage of a mixture of Gaussians whose centres are known."""

from __future__ import annotations

import numpy as np

HIGH_QUALITY_STDS = 3.0  # a sample counts for a mode within so many standard deviations of its centre
COVERED_SHARE = 0.2  # a mode is covered when it gets this share of the samples that it should


def coverage(samples: np.ndarray, means: np.ndarray, stds: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Count the modes that ``samples`` reach.

    A sample has high quality when it lies within 3 standard deviations of its nearest centre (Srivastava et al. 2017,
    VEEGAN, section 4). A mode is covered when its high-quality samples are at least 20 % of the samples that its
    weight entitles it to, so that a few strays do not count.

    Args:
        samples: ``(n, dim)``.
        means: ``(modes, dim)``.
        stds: ``(modes,)``.
        weights: ``(modes,)``, summing to 1.

    Returns:
        ``modes/covered`` (a count) and ``modes/high_quality`` (a fraction of the samples).
    """
    samples = np.asarray(samples, np.float64)  # a run that diverges has squares that single precision cannot hold
    distance = np.linalg.norm(samples[:, None, :] - means, axis=-1)
    nearest = distance.argmin(axis=1)
    good = distance[np.arange(len(samples)), nearest] <= HIGH_QUALITY_STDS * stds[nearest]
    share = np.bincount(nearest[good], minlength=len(means)) / len(samples)
    return {
        "modes/covered": float(np.sum(share >= COVERED_SHARE * weights)),
        "modes/high_quality": float(good.mean()),
    }
