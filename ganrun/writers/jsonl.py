"""metrics.jsonl: one JSON object a line, ``{"step": 50, "D(x)": 0.61, ...}``."""

from __future__ import annotations

import json
import math
from pathlib import Path

from ganrun.writers import Entry


def plain(scalars: dict[str, float]) -> dict[str, float | None]:
    """Return ``scalars`` as JSON can hold them: null stands for infinity, which KL(data, model) can be."""
    return {tag: None if value is None or math.isinf(value) else value for tag, value in scalars.items()}


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
