"""The numbers of an example themselves as its features."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Raw:
    """The pixels of an image, or the numbers of a vector, as features.

    Attributes:
        shape: of one example.
    """

    shape: tuple[int, ...]
    name: str = "raw"
    checksum: str = ""

    @property
    def size(self) -> int:
        """Number of features."""
        return math.prod(self.shape)

    def features(self, x: np.ndarray) -> np.ndarray:
        """Return examples ``(n, *shape)`` as float32 rows ``(n, size)``."""
        return np.asarray(x, np.float32).reshape(len(x), self.size)
