"""The append-only files of a run directory: their sizes, and truncating them when a run is resumed."""

from __future__ import annotations

from pathlib import Path

ABOUT = ".about"  # suffix of the event file that describes a run, which is rewritten when the run is resumed


def positions(folder: Path) -> dict[str, int]:
    """Return the size in bytes of every growing file in ``folder``."""
    return {path.name: path.stat().st_size for path in _growing(folder)}


def rewind(folder: Path, sizes: dict[str, int]) -> list[str]:
    """Truncate the growing files in ``folder`` to ``sizes``, so that repeated steps are not recorded twice.

    Returns a message for each file that is shorter than its size; the missing part is lost.
    """
    paths = {path.name: path for path in _growing(folder)}
    for name, path in paths.items():
        if name not in sizes:
            path.unlink()  # created after the checkpoint
        elif path.stat().st_size > sizes[name]:
            with path.open("r+b") as file:
                file.truncate(sizes[name])
    short = [name for name in sizes if name not in paths or paths[name].stat().st_size < sizes[name]]
    return [f"{name} has lost what was written to it before the checkpoint." for name in short]


def _growing(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_growing(path.name))


def is_growing(name: str) -> bool:
    """Return whether the file ``name`` of a run directory grows with the run."""
    return name == "metrics.jsonl" or (name.startswith("events.out.tfevents.") and not name.endswith(ABOUT))
