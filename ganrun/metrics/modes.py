"""Mode coverage of a mixture of Gaussians whose centres are known."""

from __future__ import annotations

import numpy as np

HIGH_QUALITY_STDS = 3.0  # a sample counts for a mode within so many standard deviations of its centre
COVERED_SHARE = 0.2  # a mode is covered when it gets this share of the samples that it should


def coverage(samples: np.ndarray, means: np.ndarray, stds: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Count the modes that ``samples`` reach.

    A sample has high quality when it lies within 3 standard deviations of its nearest centre (Srivastava et al. 2017,
    VEEGAN, section 4). A mode is covered when its high-quality samples are at least 20 % of the samples that its
    weight entitles it to, so that a few strays do not count. The mode KL is that of :func:`mode_kl` over the
    high-quality samples: the others say nothing of any mode, and their share stands beside it.

    Args:
        samples: ``(n, dim)``.
        means: ``(modes, dim)``.
        stds: ``(modes,)``.
        weights: ``(modes,)``, summing to 1.

    Returns:
        ``modes/covered`` (a count), ``modes/high_quality`` (a fraction of the samples) and ``modes/kl`` (nats).
    """
    samples = np.asarray(samples, np.float64)  # a run that diverges has squares that single precision cannot hold
    distance = np.linalg.norm(samples[:, None, :] - means, axis=-1)
    nearest = distance.argmin(axis=1)
    good = distance[np.arange(len(samples)), nearest] <= HIGH_QUALITY_STDS * stds[nearest]
    counts = np.bincount(nearest[good], minlength=len(means))
    return {
        "modes/covered": float(np.sum(counts / len(samples) >= COVERED_SHARE * weights)),
        "modes/high_quality": float(good.mean()),
        "modes/kl": mode_kl(counts, weights),
    }


def mode_kl(counts: np.ndarray, weights: np.ndarray) -> float:
    """Return KL(model || data) over the modes, in nats: how unevenly the model serves the modes that it reaches.

    It is 0 where every mode has its share, and log(modes / reached) where some of equally heavy modes are missing and
    the others alike. Without any sample it is as large as it can be: that of a model with all of its samples at the
    lightest mode, so that a run which has lost every mode can still be logged and compared.

    Formula: sum_i q_i log(q_i / w_i), with q the shares of the samples and w the weights of the modes
    Paper: Lin et al. 2018, "PacGAN: the power of two samples in generative adversarial networks" (reverse KL).

    Args:
        counts: ``(modes,)``, samples of the model at each mode.
        weights: ``(modes,)``, what each mode has of the data; positive.
    """
    weights = np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64)
    if not np.any(counts):
        return float(-np.log(weights.min()))
    reached = np.asarray(counts) > 0  # a mode without samples adds nothing: q log q goes to 0
    share = np.asarray(counts, np.float64)[reached] / np.sum(counts)
    found = float(np.sum(share * np.log(share / weights[reached])))
    return max(0.0, found)  # rounding alone can bring it below
