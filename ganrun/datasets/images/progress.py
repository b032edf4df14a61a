"""The progress of reading a dataset or of similar work: a bar on a terminal, else plain lines, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

SECONDS = 10.0  # between plain lines


class Advance(Protocol):
    """Reports that ``count`` more items are done."""

    def __call__(self, count: int) -> None: ...


@contextmanager
def progress(what: str, total: int, done_is: str = "read") -> Iterator[Advance]:
    """Return a context that shows how many of ``total`` items have been read, as reported to its value.

    ``done_is`` says in a plain line what has been done with the items.
    """
    if sys.stderr.isatty():
        with _bar(what, total) as advance:
            yield advance
        return
    done, begun = 0, time.monotonic()
    shown = begun

    def advance_lines(count: int) -> None:
        nonlocal done, shown
        done += count
        now = time.monotonic()
        if now - shown >= SECONDS and done < total:
            shown = now
            print(f"{what}: {done} of {total} {done_is} after {now - begun:.0f} s", file=sys.stderr, flush=True)

    yield advance_lines


@contextmanager
def _bar(what: str, total: int) -> Iterator[Advance]:
    from rich.console import Console  # takes a moment to import
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns: tuple[Any, ...] = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.update(task, advance=count)
