"""Where a run's numbers and pictures go: one protocol, and a fan-out that writes while the device computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from ganrun.errors import GanrunError


@dataclass
class Entry:
    """What is known of one step.

    Attributes:
        step: generator updates done.
        scalars: values by tag, in the order they are shown.
        pictures: PNGs by tag.
        histograms: values by tag.
        milestone: whether a plain log shows this step (about ten do in a run).
    """

    step: int
    scalars: dict[str, float]
    histograms: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    milestone: bool = False


class Writer(Protocol):
    """Something that keeps entries. ``write`` and ``flush`` are called from one thread, in the order of the steps."""

    def write(self, entry: Entry) -> None: ...

    def flush(self) -> None: ...

    def close(self, status: str) -> None: ...


class FanOut:
    """Hands every entry to every writer, in a thread of its own so that drawing and disks do not hold up training.

    An entry is given as a function, so that the work of making it (waiting for the device, drawing) is done in the
    thread too. The first error in the thread ends it and is raised at the caller's next call.
    """

    def __init__(self, writers: list[Writer]) -> None:
        self.last: dict[str, float] = {}
        self._writers = writers
        self._error: BaseException | None = None
        self._broken = False
        self._waiting: queue.Queue[Callable[[], Entry] | None] = queue.Queue(maxsize=64)
        self._thread = threading.Thread(target=self._work, name="ganrun-writers", daemon=True)
        self._thread.start()

    def put(self, make: Callable[[], Entry]) -> None:
        """Queue an entry; waits only where the writers are 64 entries behind."""
        self._raise()
        self._waiting.put(make)

    def flush(self) -> None:
        """Return when everything queued so far is on disk."""
        self._waiting.join()
        self._raise()
        for writer in self._writers:
            writer.flush()

    def close(self, status: str) -> None:
        """Write what is queued, tell every writer how the run ended, and stop."""
        self._waiting.put(None)
        self._thread.join()
        for writer in self._writers:
            writer.close(status)
        self._raise()

    def _work(self) -> None:
        while (make := self._waiting.get()) is not None:
            if not self._broken:  # after an error the queue is only emptied, so that nobody waits forever
                try:
                    entry = make()
                    for writer in self._writers:
                        writer.write(entry)
                    self.last.update(entry.scalars)
                except BaseException as error:
                    self._error, self._broken = error, True
            self._waiting.task_done()
        self._waiting.task_done()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if isinstance(error, OSError):
            raise GanrunError(f"Cannot write {error.filename or 'the run directory'}: {error.strerror}.") from error
        if error is not None:
            raise error


def positions(folder: Path) -> dict[str, int]:
    """Return the size in bytes of every file of ``folder`` that grows with the run."""
    return {path.name: path.stat().st_size for path in _growing(folder)}


def rewind(folder: Path, sizes: dict[str, int]) -> None:
    """Cut the growing files of ``folder`` back to ``sizes``, so that steps to be repeated are not there twice."""
    for path in _growing(folder):
        if path.name not in sizes:
            path.unlink()  # begun after the checkpoint
        elif path.stat().st_size > sizes[path.name]:
            with path.open("r+b") as file:
                file.truncate(sizes[path.name])


def _growing(folder: Path) -> list[Path]:
    return sorted([*folder.glob("metrics.jsonl"), *folder.glob("events.out.tfevents.*")])
