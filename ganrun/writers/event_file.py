"""A file of TensorBoard events, written with TensorBoard's own record writer: no TensorFlow."""

# pyright: reportAttributeAccessIssue=false
# (protobuf creates its classes at import, so a type checker does not see them)
from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

Value = summary_pb2.Summary.Value


class EventFile:
    """A new file of events. TensorBoard reads the files of a folder in order of their names, which contain a time.

    Args:
        folder: of a run.
        ending: of the file's name.
        written: the time of all events, in seconds since 1970; None for that of each. With it, the same events give
            the same file.

    Attributes:
        size: bytes of the events.
    """

    def __init__(self, folder: Path, ending: str = "", written: float | None = None) -> None:
        writer = f"{time.time():.6f}.{socket.gethostname()}.{os.getpid()}" if written is None else f"{written:.6f}"
        name, self._written = f"events.out.tfevents.{writer}{ending}", written
        self._records, self.size = RecordWriter((folder / name).open("wb")), 0
        self.event(0, file_version="brain.Event:2")

    def event(self, step: int, **what: Any) -> None:
        """Write an event with the field ``what``."""
        when = time.time() if self._written is None else self._written
        record = event_pb2.Event(wall_time=when, step=step, **what).SerializeToString()
        self._records.write(record)
        self.size += len(record)

    def summary(self, step: int, values: list[Any]) -> None:
        """Write ``values``, messages of the kind :data:`Value`, as one event."""
        self.event(step, summary=summary_pb2.Summary(value=values))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers by their tags as one event."""
        self.summary(step, [Value(tag=tag, simple_value=value) for tag, value in values.items()])

    def flush(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()
