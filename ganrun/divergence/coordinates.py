"""Coordinates in which classifiers see both samples: scaled, heavy tails drawn in, uncorrelated.

The map is one-to-one, so it changes no divergence; it is fitted on training examples only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KNEE = 4.0  # robust standard deviations up to which the map is nearly linear; logarithmic beyond
MOST = 64  # dimensions kept where there are more: the leading principal components


@dataclass(frozen=True)
class Coordinates:
    """x -> (knee asinh((x - centre) / (knee scale)) - mean) rotation, columns of unit variance.

    Attributes:
        centre, scale: robust location and scale of each column, ``(d,)``.
        mean: of the drawn-in columns, ``(d,)``.
        rotation: principal axes over their standard deviations, ``(d, kept)``.
    """

    centre: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    rotation: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray) -> Coordinates:
        """Fit to ``x`` ``(n, d)``, both samples together."""
        x = np.asarray(x, np.float64)  # the squares of large numbers do not add up in single precision
        low, centre, high = np.percentile(x, [25, 50, 75], axis=0)
        spread = x.std(axis=0)
        # A column that is mostly one value (the border of a picture) has no interquartile range, but varies.
        scale = np.where(high > low, (high - low) / 1.349, np.where(spread > 0, spread, 1.0))
        drawn_in = _draw_in(x, centre, scale)
        mean = drawn_in.mean(axis=0)
        variance, axes = np.linalg.eigh(np.atleast_2d(np.cov(drawn_in.T)))
        kept = np.arange(len(variance))[::-1][:MOST]
        floor = 1e-9 * variance[-1] + 1e-300
        return cls(centre, scale, mean, axes[:, kept] / np.sqrt(np.maximum(variance[kept], floor)))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return ``x`` ``(n, d)`` in these coordinates, ``(n, kept)``."""
        return (_draw_in(x, self.centre, self.scale) - self.mean) @ self.rotation


def _draw_in(x: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return KNEE * np.arcsinh((x - centre) / (KNEE * scale))
