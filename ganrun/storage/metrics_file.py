"""metrics.jsonl: one JSON object per line, ``{"step": 50, "D(x)": 0.61, ...}``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ganrun.errors import ConfigError
from ganrun.storage.run_directory import relative
from ganrun.storage.safe_io import is_one_line, open_file, parsed

MAX_LINE = 1 << 20  # bytes per row; real rows have a few thousand
MAX_STEPS = 2**31 - 1  # maximum step of a run
LARGEST = 1e100  # larger than any single-precision number, and its square is still finite


def plain(scalars: dict[str, float]) -> dict[str, float | None]:
    """Return ``scalars`` for JSON, with None (null) for infinity, which KL(data, model) can be."""
    return {tag: None if value is None or math.isinf(value) else value for tag, value in scalars.items()}


def rows_of(folder: Path) -> list[dict[str, float]]:
    """Return the rows of the run in ``folder``, without an incomplete last line: the run may be writing it.

    Raises:
        ConfigError: a line is not valid.
    """
    path = folder / "metrics.jsonl"
    rows: list[dict[str, float]] = []
    if not path.exists():
        return rows
    line = f"{relative(path)}, line 1,"
    try:
        with open_file(path) as file:
            while (text := file.readline(MAX_LINE)).endswith(b"\n"):
                rows.append(_row(text))
                line = f"{relative(path)}, line {len(rows) + 1},"
            if len(text) == MAX_LINE:
                raise ValueError(f"it is longer than {MAX_LINE} bytes")
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ConfigError(f"{line} cannot be read: {error}") from error
    return rows


def _row(line: bytes) -> dict[str, float]:
    row = numbers(parsed(line, finite=True))
    if not 0 <= row["step"] <= MAX_STEPS:
        raise ValueError(f"there is no step {row['step']:g}")
    return row | {"step": int(row["step"])}


def numbers(given: Any) -> dict[str, float]:
    """Return the scalars from which :func:`plain` made ``given``.

    Raises:
        ValueError, TypeError, OverflowError: ``given`` cannot come from :func:`plain`.
    """
    if not isinstance(given, dict) or not all(map(is_one_line, given)):
        raise TypeError("it is not an object with a number for each tag")
    if any(isinstance(value, str) for value in given.values()):
        raise TypeError("it has text in place of a number")
    scalars = {tag: math.inf if value is None else float(value) for tag, value in given.items()}
    if any(LARGEST < abs(value) < math.inf for value in scalars.values()):
        raise OverflowError(f"it has a number beyond {LARGEST:g}")
    return scalars
