"""Ctrl-C, SIGTERM, SIGHUP and a cluster's preemption as a request to stop: the run saves its state and leaves."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import stat
import threading
import time
from types import FrameType, TracebackType

# SIGHUP says that the terminal is gone, and then ends a run as SIGTERM does.
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
# What submitit has SLURM send some time before a job is preempted or out of time; its handler puts the job back into
# the queue. The name is submitit's own setting.
REQUEUE = getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}", signal.SIGUSR2)


class StopRequest:
    """A context in which the first SIGINT, SIGTERM or SIGHUP only sets ``signal``; a second one leaves at once.

    A second SIGHUP does not: shell and system both send one where a terminal closes. What is ignored from the start, as
    SIGHUP is under ``nohup``, stays ignored.

    Leaving at once loses the steps since the last checkpoint and nothing else: checkpoints appear whole or not at all.
    It works while Python itself is held up, by XLA compiling a program for instance, which is why it has a thread.

    Where a cluster's tool waits for a preemption signal, that one is a request too, and is handed on to the tool at the
    end, when the state is saved.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.asked = math.inf  # when, as time.monotonic counts
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopRequest:
        waited_for = callable(signal.getsignal(REQUEUE))
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        ends = [number for number in EXIT_CODES if number != signal.SIGHUP or not ignored]
        for number in [*ends, *([REQUEUE] if waited_for else [])]:
            self._before[number] = signal.signal(number, self._note)
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        threading.Thread(target=_leave_at_the_second, args=(self._read,), name="ganrun-signals", daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._write)  # which ends the thread
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self.signal == REQUEUE:
            os.kill(os.getpid(), REQUEUE)

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, as shells report it; 0 when there was none."""
        return EXIT_CODES.get(self.signal, 143) if self.signal else 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _let_go_of_lost_terminals()
        if self.signal is None:
            self.signal, self.asked = signal.Signals(number), time.monotonic()


def _leave_at_the_second(pipe: int) -> None:
    """Read signals as they come, one byte each; leave the process at the second of those that end it."""
    asked = 0
    with os.fdopen(pipe, "rb", buffering=0) as stream:
        while number := stream.read(1):
            asked = max(asked, 1) if number[0] == signal.SIGHUP else asked + (number[0] in EXIT_CODES)
            if asked > 1:
                os._exit(EXIT_CODES[signal.Signals(number[0])])


def _let_go_of_lost_terminals() -> None:
    """Write to nowhere what would go to a terminal that is gone, where to write is an error and would fail the run."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        with contextlib.suppress(OSError):  # there is no such output
            if stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number):
                os.dup2(nowhere, number)
    os.close(nowhere)
