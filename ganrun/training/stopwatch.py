"""Measures how the wall time of a run is divided among its parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

# What the training thread is doing or waiting for. Evaluation and writing run in threads of their own and count only
# while the training thread waits for them.
PARTS = ("loading", "compiling", "training", "evaluating", "writing")
OTHER = "other"


class Stopwatch:
    """Divides the wall time of one thread among :data:`PARTS`, with two clock calls per timed block.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._begun = clock, clock()
        self._spent: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._open: list[str] = []
        self._since = self._begun

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """Return a context whose time counts for ``part``, and not for an enclosing one."""
        self._settle()
        self._open.append(part)
        try:
            yield
        finally:
            self._settle()
            self._open.pop()

    def total(self) -> float:
        """Return the seconds since the stopwatch was created."""
        return self._clock() - self._begun

    def split(self) -> dict[str, float]:
        """Return the seconds of each part so far, and ``other`` for the rest; they sum to :meth:`total`."""
        self._settle()
        spent = dict(self._spent)
        return spent | {OTHER: max(0.0, self._since - self._begun - sum(spent.values()))}

    def _settle(self) -> None:
        """Add the time since the last call to the innermost open part."""
        now = self._clock()
        if self._open:
            self._spent[self._open[-1]] += now - self._since
        self._since = now


def added(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Return the sums of two splits, part by part."""
    return {part: first.get(part, 0.0) + second.get(part, 0.0) for part in (*PARTS, OTHER)}


def time_line(split: Mapping[str, float], overlapped: float = 0.0) -> str:
    """Return one line with the time of each part.

    Args:
        split: seconds by part, as :meth:`Stopwatch.split` returns them.
        overlapped: seconds of evaluating and drawing concurrent with training, which nothing waited for.
    """
    parts = [f"{part} {split[part]:.1f} s" for part in (*PARTS, OTHER) if split.get(part, 0.0) >= 0.05]
    more = f"; {overlapped:.1f} s more of evaluating overlapped with training" if overlapped >= 0.05 else ""
    return (", ".join(parts) or "less than 0.1 s") + more
