"""The divergence of the distribution of samples over modes from that of the data."""

from __future__ import annotations

import numpy as np


def mode_kl(counts: np.ndarray, weights: np.ndarray) -> float:
    """Return KL(model || data) over the modes, in nats.

    It is 0 if every mode has its share, and log(modes / reached) if the model covers only some of equally likely modes,
    evenly. Without any sample it is the largest possible value, that of a model with all samples at the least likely
    mode, so that a run which has lost every mode can still be logged and compared.

    Formula: sum_i q_i log(q_i / w_i), with q the shares of the samples and w the weights of the modes
    Paper: Lin et al. 2018, "PacGAN: the power of two samples in generative adversarial networks" (reverse KL).

    Args:
        counts: ``(modes,)``, samples of the model per mode.
        weights: ``(modes,)``, the data's share per mode; positive.
    """
    weights = np.asarray(weights, np.float64) / np.sum(weights, dtype=np.float64)
    if not np.any(counts):
        return float(-np.log(weights.min()))
    reached = np.asarray(counts) > 0  # a mode without samples adds nothing: q log q tends to 0
    share = np.asarray(counts, np.float64)[reached] / np.sum(counts)
    kl = float(np.sum(share * np.log(share / weights[reached])))
    return max(0.0, kl)  # rounding can make it negative
