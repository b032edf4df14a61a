"""Nearest training examples and their distances."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ganrun.storage.array_files import HALF_RANGES

BLOCK = 1 << 25  # bytes of a block of training rows


def nearest(rows: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row the Euclidean distance to its nearest training row, and their maximum absolute difference.

    Args:
        rows: float ``(n, dim)``.
        training: float ``(examples, dim)``, or uint8 or uint16, whose range represents [-1, 1].
    """
    best = np.full(len(rows), np.inf, np.float32)
    index = np.zeros(len(rows), np.int64)
    for start, block in _blocks(training):
        # |x - t|^2 - |x|^2; the second term is the same for every t.
        square = (block * block).sum(axis=1) - 2 * rows @ block.T
        closest = square.argmin(axis=1)
        value = square[np.arange(len(rows)), closest]
        closer = value < best
        best[closer], index[closer] = value[closer], start + closest[closer]
    # The expansion suffers from cancellation for close pairs: recompute the distance once the neighbour is known.
    difference = np.abs(rows - to_float(training[index]))
    return np.sqrt((difference.astype(np.float64) ** 2).sum(axis=1)), difference.max(axis=1)


def nearest_rows(rows: np.ndarray, training: np.ndarray, k: int) -> np.ndarray:
    """Return the numbers of the ``k`` nearest training rows of each row, the nearest first, int64 ``(n, k)``.

    Args:
        rows: float ``(n, dim)``.
        training: as in :func:`nearest`, at least ``k`` rows.
        k: number of neighbours.
    """
    found = np.zeros((len(rows), 0), np.int64)
    squares = np.zeros((len(rows), 0), np.float32)
    for start, block in _blocks(training):
        square = (block * block).sum(axis=1) - 2 * rows @ block.T
        squares = np.concatenate([squares, square], axis=1)
        found = np.concatenate([found, np.broadcast_to(start + np.arange(len(block)), square.shape)], axis=1)
        order = np.argsort(squares, axis=1, kind="stable")[:, :k]
        squares, found = np.take_along_axis(squares, order, axis=1), np.take_along_axis(found, order, axis=1)
    return found


def _blocks(training: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield ``training`` as floats, in blocks of rows, each with the number of its first row."""
    rows = max(1, BLOCK // (4 * training.shape[1]))
    for start in range(0, len(training), rows):
        yield start, to_float(training[start : start + rows])


def spread(rows: np.ndarray) -> float:
    """Return the mean Euclidean distance between two different ``rows`` ``(n, dim)``."""
    rows = np.asarray(rows, np.float64)
    square = (rows * rows).sum(axis=1)
    distance = np.sqrt(np.maximum(square[:, None] + square - 2 * rows @ rows.T, 0.0))
    np.fill_diagonal(distance, 0.0)  # rounding errors of the diagonal
    return float(distance.sum() / (len(rows) * (len(rows) - 1)))


def to_float(rows: np.ndarray) -> np.ndarray:
    """Return ``rows``, with bytes mapped from 0...255, and 16-bit levels, to [-1, 1]."""
    half = HALF_RANGES.get(rows.dtype.name)
    return rows if half is None else rows.astype(np.float32) / half - 1
