"""Ctrl-C, SIGTERM, SIGHUP and a cluster's preemption as requests to stop: the run saves its state and exits."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Collection
from types import FrameType, TracebackType

# SIGHUP means that the terminal was closed, and ends a run as SIGTERM does.
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
# The signal that submitit makes SLURM send before a job is preempted or times out; submitit's handler requeues the
# job. The environment variable is submitit's own setting.
REQUEUE = getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}", signal.SIGUSR2)


class StopRequest:
    """A context in which the first SIGINT, SIGTERM or SIGHUP only sets ``signal``; a second one exits at once.

    A second SIGHUP does not: shell and system both send one when a terminal closes. A SIGHUP that is ignored from the
    start, as under ``nohup``, stays ignored.

    Exiting at once loses only the steps since the last checkpoint, since checkpoints are written atomically. A thread
    handles the second signal, so that it works even while Python is blocked, for instance while XLA compiles.

    If a handler for a cluster's preemption signal is installed, that signal is a request to stop too, and is passed on
    to the handler at the end, when the state has been saved. SLURM may send SIGTERM before it or after it, and does so
    again when it requeues a job: there no second SIGTERM exits at once.

    Attributes:
        signal: the first signal received; None if there was none.
        preempted: whether one of those received was the cluster's preemption signal.
        received_at: when it was received, as ``time.monotonic`` counts; infinity if there was none.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.received_at = math.inf
        self.preempted = self._requeues = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopRequest:
        self._requeues = callable(signal.getsignal(REQUEUE))
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        ends = [number for number in EXIT_CODES if number != signal.SIGHUP or not ignored]
        for number in [*ends, *([REQUEUE] if self._requeues else [])]:
            self._before[number] = signal.signal(number, self._note)
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        patient = {signal.SIGHUP, *([signal.SIGTERM] if self._requeues else [])}
        threading.Thread(target=_exit_at_second, args=(self._read, patient), name="ganrun-signals", daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._write)  # which ends the thread
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self.preempted:
            self._requeue()

    def _requeue(self) -> None:
        """Pass the preemption signal on to its handler, which exits the process if the job is requeued."""
        try:
            signal.raise_signal(REQUEUE)
        except Exception as error:  # that of submitit: the job has been requeued too often
            print(f"ganrun: the job does not go back into the queue: {error}", file=sys.stderr, flush=True)

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, as shells report it; 0 if there was none."""
        return EXIT_CODES.get(self.signal, 143) if self.signal else 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _redirect_lost_terminals()
        self.preempted |= self._requeues and number == REQUEUE
        if self.signal is None:
            self.signal, self.received_at = signal.Signals(number), time.monotonic()


def _exit_at_second(pipe: int, patient: Collection[int]) -> None:
    """Read signals from ``pipe``, one byte each; exit the process at the second one that requests a stop.

    Those in ``patient`` are never the second one.
    """
    count = 0
    with os.fdopen(pipe, "rb", buffering=0) as stream:
        while number := stream.read(1):
            count = max(count, 1) if number[0] in patient else count + (number[0] in EXIT_CODES)
            if count > 1:
                os._exit(EXIT_CODES[signal.Signals(number[0])])


def _redirect_lost_terminals() -> None:
    """Redirect output to a closed terminal to ``/dev/null``: writing to the terminal would raise and fail the run."""
    null = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        with contextlib.suppress(OSError):  # the stream is closed
            if stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number):
                os.dup2(null, number)
    os.close(null)
