"""The interface of a feature extractor."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Extractor(Protocol):
    """A fixed map from examples to features.

    Attributes:
        name: ``raw``, ``classifier`` or ``inception``.
        checksum: SHA-256 of the weights, hexadecimal; empty for ``raw``, which has none.
        size: number of features.
    """

    name: str
    checksum: str
    size: int

    def features(self, x: np.ndarray) -> np.ndarray:
        """Return the features, float32 ``(n, size)``, of the examples ``x`` ``(n, *shape)``, images in [-1, 1]."""
        ...
