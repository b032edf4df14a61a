"""Vendi score: the effective number of different samples."""

from __future__ import annotations

import numpy as np

from ganrun.errors import ConfigError
from ganrun.evaluation.sample_metrics.pairwise import check_features


def vendi(rows: np.ndarray) -> float:
    """Return the Vendi score with the cosine kernel.

        exp(-sum_i l_i log l_i), l_i the eigenvalues of K / n, K_ij = <x_i, x_j> / (|x_i| |x_j|)

    The eigenvalues other than 0 are the squared singular values of the normalised features divided by sqrt(n), so
    neither K nor its small eigenvalues are computed for n > d.

    Args:
        rows: features ``(n, d)``; a row must not be 0.

    Returns:
        A number from 1 (all rows are multiples of one, by positive or negative factors) to min(n, d) (orthogonal rows).

    Raises:
        ConfigError: for features that are not a finite ``(n, d)`` array, or a row of zeros.

    Paper: Friedman & Dieng 2023, "The Vendi score: a diversity evaluation metric for machine learning", definition 3.1.

    Biases: it increases with n and cannot exceed min(n, d); compare sets of equal size with the score of real examples.
        It measures diversity alone, noise included. Features with a large common mean have scores near 1. Minimum size:
        1; above d for a value that does not depend mostly on n.
    """
    return vendi_with_error(rows)[0]


def vendi_with_error(rows: np.ndarray) -> tuple[float, float]:
    """Return :func:`vendi` and its standard error by the infinitesimal jackknife.

    With C the mean of u u' over the normalised rows u, the score is exp(-Tr C log C), and its derivative with respect
    to the weight of a row is the score times -u' log(C) u + Tr C log C.
    """
    rows = check_features(rows, "sample")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if (zero := int((norms == 0).sum())) > 0:
        raise ConfigError(f"The cosine kernel needs rows other than 0; {zero} of {len(rows)} rows are 0.")
    unit = rows / norms
    # Same singular values and right singular vectors, fewer rows.
    factor = np.linalg.qr(unit, mode="r") if len(unit) > unit.shape[1] else unit
    _, singular, axes = np.linalg.svd(factor, full_matrices=False)
    shares = singular**2 / len(rows)
    axes, shares = axes[shares > 0], shares[shares > 0]
    entropy = -float((shares * np.log(shares)).sum())
    influence = -((unit @ axes.T) ** 2 @ np.log(shares)) - entropy
    score = float(np.exp(entropy))
    return score, score * float(influence.std() / np.sqrt(max(len(rows) - 1, 1)))
