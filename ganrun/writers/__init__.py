"""Where a run's numbers and pictures go: one protocol, and a fan-out that writes while the device computes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from ganrun.errors import cannot_write
from ganrun.metrics.spec import latest

ABOUT = ".about"  # ends the name of the event file that says what a run is, and that is written anew when it goes on


@dataclass
class Entry:
    """What is known of one step.

    Attributes:
        step: generator updates done.
        scalars: values by tag, in the order they are shown.
        pictures: PNGs by tag.
        histograms: values by tag.
        findings: what has gone wrong, a line each.
        milestone: whether a plain log shows this step (about ten do in a run).
    """

    step: int
    scalars: dict[str, float]
    histograms: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    milestone: bool = False


class Writer(Protocol):
    """Something that keeps entries. ``write`` and ``flush`` are called from one thread, in the order of the steps."""

    def write(self, entry: Entry) -> None: ...

    def flush(self) -> None: ...

    def close(self, status: str) -> None: ...


class Worker:
    """A thread that does what it is given, in order; several runs may share one."""

    def __init__(self, waiting: int = 4096) -> None:
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=waiting)
        self._thread = threading.Thread(target=self._work, name="ganrun-writers", daemon=True)
        self._thread.start()

    def put(self, task: Callable[[], None]) -> None:
        """Queue ``task``, which raises nothing; waits while as many are waiting as may."""
        self._queue.put(task)

    def join(self) -> None:
        """Return when everything queued so far is done."""
        self._queue.join()

    def close(self) -> None:
        """Do what is queued, and stop."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            task()
            self._queue.task_done()
        self._queue.task_done()


class FanOut:
    """Hands every entry to every writer, in a thread of its own so that drawing and disks do not hold up training.

    An entry is given as a function, so that the work of making it (waiting for the device, drawing) is done in the
    thread too. The first error in the thread ends it and is raised at the caller's next call. ``worker`` is the thread
    where several runs share one; else it is the fan-out's own. ``place`` is named where something cannot be written.
    """

    def __init__(self, writers: list[Writer], worker: Worker | None = None, place: Path = Path("the run")) -> None:
        self.last: dict[str, float] = {}
        self.written = 0  # entries
        self._writers, self._place = writers, place
        self._error: BaseException | None = None
        self._broken = False
        self._busy = threading.Lock()  # held while entries are handed to writers
        self._given = 0
        self._worker, self._own = worker or Worker(), worker is None

    def put(self, make: Callable[[], Entry]) -> None:
        """Queue an entry; waits only where the writers are far behind."""
        self._raise()
        self._given += 1
        self._worker.put(lambda: self._write(make))

    @contextmanager
    def still(self) -> Iterator[int]:
        """A context in which nothing is written and all that was is on disk; gives the number of entries written."""
        with self._busy:
            self._raise()
            try:
                for writer in self._writers:
                    writer.flush()
            except OSError as error:
                raise cannot_write(error, self._place) from error
            yield self.written

    def flush(self) -> None:
        """Return when everything queued so far is on disk."""
        self._worker.join()
        with self.still():
            pass

    def wait(self, enough: Callable[[], bool]) -> None:
        """Return when everything queued so far is written, or ``enough()`` is true."""
        while self.written < self._given and not self._broken and not enough():
            time.sleep(0.002)

    def close(self, status: str, enough: Callable[[], bool] = lambda: False) -> None:
        """Write what is queued, tell every writer how the run ended, and stop.

        What is not written when ``enough()`` becomes true never is.
        """
        self.wait(enough)
        with self._busy:
            unwritten = self.written < self._given and not self._broken
            self._broken = True
            for writer in self._writers:
                try:
                    writer.close(status)
                except OSError as error:
                    self._error = self._error or error
        if self._own and not unwritten:
            self._worker.close()
        self._raise()

    def _write(self, make: Callable[[], Entry]) -> None:
        if self._broken:  # after an error the queue is only emptied, so that nobody waits forever
            return
        try:
            entry = make()
            with self._busy:
                if self._broken:
                    return
                for writer in self._writers:
                    writer.write(entry)
                self.last = latest(self.last, entry.scalars)
                self.written += 1
        except BaseException as error:
            self._error, self._broken = error, True

    def _raise(self) -> None:
        error, self._error = self._error, None
        if isinstance(error, OSError):
            raise cannot_write(error, self._place) from error
        if error is not None:
            raise error


def positions(folder: Path) -> dict[str, int]:
    """Return the size in bytes of every file of ``folder`` that grows with the run."""
    return {path.name: path.stat().st_size for path in _growing(folder)}


def rewind(folder: Path, sizes: dict[str, int]) -> list[str]:
    """Cut the growing files of ``folder`` back to ``sizes``, so that steps to be repeated are not there twice.

    Returns a line for each file that holds less than it did; nothing brings that back.
    """
    found = {path.name: path for path in _growing(folder)}
    for name, path in found.items():
        if name not in sizes:
            path.unlink()  # begun after the checkpoint
        elif path.stat().st_size > sizes[name]:
            with path.open("r+b") as file:
                file.truncate(sizes[name])
    short = [name for name in sizes if name not in found or found[name].stat().st_size < sizes[name]]
    return [f"{name} has lost what was written to it before the checkpoint." for name in short]


def _growing(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_growing(path.name))


def is_growing(name: str) -> bool:
    """Return whether a run's file of that name grows with it."""
    return name == "metrics.jsonl" or (name.startswith("events.out.tfevents.") and not name.endswith(ABOUT))
