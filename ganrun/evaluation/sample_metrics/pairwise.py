"""Distances between all pairs of two sets of features, in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ganrun.errors import ConfigError

BLOCK_BYTES = 1 << 28  # of one block of the float64 matrix of all pairs
SYMMETRIC_BLOCKS, SMALLEST_BLOCK = 10, 256  # of symmetric matrices: more blocks, or smaller ones, save little more
ROUNDING = 1e-12  # of a squared distance from inner products, relative to the squared norms


def check_features(rows: np.ndarray, name: str, minimum: int = 1) -> np.ndarray:
    """Return ``rows`` as float64.

    Args:
        rows: features ``(n, d)`` of any real type.
        name: of the set, for the message.
        minimum: the smallest n that the metric is defined for.

    Raises:
        ConfigError: unless ``rows`` is a finite ``(n, d)`` array of real numbers with d >= 1 and n >= ``minimum``.
    """
    rows = np.asarray(rows)
    if rows.ndim != 2 or rows.shape[1] < 1 or rows.dtype.kind not in "fiu":
        raise ConfigError(f"The {name} features must be real numbers (n, d), not {rows.dtype} {rows.shape}.")
    if len(rows) < minimum:
        raise ConfigError(f"The metric needs at least {minimum} {name} examples, not {len(rows)}.")
    rows = rows.astype(np.float64)
    if not np.isfinite(rows).all():
        raise ConfigError(f"The {name} features contain NaN or Inf.")
    return rows


def check_same_dimension(**sets: np.ndarray) -> None:
    """Raise :class:`ConfigError` unless all ``sets`` of features have the same dimension."""
    sizes = {name: rows.shape[1] for name, rows in sets.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {d}" for name, d in sizes.items())
        raise ConfigError(f"The features must have the same dimension, not {told}.")


def check_neighbours(k: int, **sets: np.ndarray) -> None:
    """Raise :class:`ConfigError` unless each example has ``k`` >= 1 neighbours within its own set."""
    most = min(len(rows) for rows in sets.values()) - 1
    if not 1 <= k <= most:
        told = ", ".join(f"{len(rows)} {name}" for name, rows in sets.items())
        raise ConfigError(f"k must be at least 1 and at most {most} for {told} examples, not {k}.")


def row_blocks(rows: int, columns: int, least: int = 1) -> Iterator[slice]:
    """Yield slices that cover ``rows``; each block of ``columns`` float64 numbers per row has :data:`BLOCK_BYTES`.

    There are at least about ``least`` of them if ``rows`` are many, for symmetric matrices of which half is computed.
    """
    size = max(1, min(BLOCK_BYTES // (8 * max(columns, 1)), max(SMALLEST_BLOCK, -(-rows // least))))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def squared_distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield rows of the matrix of squared Euclidean distances, by |x|^2 + |y|^2 - 2 <x, y>.

    Args:
        x: float64 ``(n, d)``.
        y: float64 ``(m, d)``.

    Yields:
        The rows as a slice of x, their squared distances ``(rows, m)``, and a bound ``(rows, m)`` on the rounding
        errors.
    """
    # Distances do not depend on the origin; at the mean, the cancellation between the three terms is smallest.
    origin = y.mean(axis=0)
    y = y - origin
    y_norms = np.einsum("ij,ij->i", y, y)
    for rows in row_blocks(len(x), len(y)):
        block = x[rows] - origin
        norms = np.einsum("ij,ij->i", block, block)[:, None] + y_norms
        square = block @ y.T
        square *= -2
        square += norms
        norms *= ROUNDING
        yield rows, np.maximum(square, 0, out=square), norms


def nearest_neighbours(x: np.ndarray, y: np.ndarray, k: int = 1, same: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``k`` nearest rows of ``y`` for each row of ``x``.

    Args:
        x: float64 ``(n, d)``.
        y: float64 ``(m, d)``.
        k: number of neighbours.
        same: whether x and y are the same set; then a row is not its own neighbour.

    Returns:
        Euclidean distances ``(n, k)``, increasing, from differences and thus without cancellation: the distance of two
        equal rows is 0. Indices of rows of y ``(n, k)``.
    """
    distances, indices = np.empty((len(x), k)), np.empty((len(x), k), np.int64)
    for rows, square, _ in squared_distances(x, y):
        if same:
            square[np.arange(rows.stop - rows.start), np.arange(rows.start, rows.stop)] = np.inf
        found = square.argmin(axis=1)[:, None] if k == 1 else np.argpartition(square, k - 1, axis=1)[:, :k]
        exact = np.stack([np.linalg.norm(x[rows] - y[column], axis=1) for column in found.T], axis=1)
        order = exact.argsort(axis=1, kind="stable")
        distances[rows] = np.take_along_axis(exact, order, axis=1)
        indices[rows] = np.take_along_axis(found, order, axis=1)
    return distances, indices
