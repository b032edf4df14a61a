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
    rows = check_features(rows, "sample")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if (zero := int((norms == 0).sum())) > 0:
        raise ConfigError(f"The cosine kernel needs rows other than 0; {zero} of {len(rows)} rows are 0.")
    unit = rows / norms
    if len(unit) > unit.shape[1]:  # same singular values, fewer rows
        unit = np.linalg.qr(unit, mode="r")
    shares = np.linalg.svdvals(unit) ** 2 / len(rows)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
