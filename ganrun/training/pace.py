"""The speed of training, measured from the calls of ``advance``."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ganrun.evaluation.evaluator import Snapshot
from ganrun.methods.run_state import Report

CALL_SECONDS = 0.25  # target duration of one device call, so that Ctrl-C and the progress bar respond quickly
ROWS = 10  # rows arrive in bursts: the speed is an average over several


@dataclass
class Call:
    """A call of ``advance`` that is running on the device.

    Attributes:
        step: the last step of the call.
        n: number of steps.
        begun: when it was dispatched, seconds of the monotonic clock.
        report: what it returns.
        snapshots: of every run after it, if any are taken.
    """

    step: int
    n: int
    begun: float
    report: Report
    snapshots: list[Snapshot] | None


class Pace:
    """How long steps take.

    Attributes:
        per_step: seconds per step in the latest call.
        calls: number of calls that are done.
    """

    def __init__(self, now: float) -> None:
        self.per_step, self.calls = CALL_SECONDS, 0
        self._done = now
        self._rows: deque[tuple[int, float]] = deque(maxlen=ROWS)

    def call_size(self, limit: int) -> int:
        """Return the steps of the next call: at most ``limit``, fewer if steps are slow."""
        return max(1, min(limit, int(CALL_SECONDS / self.per_step)))

    def end(self, call: Call, now: float) -> None:
        """Record that ``call`` is done."""
        if self.calls:  # the first call includes compilation
            self.per_step = max((now - max(self._done, call.begun)) / call.n, 1e-7)
        if self.calls <= 1:  # speed is measured from the second call on, if there is one
            self._rows.clear()
            self._rows.append((call.step - call.n, call.begun))
        self.calls, self._done = self.calls + 1, now

    def rate(self, step: int, now: float) -> float:
        """Return the steps per second over the latest rows, of which one ends with ``step``."""
        self._rows.append((step, now))
        first_step, first_time = self._rows[0]
        return (step - first_step) / max(now - first_time, 1e-9)
