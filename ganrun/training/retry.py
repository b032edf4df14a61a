"""Failures of the machine, after which a run of a sweep is tried again from its newest checkpoint."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ganrun.errors import GanrunError, StorageError, shown
from ganrun.storage.run_directory import MAX_SUMMARY, STORAGE, relative, write_atomically
from ganrun.storage.safe_io import read_json

MEMORY, DEVICE, DISK, DIED = "out of memory", "a device error", "the disk", "its process died"
MAX_RETRIES = 1_000_000  # more are not believed
WAIT, LONGEST = 1.0, 60.0  # seconds before the first retry of anything but memory, doubled each time, and at most
FAULTS = ("INTERNAL", "UNAVAILABLE", "ABORTED", "DATA_LOSS", "CANCELLED", "DEADLINE_EXCEEDED", "UNKNOWN")


def machine_failure(error: BaseException) -> str | None:
    """Return what of the machine ``error`` is about; None if it is the run's own fault, or the command line's."""
    if isinstance(error, StorageError | OSError):
        return DISK
    if isinstance(error, GanrunError):
        return None
    text = str(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return MEMORY
    of_jax = any(kind.__name__ in ("JaxRuntimeError", "XlaRuntimeError") for kind in type(error).__mro__)
    return DEVICE if of_jax and text.lstrip().startswith(FAULTS) else None


def died(folder: Path) -> bool:
    """Return whether the run in ``folder`` ended by a failure of the machine: it says no other reason.

    A run whose process was killed has no summary, and one that an error of the device has ended no reason.
    """
    try:
        summary = read_json(folder / "summary.json", MAX_SUMMARY)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    if not isinstance(summary, dict) or summary.get("status") != "failed":
        return False
    return "reason" not in summary or summary.get("cause") == STORAGE


def forget(folder: Path) -> None:
    """Remove the summary of a run that :func:`died`, so that it continues."""
    if died(folder):
        with suppress(OSError):
            (folder / "summary.json").unlink(missing_ok=True)


def retries_before(folder: Path) -> int:
    """Return how often the run in ``folder`` was tried again, as its summary says; 0 if there is none."""
    with suppress(OSError, ValueError):
        summary = read_json(folder / "summary.json", MAX_SUMMARY)
        count = summary.get("retries") if isinstance(summary, dict) else None
        return count if isinstance(count, int) and 0 < count < MAX_RETRIES else 0
    return 0


class Retries:
    """Counts how often each run of a sweep was tried again.

    Args:
        most: retries per run.
        say: logs a line.
        sleep: waits for some seconds.

    Attributes:
        counts: the retries of each run, by its directory.
    """

    def __init__(self, most: int, say: Callable[[str], Any], sleep: Callable[[float], None] = time.sleep) -> None:
        self.most, self.counts = most, Counter[Path]()
        self._say, self._sleep = say, sleep

    def may(self, runs: Sequence[Path]) -> bool:
        """Return whether each of ``runs`` may be tried again."""
        return bool(runs) and all(self.counts[run] < self.most for run in runs)

    def begin(self, runs: Sequence[Path], what: str, error: object, wait: bool = True) -> None:
        """Count and log a retry of ``runs``, and wait before it unless ``wait`` is false."""
        for run in runs:
            self.counts[run] += 1
            forget(run)
        attempt = max(self.counts[run] for run in runs)
        which = relative(runs[0]) + (f" and {len(runs) - 1} more" if len(runs) > 1 else "")
        why = shown(str(error).strip().partition("\n")[0], 200)
        self._say(f"retry {attempt} of {self.most} after {what} ({why}): {which}")
        if wait:
            self._sleep(min(LONGEST, WAIT * 2 ** (attempt - 1)))

    def record(self) -> None:
        """Write the number of retries to the summary of each run that was tried again."""
        for run, count in self.counts.items():
            inside = [path.parent for path in run.glob("*/summary.json")]  # of a job of several runs
            for folder in inside or [run]:
                _add(folder / "summary.json", count)
        if total := sum(self.counts.values()):
            self._say(f"retries: {total} of {len(self.counts)} run{'s' * (len(self.counts) > 1)}")


def _add(path: Path, count: int) -> None:
    with suppress(OSError, ValueError):
        summary = read_json(path, MAX_SUMMARY)
        if isinstance(summary, dict):
            before = retries_before(path.parent)  # in sessions before this one
            write_atomically(path, json.dumps(summary | {"retries": before + count}, indent=2) + "\n")
