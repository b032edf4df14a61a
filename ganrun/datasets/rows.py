"""Examples as rows of an array that may be larger than the memory, as that of a mapped file."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganrun.errors import GanrunError, shown

BLOCK = 1 << 24  # bytes that are read at once
LARGE_ROW = 4096  # bytes from which on a row is read by itself


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


class Reader:
    """Reads chosen rows of an array; from a mapped file, by the file and not by the mapping.

    Reading a page of a mapping when a copy reaches it is slow, and reads ahead what is not asked for.

    Args:
        rows: the array ``(n, d)``, in memory or mapped as a whole.
    """

    def __init__(self, rows: np.ndarray | Rows) -> None:
        self._rows = rows
        base = rows.base if isinstance(rows, Rows) else rows
        self._size = base.nbytes // max(1, len(base))  # bytes of a row
        self._file: int | None = None
        path, offset = getattr(base, "filename", None), getattr(base, "offset", None)
        if path is not None and offset is not None and self._size >= LARGE_ROW and hasattr(os, "posix_fadvise"):
            self._file, self._offset, self._path = os.open(path, os.O_RDONLY | os.O_CLOEXEC), int(offset), str(path)
            os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)
            weakref.finalize(self, os.close, self._file)

    def read(self, index: np.ndarray, out: np.ndarray) -> None:
        """Write the rows ``index`` ``(m,)`` to ``out`` ``(m, d)``.

        Raises:
            GanrunError: the file has become shorter.
        """
        if self._file is None:
            out[:] = self._rows[index]
            return
        numbers = self._rows.index[index] if isinstance(self._rows, Rows) else index
        places = (self._offset + numbers * self._size).tolist()
        for place in places:  # so that the reads below wait for each other less
            os.posix_fadvise(self._file, place, self._size, os.POSIX_FADV_WILLNEED)
        for place, row in zip(places, out, strict=True):
            if os.preadv(self._file, [row], place) != self._size:
                raise GanrunError(f"{shown(self._path)}: the file has become shorter since the run has opened it.")


def blocks(rows: np.ndarray | Rows) -> Iterator[np.ndarray]:
    """Yield ``rows`` in their order, in contiguous arrays of at most about 16 MiB."""
    step = max(1, BLOCK // max(1, rows.nbytes // max(1, len(rows))))
    for start in range(0, len(rows), step):
        yield np.ascontiguousarray(rows[start : start + step])


def spaced(rows: np.ndarray | Rows, most_bytes: int) -> Any:
    """Return an index of ``rows``: of all, or of evenly spaced ones if all take more than ``most_bytes``."""
    count = max(1, most_bytes * len(rows) // max(1, rows.nbytes))
    return slice(None) if count >= len(rows) else np.linspace(0, len(rows) - 1, count).astype(np.int64)
