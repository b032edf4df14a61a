"""Rows of metrics between the training loop, which queues them, and the writers, whose thread evaluates them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ganrun.evaluation.evaluator import Snapshot
from ganrun.writers.base import Entry
from ganrun.writers.fan_out import FanOut


@dataclass(frozen=True)
class Row:
    """A row of metrics queued for the writers.

    Attributes:
        step: after which it is logged.
        scalars: metrics by tag.
        snapshot: what other metrics are evaluated from; None if nothing is evaluated.
    """

    step: int
    scalars: dict[str, float]
    snapshot: Snapshot | None


class QueuedRows:
    """The rows of a run that are queued, and not yet known to be written. A checkpoint keeps them.

    Args:
        entry: returns the entry of a row for the writers. Called in their thread.
    """

    def __init__(self, entry: Callable[[Row], Entry]) -> None:
        self._entry = entry
        self._rows: deque[Row] = deque()
        self._forgotten = 0  # number of rows that were written
        self._fan: FanOut | None = None

    def restore(self, saved: Sequence[dict[str, Any]], snapshots: Iterable[Any], last: Callable[[int], bool]) -> None:
        """Queue the rows of a checkpoint, which the previous session had not written when it stopped.

        Args:
            saved: what :func:`as_saved` has returned.
            snapshots: the arrays of those that have a snapshot.
            last: whether the snapshot of a step is evaluated as the last one of the run.
        """
        arrays = iter(snapshots)
        for row in saved:
            step, parts = row["step"], row["snapshot"]
            snapshot = _fetched(step, next(arrays), parts, last(step)) if parts else None
            self._rows.append(Row(step, row["scalars"], snapshot))

    def start(self, fan: FanOut) -> None:
        """Pass the rows to ``fan``: those queued already, and others from now on."""
        self._fan = fan
        for row in self._rows:
            fan.put(partial(self._entry, row))

    def put(self, row: Row) -> None:
        """Queue ``row`` and pass it to the writers."""
        assert self._fan is not None, "the writers are not open"
        self._forget_written()
        self._rows.append(row)
        self._fan.put(partial(self._entry, row))

    def waiting(self) -> list[Row]:
        """Return the rows that are not written, and drop the others, which frees their snapshots."""
        self._forget_written()
        return list(self._rows)

    def _forget_written(self) -> None:
        while self._fan is not None and self._forgotten < self._fan.written:
            self._rows.popleft()
            self._forgotten += 1


def as_saved(rows: Sequence[Row]) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return the rows as a checkpoint keeps them: their metrics and the names of what is evaluated, and the arrays."""
    plain = [
        {"step": row.step, "scalars": row.scalars, "snapshot": sorted(row.snapshot.parts) if row.snapshot else []}
        for row in rows
    ]
    return plain, [row.snapshot.fetch() for row in rows if row.snapshot is not None]


def _fetched(step: int, arrays: Any, parts: Sequence[str], last: bool) -> Snapshot:
    return Snapshot(step, lambda: arrays, frozenset(parts), last)
