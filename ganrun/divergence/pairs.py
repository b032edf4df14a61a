"""Two sides next to each other: whether they can be compared, and what a person should know before they are."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ganrun.errors import ConfigError

if TYPE_CHECKING:
    from ganrun.divergence.side import Side

# How many different values a float32 draw has (JAX makes its normal and uniform numbers from 23 random bits), so that
# on the line some rows of a perfectly continuous sample agree by chance.
VALUES = 1 << 23
NEVER = 0.99  # share of rows that are elsewhere, from which on a side counts as never being at a point
LEVELS = 256  # different numbers in a side that is made of bytes
LOOKED_AT = 100_000  # numbers of a side among which different ones are counted
BLOCK = 4096  # rows that are gone through column by column while they are in the processor's cache


def check_pair(a: Side, b: Side) -> tuple[str, ...]:
    """Return what there is to warn of before ``a`` and ``b`` are compared, one sentence each.

    What is checked is ``rows``: give an endless side those of :func:`ganrun.divergence.sides.glimpse`.

    Raises:
        ConfigError: they have different shapes, or there is nothing in them to compare.
    """
    _require_same_shape(a, b)
    warnings = [*a.notes, *b.notes]
    if a.rows is not None and b.rows is not None:
        _require_difference(a, b)
        warnings += [*_ranges(a, b), *_constants(a, b), *_steps(a, b), *_shared(a, b)]
    for name, side in (("A", a), ("B", b)):
        if side.rows is not None:
            warnings += _repeated(_named(name, side), side.rows)
    return tuple(dict.fromkeys(warnings))


def without_constants(a: Side, b: Side, seen_a: np.ndarray, seen_b: np.ndarray) -> tuple[Side, Side, tuple[str, ...]]:
    """Return both sides without the columns that carry nothing, and a warning where there were any.

    Args:
        a: the first side.
        b: the second side.
        seen_a: the rows of ``a``, or draws of it, ``(n, d)``; what is dropped is decided by these.
        seen_b: the same of ``b``.
    """
    dead = _constant(seen_a) & _constant(seen_b) & (seen_a[0] == seen_b[0])
    if not dead.any():
        return a, b, ()
    kept = np.flatnonzero(~dead)
    warning = f"dropped {_columns(dead)} with one and the same value on both sides."
    return _with_columns(a, kept), _with_columns(b, kept), (warning,)


def _with_columns(side: Side, kept: np.ndarray) -> Side:
    draw, push = side.draw, side.push

    def rows(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else np.ascontiguousarray(array[:, kept])

    return dataclasses.replace(
        side,
        shape=(len(kept),),
        rows=rows(side.rows),
        draw=None if draw is None else lambda n, seed: draw(n, seed)[:, kept],
        push=None if push is None else lambda latents: push(latents)[:, kept],
        density=None,  # a mixture of Gaussians has no constant column, so there was none
        training=rows(side.training),
        held_out=rows(side.held_out),
    )


def _named(name: str, side: Side) -> str:
    return f"{name} ({side.label})"


def _require_same_shape(a: Side, b: Side) -> None:
    if _bare(a) == _bare(b) or (a.d == b.d and 1 in (len(a.shape), len(b.shape))):
        return
    shapes = f"{_named('A', a)} has samples of shape {a.shape}, {_named('B', b)} of {b.shape}"
    hint = ""
    if a.d == b.d and sorted(a.shape) == sorted(b.shape):
        hint = " The same numbers in another order: images here are (height, width, channel)."
    elif a.d != b.d:
        hint = f" That is {a.d} numbers against {b.d}."
    raise ConfigError(f"{shapes}: only samples of one shape can be compared.{hint}")


def _bare(side: Side) -> tuple[int, ...]:
    """The shape without a channel that is the only one: (28, 28) is (28, 28, 1)."""
    return side.shape[:2] if len(side.shape) == 3 and side.shape[2] == 1 else side.shape


def _require_difference(a: Side, b: Side) -> None:
    assert a.rows is not None and b.rows is not None
    if _constant(a.rows).all() and _constant(b.rows).all() and (a.rows[0] == b.rows[0]).all():
        both = f"{_named('A', a)} and {_named('B', b)}"
        raise ConfigError(f"{both} are one and the same point, over and over: there is nothing to estimate.")


def _constant(rows: np.ndarray) -> np.ndarray:
    return rows.min(axis=0) == rows.max(axis=0)


def _constants(a: Side, b: Side) -> list[str]:
    """Columns in which a side is a point mass and the other is nearly never there, or is another one."""
    assert a.rows is not None and b.rows is not None
    in_a, in_b = _constant(a.rows), _constant(b.rows)
    names = _named("A", a), _named("B", b)
    found = []
    for fixed, free, rows, point, (name, other) in (
        (in_a, in_b, b.rows, a.rows[0], names),
        (in_b, in_a, a.rows, b.rows[0], names[::-1]),
    ):
        # Where the other side has that value often, the column hardly tells them apart: a corner pixel, rarely lit.
        alone = fixed & ~free
        alone[alone] = (rows[:, alone] != point[alone]).mean(axis=0) > NEVER
        if alone.any():
            law = "the JSD of a point mass against a density is log 2"
            found.append(f"{name} is constant in {_columns(alone)} and {other} is not: {law}.")
    apart = in_a & in_b & (a.rows[0] != b.rows[0])
    if apart.any():
        which = f"constant in {_columns(apart)}, each at its own value"
        found.append(f"{names[0]} and {names[1]} are {which}: the JSD is log 2.")
    return found


def _columns(mask: np.ndarray) -> str:
    """Name the columns of ``mask``, counted from 0."""
    which = np.flatnonzero(mask)
    if len(which) == 1:
        return f"column {which[0]}"
    listed = ", ".join(map(str, which[:5]))
    return f"{len(which)} columns ({listed}{', ...' if len(which) > 5 else ''})"


def _ranges(a: Side, b: Side) -> list[str]:
    """Images whose values lie in different ranges were most likely scaled differently."""
    assert a.rows is not None and b.rows is not None
    if max(len(a.shape), len(b.shape)) < 2:
        return []
    spans = [(float(rows.min()), float(rows.max())) for rows in (a.rows, b.rows)]
    if _range(*spans[0]) == _range(*spans[1]):
        return []
    told = " and ".join(
        f"{_named(name, side)} from {low:.3g} to {high:.3g}"
        for name, side, (low, high) in zip("AB", (a, b), spans, strict=True)
    )
    return [f"the values of {told}: are both images in the same range?"]


def _range(low: float, high: float) -> str:
    """Which convention for images the values from ``low`` to ``high`` follow."""
    if low < -1.01 or high > 255.5:
        return "none"
    if low < -0.01:
        return "[-1, 1]" if high <= 1.01 else "none"
    return "[0, 1]" if high <= 1.01 else "[0, 255]"


def _steps(a: Side, b: Side) -> list[str]:
    """Numbers that come in steps (bytes, say) against numbers that do not."""
    assert a.rows is not None and b.rows is not None
    values = [len(np.unique(rows.ravel()[:LOOKED_AT])) for rows in (a.rows, b.rows)]
    names = _named("A", a), _named("B", b)
    if values[0] > values[1]:
        values, names = values[::-1], names[::-1]
    if not 1 < values[0] <= LEVELS or values[1] <= 4 * LEVELS:
        return []
    law = "between a discrete and a continuous distribution the JSD is log 2, and a method sees part of that at most"
    return [f"{names[0]} takes {values[0]} different values and {names[1]} does not come in steps: {law}."]


def _shared(a: Side, b: Side) -> list[str]:
    assert a.rows is not None and b.rows is not None
    # 0.1 in single precision is another number than in double: compare what both can hold.
    common = np.float32 if np.float32 in (a.rows.dtype, b.rows.dtype) else np.float64
    left, right = fingerprints(a.rows, common), fingerprints(b.rows, common)
    in_a, in_b = int(np.isin(left, right).sum()), int(np.isin(right, left).sum())
    if min(in_a, in_b) <= _by_chance(a.d, len(left) * len(right)):
        return []
    told = f"{in_a} rows of {_named('A', a)} ({in_a / len(left):.2%}) and {in_b} of {_named('B', b)}"
    return [f"{told} ({in_b / len(right):.2%}) are the same, number for number: the sides are not independent."]


def _repeated(name: str, rows: np.ndarray) -> list[str]:
    n = len(rows)
    count = n - len(np.unique(fingerprints(rows, rows.dtype)))
    if count <= _by_chance(rows.shape[1], n * n // 2):
        return []
    return [f"{name}: {count} of {n} rows ({count / n:.2%}) repeat an earlier one: a discrete or a repeated sample."]


def _by_chance(d: int, pairs: int) -> float:
    """How many rows may agree, of so many pairs, without anything being wrong with a continuous sample."""
    return 10 + 4 * pairs / VALUES if d == 1 else 0


def fingerprints(rows: np.ndarray, kind: np.typing.DTypeLike) -> np.ndarray:
    """Return one uint64 a row, equal for equal rows as numbers of ``kind`` (0.0 and -0.0 are), else different."""
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
    """Scramble 64 bits, each word to a different one (the finaliser of SplitMix64)."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
