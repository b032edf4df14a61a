"""What a person sees: a live line on a terminal, plain lines elsewhere, and the same plain lines in train.log."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ganrun.writers import Entry

LIVE = ("D(x)", "D(G(z))", "value", "critic/real", "critic/fake", "value/pair")
SHOWN = (
    *LIVE,
    "D(x)/calibrated",
    "D(G(z))/calibrated",
    "loss/discriminator",
    "loss/generator",
    "modes/covered",
    "modes/high_quality",
)


class Terminal(Console):
    """A console whose reader may leave (``ganrun train | head``): it falls silent, and the work goes on."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class Messages:
    """Prints lines to standard output and keeps them, with the time, in ``train.log`` of the run directory."""

    def __init__(self, folder: Path) -> None:
        self.console = Terminal(highlight=False, soft_wrap=True)
        self._log: IO[str] = (folder / "train.log").open("a", encoding="utf-8", buffering=1)

    def say(self, line: str, *, show: bool = True) -> None:
        """Keep ``line``, and print it unless ``show`` is false."""
        if show:
            self.console.print(line, markup=False)
        self._log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def close(self) -> None:
        self._log.close()


class Lines:
    """One plain line at each milestone."""

    def __init__(self, messages: Messages, steps: int) -> None:
        self._messages = messages
        self._steps = steps
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        if messages.console.is_terminal:
            self._progress = Progress(
                TextColumn("step {task.completed}/{task.total}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[seen]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=messages.console,
                transient=True,
            )
            self._task = self._progress.add_task("train", total=steps, seen="compiling")
            self._progress.start()

    def progress(self, step: int) -> None:
        """Move the live line, where there is one; cheap enough for every call to the device."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=step)

    def write(self, entry: Entry) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=entry.step, seen=_brief(entry, LIVE))
        if entry.milestone:
            line = f"step {entry.step}/{self._steps}  {_brief(entry, SHOWN)}"
            self._messages.say(line, show=self._progress is None)

    def flush(self) -> None:
        pass

    def close(self, status: str) -> None:
        if self._progress is not None:
            self._progress.stop()


def _brief(entry: Entry, tags: tuple[str, ...]) -> str:
    seen = [f"{tag} {entry.scalars[tag]:.3g}" for tag in tags if tag in entry.scalars]
    if "steps_per_second" in entry.scalars:
        seen.append(f"{entry.scalars['steps_per_second']:.0f} steps/s")
    return "  ".join(seen)
