"""Ends this process, with a line that says why, as soon as another host of the run has died.

JAX notices it by missing heartbeats, after a minute or so, and then aborts the process. The connections by which the
hosts have found each other stay open, and the system closes them with the process at their other end. When a whole
machine is lost, its connection breaks after it has not answered for a while.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Mapping

from ganrun.errors import GanrunError, tell

LEADER = 0
MAX_LINE = 32  # bytes of a message: the number of the host that is lost
LEAVING = 2.0  # seconds in which the other hosts end before the first one
UNANSWERED = 3  # questions without an answer after which a connection is broken


class HostWatch:
    """Watches the connections to other hosts in a thread.

    Args:
        index: number of this host.
        others: connections by number of the host: to all others from the first one, to the first one from each other.
        seconds: after which a machine that does not answer is lost.
    """

    def __init__(self, index: int, others: Mapping[int, socket.socket], seconds: float) -> None:
        self._index, self._others, self._over = index, others, False
        self._selector = selectors.DefaultSelector()
        for number, connection in others.items():
            connection.settimeout(None)
            _ask_regularly(connection, seconds)
            # Here, and not in the thread, which may begin after a connection was closed.
            self._selector.register(connection, selectors.EVENT_READ, number)
        threading.Thread(target=self._run, name="ganrun-hosts", daemon=True).start()

    def end(self) -> None:
        """Do nothing about hosts that end from now on."""
        self._over = True

    def _run(self) -> None:
        with self._selector as selector:
            while not self._over:
                for key, _ in selector.select():
                    lost = _lost(self._others[key.data], key.data)
                    if lost is not None and not self._over:
                        return self._leave(lost)
        return None

    def _leave(self, lost: int) -> None:
        """Tell the other hosts which one is ``lost``, and end this process."""
        which = "the first host" if lost == LEADER else f"host {lost}"
        tell(GanrunError(f"hosts: {which} is lost. resume=RUN on all hosts continues from the newest checkpoint."))
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        if self._index == LEADER:
            self._tell_others(lost)
        os._exit(GanrunError.exit_code)

    def _tell_others(self, lost: int) -> None:
        """Tell them which host is ``lost``, and wait until they have ended: JAX would abort them."""
        others = [connection for number, connection in self._others.items() if number != lost]
        until = time.monotonic() + LEAVING
        for connection in others:
            with contextlib.suppress(OSError):
                connection.sendall(b"%d\n" % lost)
        for connection in others:
            with contextlib.suppress(OSError):
                connection.settimeout(max(0.01, until - time.monotonic()))
                connection.recv(MAX_LINE)


def _lost(connection: socket.socket, number: int) -> int | None:
    """Return the number of the host that is lost, if ``connection`` to host ``number`` says so; otherwise None."""
    try:
        line = connection.recv(MAX_LINE).strip()
    except OSError:
        return number
    if not line:
        return number
    return int(line) if line.isdigit() else None


def _ask_regularly(connection: socket.socket, seconds: float) -> None:
    """Make ``connection`` break if the machine at its other end has not answered for ``seconds``."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    interval = max(1, int(seconds / (UNANSWERED + 1)))
    names = {"TCP_KEEPIDLE": interval, "TCP_KEEPINTVL": interval, "TCP_KEEPCNT": UNANSWERED}
    for name, value in names.items():
        if hasattr(socket, name):  # not on all systems
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
