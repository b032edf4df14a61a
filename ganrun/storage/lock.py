"""Locks a run directory for one process. The operating system releases the lock when the process ends."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

from ganrun.errors import ConfigError, cannot_write
from ganrun.storage.run_directory import relative

NAME = ".lock"
MAX = 200  # bytes read from the file, which names the process that holds the lock


class Lock:
    """Locks ``folder`` until :meth:`release`, or until the process ends in any way.

    On a file system without locks this does nothing.

    Raises:
        ConfigError: another process, or another run of this process, holds the lock.
        GanrunError: the lock file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._number = -1
        while self._number < 0:
            number = self._opened()
            # The previous holder may have deleted this file: the lock counts only if it is on the current one.
            if _is(number, self._path):
                self._number = number
            else:
                os.close(number)
        with suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(self._number, 0)
            os.write(self._number, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def _opened(self) -> int:
        """Open and lock the file, and return its descriptor."""
        try:
            number = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise cannot_write(error, self._path) from error
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(number, MAX).decode(errors="replace").strip()
            os.close(number)
            where = relative(self._path.parent)
            by = f" by {holder}" if holder else ""
            raise ConfigError(f"{where} is in use{by}: wait for it, or stop it.") from error
        except OSError:  # a file system without locks
            pass
        return number

    def release(self) -> None:
        """Release the lock."""
        if self._number < 0:
            return
        with suppress(OSError):
            if _is(self._number, self._path):  # else the folder was deleted, and the present file is another process's
                self._path.unlink()
        os.close(self._number)
        self._number = -1


def taken(folder: Path) -> Lock:
    """Create the run directory ``folder`` if necessary, lock it and return the lock."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(error, folder) from error
    return Lock(folder)


def _is(number: int, path: Path) -> bool:
    """Return whether the open file descriptor ``number`` refers to the file at ``path``."""
    try:
        return os.path.samestat(os.fstat(number), path.stat())
    except FileNotFoundError:
        return False
