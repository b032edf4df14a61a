"""Writes metrics.jsonl: one JSON object per line, ``{"step": 50, "D(x)": 0.61, ...}``."""

from __future__ import annotations

import json
from pathlib import Path

from ganrun.storage.metrics_file import plain
from ganrun.writers.base import Entry


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
