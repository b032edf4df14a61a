"""Examples as rows of an array that may be larger than the memory, as that of a mapped file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

BLOCK = 1 << 24  # bytes that are read at once


@dataclass(frozen=True, eq=False)
class Rows:
    """Some of the rows of an array, which are read when they are indexed.

    Attributes:
        base: the array ``(n, d)``, as a rule mapped from a file.
        index: the numbers of the rows, int64 ``(m,)``.
    """

    base: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return the rows that a slice or an integer array selects, as an array in memory."""
        return self.base[self.index[rows]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy  # it is one in any case
        return np.asarray(self[:], dtype)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.index), self.base.shape[1]

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    @property
    def nbytes(self) -> int:
        """Bytes that the rows take in memory."""
        return len(self.index) * self.base.shape[1] * self.base.dtype.itemsize


def blocks(rows: np.ndarray | Rows) -> Iterator[np.ndarray]:
    """Yield ``rows`` in their order, in contiguous arrays of at most about 16 MiB."""
    step = max(1, BLOCK // max(1, rows.nbytes // max(1, len(rows))))
    for start in range(0, len(rows), step):
        yield np.ascontiguousarray(rows[start : start + step])


def spaced(rows: np.ndarray | Rows, most_bytes: int) -> Any:
    """Return an index of ``rows``: of all, or of evenly spaced ones if all take more than ``most_bytes``."""
    count = max(1, most_bytes * len(rows) // max(1, rows.nbytes))
    return slice(None) if count >= len(rows) else np.linspace(0, len(rows) - 1, count).astype(np.int64)
