"""Checks of two distributions before they are compared: errors if they cannot be, warnings if something looks wrong."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ganrun.errors import ConfigError

if TYPE_CHECKING:
    from ganrun.evaluation.divergence.distribution import Distribution

# Number of distinct values of a float32 draw (JAX generates normal and uniform numbers from 23 random bits): on the
# line, some rows of a continuous sample coincide by chance.
VALUES = 1 << 23
NEVER = 0.99  # if more than this share of rows differ from a value, it counts as never taken
LEVELS = 256  # maximum number of distinct values of samples made of bytes
INSPECTED = 100_000  # values among which the distinct ones are counted
BLOCK = 4096  # rows processed column by column while they are in the cache


def check_pair(a: Distribution, b: Distribution) -> tuple[str, ...]:
    """Return warnings about the comparison of ``a`` and ``b``, one sentence each.

    Only ``rows`` are checked: ``open_distribution.glimpse`` adds them to a distribution that is sampled.

    Raises:
        ConfigError: the shapes differ, or all rows of both are the same point.
    """
    _require_same_shape(a, b)
    warnings = [*a.notes, *b.notes]
    if a.rows is not None and b.rows is not None:
        _require_difference(a, b)
        warnings += [*_ranges(a, b), *_constants(a, b), *_steps(a, b), *_shared(a, b)]
    for name, distribution in (("A", a), ("B", b)):
        if distribution.rows is not None:
            warnings += _repeated(_named(name, distribution), distribution.rows)
    return tuple(dict.fromkeys(warnings))


def without_constants(
    a: Distribution, b: Distribution, seen_a: np.ndarray, seen_b: np.ndarray
) -> tuple[Distribution, Distribution, tuple[str, ...]]:
    """Return both distributions without the columns that are constant and equal in both, and a warning if any were.

    Args:
        a: the first distribution.
        b: the second distribution.
        seen_a: the rows of ``a``, or draws of it, ``(n, d)``, which determine the columns to drop.
        seen_b: those of ``b``.
    """
    constant = _constant(seen_a) & _constant(seen_b) & (seen_a[0] == seen_b[0])
    if not constant.any():
        return a, b, ()
    kept = np.flatnonzero(~constant)
    warning = f"dropped {_columns(constant)} with the same constant value in both distributions."
    return _with_columns(a, kept), _with_columns(b, kept), (warning,)


def _with_columns(distribution: Distribution, kept: np.ndarray) -> Distribution:
    draw, push = distribution.draw, distribution.push

    def rows(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else np.ascontiguousarray(array[:, kept])

    return dataclasses.replace(
        distribution,
        shape=(len(kept),),
        rows=rows(distribution.rows),
        draw=None if draw is None else lambda n, seed: draw(n, seed)[:, kept],
        push=None if push is None else lambda latents: push(latents)[:, kept],
        density=None,  # it was None: a Gaussian mixture has no constant column
        training=rows(distribution.training),
        held_out=rows(distribution.held_out),
    )


def _named(name: str, distribution: Distribution) -> str:
    return f"{name} ({distribution.label})"


def _require_same_shape(a: Distribution, b: Distribution) -> None:
    if _bare(a) == _bare(b) or (a.d == b.d and 1 in (len(a.shape), len(b.shape))):
        return
    shapes = f"{_named('A', a)} has samples of shape {a.shape}, {_named('B', b)} of {b.shape}"
    hint = ""
    if a.d == b.d and sorted(a.shape) == sorted(b.shape):
        hint = " The same numbers in another order: images here are (height, width, channel)."
    elif a.d != b.d:
        hint = f" That is {a.d} numbers against {b.d}."
    raise ConfigError(f"{shapes}: only samples of one shape can be compared.{hint}")


def _bare(distribution: Distribution) -> tuple[int, ...]:
    """Return the shape without a single channel: (28, 28, 1) equals (28, 28)."""
    return distribution.shape[:2] if len(distribution.shape) == 3 and distribution.shape[2] == 1 else distribution.shape


def _require_difference(a: Distribution, b: Distribution) -> None:
    assert a.rows is not None and b.rows is not None
    if _constant(a.rows).all() and _constant(b.rows).all() and (a.rows[0] == b.rows[0]).all():
        both = f"{_named('A', a)} and {_named('B', b)}"
        raise ConfigError(f"{both} consist of the same single point: there is nothing to estimate.")


def _constant(rows: np.ndarray) -> np.ndarray:
    return rows.min(axis=0) == rows.max(axis=0)


def _constants(a: Distribution, b: Distribution) -> list[str]:
    """Warn of columns where one distribution is a point mass and the other rarely or never takes that value."""
    assert a.rows is not None and b.rows is not None
    in_a, in_b = _constant(a.rows), _constant(b.rows)
    names = _named("A", a), _named("B", b)
    warnings = []
    for fixed, free, rows, point, (name, other) in (
        (in_a, in_b, b.rows, a.rows[0], names),
        (in_b, in_a, a.rows, b.rows[0], names[::-1]),
    ):
        # If the other distribution takes that value often, the column hardly separates them (a corner pixel, say).
        alone = fixed & ~free
        alone[alone] = (rows[:, alone] != point[alone]).mean(axis=0) > NEVER
        if alone.any():
            law = "the JSD of a point mass against a density is log 2"
            warnings.append(f"{name} is constant in {_columns(alone)} and {other} is not: {law}.")
    apart = in_a & in_b & (a.rows[0] != b.rows[0])
    if apart.any():
        which = f"constant in {_columns(apart)}, each at its own value"
        warnings.append(f"{names[0]} and {names[1]} are {which}: the JSD is log 2.")
    return warnings


def _columns(mask: np.ndarray) -> str:
    """Name the columns of ``mask``, counted from 0."""
    which = np.flatnonzero(mask)
    if len(which) == 1:
        return f"column {which[0]}"
    listed = ", ".join(map(str, which[:5]))
    return f"{len(which)} columns ({listed}{', ...' if len(which) > 5 else ''})"


def _ranges(a: Distribution, b: Distribution) -> list[str]:
    """Warn of images in different value ranges, which were most likely scaled differently."""
    assert a.rows is not None and b.rows is not None
    if max(len(a.shape), len(b.shape)) < 2:
        return []
    spans = [(float(rows.min()), float(rows.max())) for rows in (a.rows, b.rows)]
    if _range(*spans[0]) == _range(*spans[1]):
        return []
    listed = " and ".join(
        f"{_named(name, distribution)} from {low:.3g} to {high:.3g}"
        for name, distribution, (low, high) in zip("AB", (a, b), spans, strict=True)
    )
    return [f"the values of {listed}: are both images in the same range?"]


def _range(low: float, high: float) -> str:
    """Return the convention for pixel values that ``low`` to ``high`` follows."""
    if low < -1.01 or high > 255.5:
        return "none"
    if low < -0.01:
        return "[-1, 1]" if high <= 1.01 else "none"
    return "[0, 1]" if high <= 1.01 else "[0, 255]"


def _steps(a: Distribution, b: Distribution) -> list[str]:
    """Warn of discrete values (such as bytes) compared with continuous ones."""
    assert a.rows is not None and b.rows is not None
    values = [len(np.unique(rows.ravel()[:INSPECTED])) for rows in (a.rows, b.rows)]
    names = _named("A", a), _named("B", b)
    if values[0] > values[1]:
        values, names = values[::-1], names[::-1]
    if not 1 < values[0] <= LEVELS or values[1] <= 4 * LEVELS:
        return []
    law = "between a discrete and a continuous distribution the JSD is log 2, and a method detects part of that at most"
    return [f"{names[0]} takes {values[0]} different values and {names[1]} is continuous: {law}."]


def _shared(a: Distribution, b: Distribution) -> list[str]:
    assert a.rows is not None and b.rows is not None
    # 0.1 differs in single and double precision: compare in the lower precision of the two.
    common = np.float32 if np.float32 in (a.rows.dtype, b.rows.dtype) else np.float64
    left, right = fingerprints(a.rows, common), fingerprints(b.rows, common)
    in_a, in_b = int(np.isin(left, right).sum()), int(np.isin(right, left).sum())
    if min(in_a, in_b) <= _by_chance(a.d, len(left) * len(right)):
        return []
    listed = f"{in_a} rows of {_named('A', a)} ({in_a / len(left):.2%}) and {in_b} of {_named('B', b)}"
    return [f"{listed} ({in_b / len(right):.2%}) are identical: the samples are not independent."]


def _repeated(name: str, rows: np.ndarray) -> list[str]:
    n = len(rows)
    count = n - len(np.unique(fingerprints(rows, rows.dtype)))
    if count <= _by_chance(rows.shape[1], n * n // 2):
        return []
    return [f"{name}: {count} of {n} rows ({count / n:.2%}) repeat an earlier one: a discrete or a repeated sample."]


def _by_chance(d: int, pairs: int) -> float:
    """Return how many coincident rows, among so many pairs, are plausible for a continuous sample."""
    return 10 + 4 * pairs / VALUES if d == 1 else 0


def fingerprints(rows: np.ndarray, kind: np.typing.DTypeLike) -> np.ndarray:
    """Return a uint64 hash per row; rows equal as numbers of ``kind`` (0.0 equals -0.0) have equal hashes."""
    single = np.dtype(kind) != np.float64
    mixed = np.zeros(len(rows), np.uint64)
    for start in range(0, len(rows), BLOCK):
        block = mixed[start : start + BLOCK]
        for column in rows[start : start + BLOCK].T:
            number = column.astype(np.float32 if single else np.float64) + 0.0
            word = number.view(np.uint32 if single else np.uint64).astype(np.uint64)
            block[:] = _mix(block + word + np.uint64(0x9E3779B97F4A7C15))
    return mixed


def _mix(word: np.ndarray) -> np.ndarray:
    """Mix the bits of 64-bit words bijectively (the finaliser of SplitMix64)."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
