"""One process at a time in a run directory. The lock is the operating system's, and goes with the process."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

from ganrun.errors import ConfigError, cannot_write
from ganrun.rundir import relative

NAME = ".lock"
MOST = 200  # bytes of what the file says


class Lock:
    """Holds ``folder`` until :meth:`release`, or until the process ends in whatever way.

    Where the file system knows no locks there is none.

    Raises:
        ConfigError: another process, or another run of this one, holds it.
        GanrunError: the file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._number = -1
        while self._number < 0:
            number = self._opened()
            # Whoever held the file before has deleted it; what counts is the one that others see.
            if _is(number, self._path):
                self._number = number
            else:
                os.close(number)
        with suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(self._number, 0)
            os.write(self._number, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def _opened(self) -> int:
        """Return the number of the open file, locked."""
        try:
            number = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise cannot_write(error, self._path) from error
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            told = os.read(number, MOST).decode(errors="replace").strip()
            os.close(number)
            where = relative(self._path.parent)
            raise ConfigError(f"{where} is in use{f' by {told}' if told else ''}: wait for it, or stop it.") from error
        except OSError:  # a file system without locks
            pass
        return number

    def release(self) -> None:
        """Let others in."""
        if self._number < 0:
            return
        with suppress(OSError):
            if _is(self._number, self._path):  # else the folder was deleted, and what is there now is another's
                self._path.unlink()
        os.close(self._number)
        self._number = -1


def taken(folder: Path) -> Lock:
    """Return the lock of the run directory ``folder``, which is made where there is none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(error, folder) from error
    return Lock(folder)


def _is(number: int, path: Path) -> bool:
    """Return whether the open file ``number`` is the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(number), path.stat())
    except FileNotFoundError:
        return False
