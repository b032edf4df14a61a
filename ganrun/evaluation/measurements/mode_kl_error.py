"""The standard error of the divergence over modes, which needs SciPy's statistics and is not part of training."""

from __future__ import annotations

import numpy as np

from ganrun.evaluation.sample_metrics.distance_interval import corrected_variance


def mode_kl_error(counts: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return the standard error of :func:`~ganrun.evaluation.metrics.mode_kl.mode_kl`, and the slope of its square.

    With N samples, the derivative with respect to the weight of a sample of mode i is log(q_i / w_i), whose variance is
    divided by N - 1. Its excess, the variance (k - 1) / 2 N^2 of a divergence of k modes from themselves, is
    subtracted, see :func:`~ganrun.evaluation.sample_metrics.distance_interval.corrected_variance`.

    Args:
        counts: ``(modes,)``, samples of the model per mode; at least 2 in all.
        weights: ``(modes,)``, the data's share per mode; positive.

    Returns:
        The standard error, nats, and the increase of its square per increase of the divergence, for
        :func:`~ganrun.evaluation.sample_metrics.distance_interval.distance_interval`: 2 / N, as q_i / w_i varies by
        little between the modes that the model reaches.
    """
    n, reached = int(np.sum(counts)), np.asarray(counts) > 0
    share = np.asarray(counts, np.float64)[reached] / n
    logs = np.log(share / (np.asarray(weights, np.float64)[reached] / np.sum(weights, dtype=np.float64)))
    kl = float(share @ logs)
    first = float(share @ (logs - kl) ** 2) / (n - 1)
    second = (len(share) - 1) / (2 * n * n)
    return float(np.sqrt(corrected_variance(first, second))), 2 / n
