"""The interface of a feature extractor, on whose features distances between samples and data are measured."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Extractor(Protocol):
    """Maps examples to features.

    Attributes:
        name: ``raw``, ``classifier`` or ``inception``.
        checksum: SHA-256 of the weights, hexadecimal; empty without weights.
        size: number of features.
    """

    @property
    def name(self) -> str: ...

    @property
    def checksum(self) -> str: ...

    @property
    def size(self) -> int: ...

    def features(self, x: np.ndarray) -> np.ndarray:
        """Return the features, float32 ``(n, size)``, of examples ``(n, *shape)``, images in [-1, 1]."""
        ...
