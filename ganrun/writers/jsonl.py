"""metrics.jsonl: one JSON object a line, ``{"step": 50, "D(x)": 0.61, ...}``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ganrun.errors import ConfigError
from ganrun.rundir import relative
from ganrun.untrusted import is_one_line, open_file, parsed
from ganrun.writers import Entry

MOST_LINE = 1 << 20  # bytes of a row, which takes a few thousand
MOST_STEPS = 2**31 - 1  # of a run
LARGEST = 1e100  # number: no run in single precision has one, and their variance is a number too


def plain(scalars: dict[str, float]) -> dict[str, float | None]:
    """Return ``scalars`` as JSON can hold them: null stands for infinity, which KL(data, model) can be."""
    return {tag: None if value is None or math.isinf(value) else value for tag, value in scalars.items()}


def rows_of(folder: Path) -> list[dict[str, float]]:
    """Return the rows of the run in ``folder``, the last one only if it is whole: the run may be writing it.

    Raises:
        ConfigError: there is a line that ganrun does not write.
    """
    path = folder / "metrics.jsonl"
    rows: list[dict[str, float]] = []
    if not path.exists():
        return rows
    line = f"{relative(path)}, line 1,"
    try:
        with open_file(path) as file:
            while (text := file.readline(MOST_LINE)).endswith(b"\n"):
                rows.append(_row(text))
                line = f"{relative(path)}, line {len(rows) + 1},"
            if len(text) == MOST_LINE:
                raise ValueError(f"it is longer than {MOST_LINE} bytes")
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ConfigError(f"{line} cannot be read: {error}") from error
    return rows


def _row(line: bytes) -> dict[str, float]:
    row = numbers(parsed(line, finite=True))
    if not 0 <= row["step"] <= MOST_STEPS:
        raise ValueError(f"there is no step {row['step']:g}")
    return row | {"step": int(row["step"])}


def numbers(given: Any) -> dict[str, float]:
    """Return the scalars that :func:`plain` made ``given`` of; raise ValueError, TypeError or OverflowError if none."""
    if not isinstance(given, dict) or not all(map(is_one_line, given)):
        raise TypeError("it is no object with a number for each tag")
    if any(isinstance(value, str) for value in given.values()):
        raise TypeError("there is text in the place of a number")
    found = {tag: math.inf if value is None else float(value) for tag, value in given.items()}
    if any(LARGEST < abs(value) < math.inf for value in found.values()):
        raise OverflowError(f"there is a number beyond {LARGEST:g}")
    return found


class JsonLines:
    """Appends every entry's scalars to ``metrics.jsonl`` in the run directory."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "metrics.jsonl").open("a", encoding="utf-8")

    def write(self, entry: Entry) -> None:
        self._file.write(json.dumps({"step": entry.step, **plain(entry.scalars)}, allow_nan=False) + "\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self, status: str) -> None:
        self._file.close()
