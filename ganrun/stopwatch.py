"""Where the time of a run goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

# What the thread that trains is busy with, or waits for. Measuring and writing go on beside it in threads of their own
# and count only as far as it waits for them.
PARTS = ("loading", "compiling", "training", "evaluating", "writing")
OTHER = "other"


class Stopwatch:
    """Divides the wall time of one thread among :data:`PARTS`; two calls of the clock for each part that begins.

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
        """A context whose time belongs to ``part``, and not to the part that it lies within."""
        self._settle()
        self._open.append(part)
        try:
            yield
        finally:
            self._settle()
            self._open.pop()

    def total(self) -> float:
        """Return the seconds since the stopwatch began."""
        return self._clock() - self._begun

    def split(self) -> dict[str, float]:
        """Return the seconds of each part up to now, and ``other`` for the rest: together they are :meth:`total`."""
        self._settle()
        spent = dict(self._spent)
        return spent | {OTHER: max(0.0, self._since - self._begun - sum(spent.values()))}

    def _settle(self) -> None:
        """Give the time since the last change to the part that is under way."""
        now = self._clock()
        if self._open:
            self._spent[self._open[-1]] += now - self._since
        self._since = now


def added(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Return the sums of two splits, part by part."""
    return {part: one.get(part, 0.0) + other.get(part, 0.0) for part in (*PARTS, OTHER)}
