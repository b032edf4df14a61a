"""Passes every entry to every writer, in a thread that works while the device computes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ganrun.errors import cannot_write
from ganrun.evaluation.metrics.spec import latest
from ganrun.writers.base import Entry, Writer


class Worker:
    """A thread that runs tasks in order; several runs may share one."""

    def __init__(self, waiting: int = 4096) -> None:
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=waiting)
        self._thread = threading.Thread(target=self._work, name="ganrun-writers", daemon=True)
        self._thread.start()

    def put(self, task: Callable[[], None]) -> None:
        """Queue ``task``, which must not raise; blocks while the queue is full."""
        self._queue.put(task)

    def join(self) -> None:
        """Wait until everything queued so far is done."""
        self._queue.join()

    def close(self) -> None:
        """Finish the queued tasks, and stop the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            task()
            self._queue.task_done()
        self._queue.task_done()


class FanOut:
    """Passes every entry to every writer, in a separate thread so that drawing and disk writes do not delay training.

    An entry is passed as a function, so that the work of creating it (waiting for the device, drawing) is done in the
    thread too. After the first error nothing more is written, and the caller's next call raises it.

    Args:
        writers: the writers, which are called in this order.
        worker: the thread, if several runs share one; by default the fan-out has its own.
        place: the path named in the error if a file cannot be written.

    Attributes:
        last: the latest value of each metric written.
        written: number of entries written.
    """

    def __init__(self, writers: list[Writer], worker: Worker | None = None, place: Path = Path("the run")) -> None:
        self.last: dict[str, float] = {}
        self.written = 0
        self._writers, self._place = writers, place
        self._error: BaseException | None = None
        self._broken = False
        self._busy = threading.Lock()  # held while an entry is passed to the writers
        self._given = 0
        self._worker, self._own = worker or Worker(), worker is None

    def put(self, make: Callable[[], Entry]) -> None:
        """Queue an entry; blocks only if the writers are far behind."""
        self._raise()
        self._given += 1
        self._worker.put(lambda: self._write(make))

    def run(self, task: Callable[[], None]) -> None:
        """Queue a task that writes nothing; its errors are ignored."""

        def quietly() -> None:
            with suppress(Exception):
                task()

        self._worker.put(quietly)

    @contextmanager
    def still(self) -> Iterator[int]:
        """Flush the writers and return a context in which nothing is written; yields the number of entries written."""
        with self._busy:
            self._raise()
            try:
                for writer in self._writers:
                    writer.flush()
            except OSError as error:
                raise cannot_write(error, self._place) from error
            yield self.written

    def flush(self) -> None:
        """Wait until everything queued so far is on disk."""
        self._worker.join()
        with self.still():
            pass

    def wait(self, enough: Callable[[], bool]) -> None:
        """Wait until everything queued so far is written, or ``enough()`` is true."""
        while self.written < self._given and not self._broken and not enough():
            time.sleep(0.002)

    def close(self, status: str, enough: Callable[[], bool] = lambda: False) -> None:
        """Write what is queued, close every writer with the run's ``status``, and stop.

        Entries that are not written when ``enough()`` becomes true are dropped.
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
        if self._broken:  # after an error the queue is only drained, so that nothing blocks forever
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
