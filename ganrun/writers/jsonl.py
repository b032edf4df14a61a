"""metrics.jsonl: one JSON object a line, ``{"step": 50, "D(x)": 0.61, ...}``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ganrun.errors import ConfigError
from ganrun.rundir import relative
from ganrun.writers import Entry


def plain(scalars: dict[str, float]) -> dict[str, float | None]:
    """Return ``scalars`` as JSON can hold them: null stands for infinity, which KL(data, model) can be."""
    return {tag: None if value is None or math.isinf(value) else value for tag, value in scalars.items()}


def rows_of(folder: Path) -> list[dict[str, float]]:
    """Return the rows of the run in ``folder``, the last one only if it is whole: the run may be writing it.

    Raises:
        ConfigError: there is a line that ganrun does not write.
    """
    path = folder / "metrics.jsonl"
    rows, text = [], path.read_bytes() if path.exists() else b""
    for i, line in enumerate(text[: text.rfind(b"\n") + 1].splitlines()):
        try:
            row = numbers(json.loads(line.decode("utf-8")))
            rows.append(row | {"step": int(row["step"])})
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ConfigError(f"{relative(path)}, line {i + 1}, cannot be read: {error}") from error
    return rows


def numbers(given: Any) -> dict[str, float]:
    """Return the scalars that :func:`plain` made ``given`` of."""
    return {tag: math.inf if value is None else float(value) for tag, value in dict(given).items()}


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
