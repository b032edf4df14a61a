"""Distances between all pairs of two sets of features, in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ganrun.errors import ConfigError

BLOCK_BYTES = 1 << 28  # of one block of the float64 matrix of all pairs
SYMMETRIC_BLOCKS, SMALLEST_BLOCK = 10, 256  # of symmetric matrices: more blocks, or smaller ones, save little more
MAX_SEARCHES = 30  # neighbours up to which repeated searches for the smallest are faster than a partition
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


def squared_distances(
    x: np.ndarray, y: np.ndarray, upper: bool = False
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield rows of the matrix of squared Euclidean distances, by |x|^2 + |y|^2 - 2 <x, y>.

    Args:
        x: float64 ``(n, d)``.
        y: float64 ``(m, d)``.
        upper: whether x and y are the same set, of whose symmetric matrix half is computed: the rows then have the
            columns from their own first on.

    Yields:
        The rows as a slice of x, their squared distances ``(rows, m)``, and a bound ``(rows, m)`` on the rounding
        errors.
    """
    # Distances do not depend on the origin; at the mean, the cancellation between the three terms is smallest.
    origin = y.mean(axis=0)
    y = y - origin
    y_norms = np.einsum("ij,ij->i", y, y)
    for rows in row_blocks(len(x), len(y), least=SYMMETRIC_BLOCKS if upper else 1):
        first = rows.start if upper else 0
        block = x[rows] - origin
        norms = np.einsum("ij,ij->i", block, block)[:, None] + y_norms[first:]
        square = block @ y[first:].T
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
    if same:
        indices = _nearest_within(x, k)
    else:
        indices = np.concatenate([_smallest(square, k)[0] for _, square, _ in squared_distances(x, y)])
    distances = np.empty(indices.shape)
    for rows in row_blocks(len(x), x.shape[1]):
        for j in range(k):
            distances[rows, j] = np.linalg.norm(x[rows] - y[indices[rows, j]], axis=1)
    order = distances.argsort(axis=1, kind="stable")
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(indices, order, axis=1)


def _nearest_within(x: np.ndarray, k: int) -> np.ndarray:
    """Return the indices of the ``k`` nearest other rows for each row of ``x``: ``(n, k)``, in any order."""
    best, indices = np.full((len(x), k), np.inf), np.zeros((len(x), k), np.int64)

    def merge(rows: slice, square: np.ndarray, first: int) -> None:
        """Keep the smallest of those found so far and of ``square``, whose columns are the rows of x from ``first``."""
        found, values = _smallest(square, min(k, square.shape[1]))
        values = np.concatenate([best[rows], values], axis=1)
        found = np.concatenate([indices[rows], first + found], axis=1)
        kept = np.argpartition(values, k - 1, axis=1)[:, :k]
        best[rows], indices[rows] = (np.take_along_axis(part, kept, axis=1) for part in (values, found))

    for rows, square, _ in squared_distances(x, x, upper=True):
        count = rows.stop - rows.start
        np.fill_diagonal(square[:, :count], np.inf)
        below = square[:, count:].T.copy()  # the rows of the block are changed first
        merge(rows, square, rows.start)
        if len(below):
            merge(slice(rows.stop, len(x)), below, rows.start)
    return indices


def _smallest(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return indices and values ``(n, k)`` of the ``k`` smallest numbers in each of the ``rows``, which are changed."""
    if k > MAX_SEARCHES:
        found = np.argpartition(rows, k - 1, axis=1)[:, :k]
        return found, np.take_along_axis(rows, found, axis=1)
    found, values, each = np.empty((len(rows), k), np.int64), np.empty((len(rows), k)), np.arange(len(rows))
    for j in range(k):  # vectorised, unlike a partition
        found[:, j] = rows.argmin(axis=1)
        values[:, j] = rows[each, found[:, j]]
        rows[each, found[:, j]] = np.inf
    return found, values
