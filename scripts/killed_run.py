"""Runs `ganrun` and kills it, as by `kill -9`, at a given moment; used by torture.py.

    python scripts/killed_run.py MOMENT COUNT train KEY=VALUE ...

The process is killed at the COUNT-th occurrence (from 1) of MOMENT, one of :data:`MOMENTS`. If there are fewer
occurrences, the command completes normally.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any


def die() -> None:
    """Kill this process immediately."""
    os.kill(os.getpid(), signal.SIGKILL)


class Fuse:
    """Counts its calls, and returns True at the ``count``-th."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


def before(home: Any, name: str, due: Fuse, half: Callable[..., None] | None = None) -> None:
    """Die instead of the due call of ``home.name``, after calling ``half``, which does a part of its work."""
    whole = getattr(home, name)

    def instead(*arguments: Any, **named: Any) -> Any:
        if due():
            if half is not None:
                half(*arguments)
            die()
        return whole(*arguments, **named)

    setattr(home, name, instead)


def while_it_runs(home: Any, name: str, due: Fuse) -> None:
    """Die some milliseconds after the start of the due call of ``home.name``."""
    whole = getattr(home, name)

    def instead(*arguments: Any, **named: Any) -> Any:
        if due():
            timer = threading.Timer(0.01, die)
            timer.daemon = True
            timer.start()
        return whole(*arguments, **named)

    setattr(home, name, instead)


def in_a_step(due: Fuse) -> None:
    from ganrun.training.executor import ShardedRuns, SingleRun

    for executor in (SingleRun, ShardedRuns):
        while_it_runs(executor, "advance", due)


def in_a_checkpoint(due: Fuse) -> None:
    """A file is partly written, and the folder does not have its final name yet."""
    from ganrun.storage import checksums

    before(checksums.os, "fsync", due)


def before_a_checkpoint_has_its_name(due: Fuse) -> None:
    from pathlib import Path

    before(Path, "rename", due)


def in_an_event(due: Fuse) -> None:
    """Half a record is on disk."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    def half(writer: Any, data: bytes) -> None:
        writer._writer.write(b"\x20\0\0\0" + data[: len(data) // 2])
        writer.flush()

    before(RecordWriter, "write", due, half)


def in_a_row(due: Fuse) -> None:
    """Half a line of metrics.jsonl is on disk."""
    from ganrun.writers.jsonl import JsonLines

    def half(writer: Any, entry: Any) -> None:
        writer._file.write(f'{{"step": {entry.step}, "D(x')
        writer._file.flush()

    before(JsonLines, "write", due, half)


def in_the_probe(due: Fuse) -> None:
    from ganrun.evaluation.evaluator import Evaluator

    while_it_runs(Evaluator, "read", due)


def going_back(due: Fuse) -> None:
    """Files are truncated to their state at the checkpoint, and nothing has been written since."""
    from ganrun.training import session as member

    before(member, "save_config", due)


MOMENTS: dict[str, Callable[[Fuse], None]] = {
    "step": in_a_step,
    "checkpoint": in_a_checkpoint,
    "rename": before_a_checkpoint_has_its_name,
    "event": in_an_event,
    "row": in_a_row,
    "probe": in_the_probe,
    "resume": going_back,
}


def main() -> None:
    """Install the kill and run the command."""
    moment, count, *words = sys.argv[1:]
    MOMENTS[moment](Fuse(int(count)))
    from ganrun.cli import main as ganrun

    ganrun(words)


if __name__ == "__main__":
    main()
