"""Preprocessing of the classifiers' inputs: scaling, compression of heavy tails, whitening.

Up to 64 dimensions the map is one-to-one, so it leaves divergences unchanged; it is fitted on training examples only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KNEE = 4.0  # robust standard deviations up to which the map is nearly linear; logarithmic beyond
MAX = 64  # maximum number of dimensions kept: the leading principal components


@dataclass(frozen=True)
class Coordinates:
    """x -> (knee asinh((x - centre) / (knee scale)) - mean) rotation, columns of unit variance.

    Attributes:
        centre, scale: robust location and scale of each column, ``(d,)``.
        mean: of the compressed columns, ``(d,)``.
        rotation: principal axes divided by their standard deviations, ``(d, kept)``.
    """

    centre: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    rotation: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray) -> Coordinates:
        """Fit to ``x`` ``(n, d)``, both samples together."""
        x = np.asarray(x, np.float64)  # squares of large numbers overflow single precision
        low, centre, high = np.percentile(x, [25, 50, 75], axis=0)
        spread = x.std(axis=0)
        # A column that is mostly one value (the border of an image) has an interquartile range of 0, but varies.
        scale = np.where(high > low, (high - low) / 1.349, np.where(spread > 0, spread, 1.0))
        compressed = _compress(x, centre, scale)
        mean = compressed.mean(axis=0)
        variance, axes = np.linalg.eigh(np.atleast_2d(np.cov(compressed.T)))
        kept = np.arange(len(variance))[::-1][:MAX]
        floor = 1e-9 * variance[-1] + 1e-300
        return cls(centre, scale, mean, axes[:, kept] / np.sqrt(np.maximum(variance[kept], floor)))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return ``x`` ``(n, d)`` in these coordinates, ``(n, kept)``."""
        return (_compress(x, self.centre, self.scale) - self.mean) @ self.rotation


def _compress(x: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return KNEE * np.arcsinh((x - centre) / (KNEE * scale))
