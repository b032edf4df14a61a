"""Features that are the numbers of the example itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass
class Raw:
    """The flattened pixels or coordinates.

    Attributes:
        size: number of pixels or coordinates of an example.
        name: ``raw``.
        checksum: empty: there are no weights.
    """

    size: int
    name: str = "raw"
    checksum: str = ""

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Raw:
        """Return the extractor for examples of ``shape``."""
        return cls(math.prod(shape))

    def features(self, x: np.ndarray) -> np.ndarray:
        """Return ``x`` ``(n, *shape)`` as float32 ``(n, size)``."""
        return np.asarray(x, np.float32).reshape(len(x), self.size)
