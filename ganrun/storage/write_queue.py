"""Files that are written asynchronously, with a limit for the bytes that wait in memory until they are written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class WriteQueue:
    """Threads that write, and a limit for the bytes that wait for them.

    Args:
        threads: number of writes at once.
        limit: maximum of the bytes that wait or are being written; what is larger waits alone.
    """

    def __init__(self, threads: int, limit: int) -> None:
        self.limit = limit
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="ganrun-checkpoints")
        self._waiting, self._changed = 0, threading.Condition()

    def submit(self, size: int, copy: Callable[[], T], write: Callable[[T], None]) -> Future[None]:
        """Copy something once there is room for it, and write the copy asynchronously.

        Args:
            size: of the copy, in bytes.
            copy: makes it; called before this method returns.
            write: writes it; called in another thread.

        Returns:
            What ends when the copy is written, with the error of ``write`` if there was one.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting or self._waiting + size <= self.limit)
            self._waiting += size
        try:
            content = copy()
        except BaseException:
            self._release(size)
            raise
        return self._threads.submit(self._write, size, [content], write)

    def _write(self, size: int, content: list[T], write: Callable[[T], None]) -> None:
        try:
            write(content.pop())  # nothing else refers to it, so that it is freed before there is room for another
        finally:
            self._release(size)

    def _release(self, size: int) -> None:
        with self._changed:
            self._waiting -= size
            self._changed.notify_all()
