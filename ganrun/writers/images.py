"""Writes samples/: every picture of the run as a PNG named by its step."""

from __future__ import annotations

from pathlib import Path

from ganrun.writers.base import Entry


class Pictures:
    """Writes the pictures to ``samples/`` in the run directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "samples"
        self._folder.mkdir(exist_ok=True)

    def write(self, entry: Entry) -> None:
        for tag, png in entry.pictures.items():
            kind = "" if tag == "samples" else f"_{tag}"
            (self._folder / f"{entry.step:08d}{kind}.png").write_bytes(png)

    def flush(self) -> None:
        pass

    def close(self, status: str) -> None:
        pass
