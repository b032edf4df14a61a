"""`ganrun` that is killed, as by `kill -9`, at a chosen moment: the victim of torture.py.

    python scripts/killed_run.py MOMENT COUNT train KEY=VALUE ...

The kill comes the COUNT-th time (from 1) that the MOMENT is there; see :data:`MOMENTS`. If it never is, the run ends as
it would by itself.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any


def die() -> None:
    """Leave no time for anything."""
    os.kill(os.getpid(), signal.SIGKILL)


class Fuse:
    """Says when the moment has come for the ``count``-th time."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


def before(home: Any, name: str, due: Fuse, half: Callable[..., None] | None = None) -> None:
    """Die in place of a call of ``home.name`` that is due, after having done ``half`` of it."""
    whole = getattr(home, name)

    def instead(*arguments: Any, **named: Any) -> Any:
        if due():
            if half is not None:
                half(*arguments)
            die()
        return whole(*arguments, **named)

    setattr(home, name, instead)


def while_it_runs(home: Any, name: str, due: Fuse) -> None:
    """Die some milliseconds after a call of ``home.name`` that is due has begun."""
    whole = getattr(home, name)

    def instead(*arguments: Any, **named: Any) -> Any:
        if due():
            timer = threading.Timer(0.01, die)
            timer.daemon = True
            timer.start()
        return whole(*arguments, **named)

    setattr(home, name, instead)


def in_a_step(due: Fuse) -> None:
    from ganrun.game.crew import Shards, Solo

    for crew in (Solo, Shards):
        while_it_runs(crew, "advance", due)


def in_a_checkpoint(due: Fuse) -> None:
    """Some bytes of a file are written, and the folder has not its name."""
    from ganrun import sealed

    before(sealed.os, "fsync", due)


def before_a_checkpoint_has_its_name(due: Fuse) -> None:
    from pathlib import Path

    before(Path, "rename", due)


def in_an_event(due: Fuse) -> None:
    """Half a record is on the disk."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    def half(writer: Any, data: bytes) -> None:
        writer._writer.write(b"\x20\0\0\0" + data[: len(data) // 2])
        writer.flush()

    before(RecordWriter, "write", due, half)


def in_a_row(due: Fuse) -> None:
    """Half a line of metrics.jsonl is on the disk."""
    from ganrun.writers.jsonl import JsonLines

    def half(writer: Any, entry: Any) -> None:
        writer._file.write(f'{{"step": {entry.step}, "D(x')
        writer._file.flush()

    before(JsonLines, "write", due, half)


def in_the_probe(due: Fuse) -> None:
    from ganrun.observer import Observer

    while_it_runs(Observer, "read", due)


def going_back(due: Fuse) -> None:
    """Files are cut back to the checkpoint, and nothing has been written since."""
    from ganrun import lane

    before(lane, "save_config", due)


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
    """Set the trap and run the command."""
    moment, count, *words = sys.argv[1:]
    MOMENTS[moment](Fuse(int(count)))
    from ganrun.cli import main as ganrun

    ganrun(words)


if __name__ == "__main__":
    main()
