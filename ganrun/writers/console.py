"""Console output: a live progress line on a terminal, plain lines elsewhere, and the same plain lines in train.log."""

from __future__ import annotations

import errno
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ganrun.evaluation.metrics.spec import shown_at
from ganrun.writers.base import Entry
from ganrun.writers.closing import as_lines, as_table
from ganrun.writers.newest import Newest, medians


class Terminal(Console):
    """A console that discards further output once its reader is gone, instead of failing.

    This happens with ``ganrun train | head``, or if a terminal is closed while the process continues (``& disown``).
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # FORCE_COLOR and TTY_COMPATIBLE request colours in a pipe, but a live line is of no use there.
        self.is_interactive = self.is_interactive and self.file.isatty()

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError as error:
            if error.errno != errno.EIO:  # raised for a terminal that was closed
                raise
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class Messages:
    """Prints lines to standard output and logs them, with the time, to ``train.log`` in the run directory.

    With a ``name`` the run is one of many: its lines only go to its log, except for errors.
    """

    def __init__(self, folder: Path, name: str = "") -> None:
        self.console = Terminal(highlight=False, soft_wrap=True)
        self.name = name
        self._log: IO[str] = (folder / "train.log").open("a", encoding="utf-8", errors="surrogateescape", buffering=1)

    def say(self, line: str, *, show: bool = True) -> None:
        """Log ``line``, and print it unless ``show`` is false."""
        if show and not self.name:
            self.console.print(line, markup=False)
        with suppress(OSError):  # a full disk is reported by the writers of the other files
            self._log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def table(self, metrics: Sequence[tuple[str, str, str]], *, show: bool = True) -> None:
        """Log a table of ``metrics`` as plain lines, and print it likewise, or as a rich table on a terminal."""
        on_terminal = show and not self.name and self.console.is_terminal
        if on_terminal:
            self.console.print(as_table(metrics))
        for line in as_lines(metrics):
            self.say(line, show=show and not on_terminal)

    def warn(self, line: str) -> None:
        """Log ``line``; if the run is one of many, print it with its name to standard error."""
        if self.name:
            print(f"ganrun: {self.name}: {line}", file=sys.stderr, flush=True)
        self.say(line, show=False)

    def notice(self, line: str) -> None:
        """Log ``line`` and print it highlighted; if the run is one of many, only log it."""
        if not self.name:
            self.console.print(line, markup=False, style="yellow")
        self.say(line, show=False)

    def close(self) -> None:
        with suppress(OSError):
            self._log.close()


class Bar:
    """A live progress line with the steps done; disabled without an interactive terminal or with ``live=False``."""

    def __init__(self, console: Console, steps: int, live: bool = True) -> None:
        self.live = live and console.is_terminal and console.is_interactive
        if not self.live:
            return
        self._progress = Progress(
            TextColumn("step {task.completed}/{task.total}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("train", total=steps, text="compiling")
        self._progress.start()

    def update(self, step: int, text: str | None = None) -> None:
        """Set the bar to ``step``, and the text next to it to ``text``. Cheap enough for every device call."""
        if not self.live:
            return
        self._progress.update(self._task, completed=step)
        if text is not None:
            self._progress.update(self._task, text=text)

    def close(self) -> None:
        if self.live:
            self._progress.stop()


class Display(Protocol):
    """Displays the progress of a run or a population."""

    def progress(self, step: int) -> None: ...

    def rows(self, step: int, rows: list[dict[str, float]]) -> None: ...


class Lines:
    """Displays a single run: a plain line at each milestone, and the live line."""

    def __init__(self, messages: Messages, steps: int, newest: Newest | None = None) -> None:
        self._messages, self._steps, self._newest = messages, steps, newest or Newest()
        self._on_bar, self._on_line = shown_at("bar"), shown_at("line")
        self._bar = Bar(messages.console, steps, live=not messages.name)

    def progress(self, step: int) -> None:
        """Update the live line, if there is one."""
        self._bar.update(step)

    def rows(self, step: int, rows: list[dict[str, float]]) -> None:
        """Do nothing: the rows of a single run are shown by :meth:`write`."""

    def write(self, entry: Entry) -> None:
        self._newest.see(entry.step, entry.scalars)
        divergences = self._newest.divergences(entry.step)
        self._bar.update(entry.step, text=_brief(entry.scalars, self._on_bar))
        for finding in entry.findings:
            self._messages.notice(f"warning: {finding}")
        if entry.milestone:
            self._messages.say(f"step {entry.step}/{self._steps}  {_brief(entry.scalars, self._on_line, divergences)}")

    def flush(self) -> None:
        pass

    def close(self, status: str) -> None:
        self._bar.close()


class PopulationDisplay:
    """Displays a population: the number of active runs, and the median of each metric over them.

    ``newest`` returns the newest metrics of the active runs: divergences are evaluated some time after their step.
    """

    def __init__(
        self, messages: Messages, steps: int, every: int, newest: Callable[[], list[Newest]] = lambda: []
    ) -> None:
        self._messages, self._steps, self._newest = messages, steps, newest
        self._every = max(1, round(steps / 10 / every)) * every
        self._on_bar = shown_at("bar")
        self._bar = Bar(messages.console, steps)

    def progress(self, step: int) -> None:
        """Update the live line, if there is one."""
        self._bar.update(step)

    def rows(self, step: int, rows: list[dict[str, float]]) -> None:
        """Show the medians over ``rows``, one row per active run."""
        if not rows:
            return
        middle = {tag: statistics.median(row[tag] for row in rows) for tag in rows[0]}
        text = f"{len(rows)} runs, median:  {_brief(middle, self._on_bar, medians(self._newest()))}"
        self._bar.update(step, text=text)
        if step % self._every == 0 or step == self._steps:
            self._messages.say(f"step {step}/{self._steps}  {text}", show=not self._bar.live)

    def close(self) -> None:
        self._bar.close()


def _brief(scalars: dict[str, float], names: tuple[str, ...], divergences: Sequence[str] = ()) -> str:
    """Return the ``scalars`` of these names in one line; a name that ends with ``*`` stands for a family."""
    tags = [tag for name in names for tag in _matching(name, scalars)]
    parts = [f"{tag} {scalars[tag]:.3g}" for tag in tags]
    parts += divergences
    if "steps_per_second" in scalars:
        parts.append(f"{scalars['steps_per_second']:.0f} steps/s")
    return "  ".join(parts)


def _matching(name: str, scalars: dict[str, float]) -> list[str]:
    if not name.endswith("*"):
        return [name] if name in scalars else []
    return [tag for tag in scalars if tag.startswith(name[:-1])]
