"""One run in its directory: what is written of it, what is saved, and how it ends; not how it is computed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganrun import device
from ganrun.checkpoints import Checkpoints
from ganrun.config import Train
from ganrun.errors import GanrunError
from ganrun.game.method import Gan
from ganrun.game.state import State
from ganrun.observer import Look, NotFinite, Observer
from ganrun.rundir import hyperparameters, relative, save_config, write_atomically
from ganrun.writers import Entry, FanOut, Worker, Writer, positions, rewind
from ganrun.writers.console import Messages
from ganrun.writers.images import Pictures
from ganrun.writers.jsonl import JsonLines, plain
from ganrun.writers.tensorboard import TensorBoard


class Lane:
    """One run: the directory ``folder`` of the run that ``config`` describes and ``method`` plays.

    Attributes:
        step: generator updates done.
        opened: whether its files are being written.
        error: why the run failed; None while it has not.
        pruned: why the run was ended early though nothing is wrong with it; empty while it was not.
    """

    def __init__(self, method: Gan, config: Train, folder: Path, keep: int) -> None:
        self.method, self.config, self.folder = method, config, folder
        self.observer = Observer(method, config)  # refuses what does not fit before anything is written
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoints = Checkpoints(folder / "checkpoints", keep)
        self.step, self.seconds, self.last = 0, 0.0, {}
        self.error: GanrunError | None = None
        self.opened, self.pruned = False, ""
        self.started = time.monotonic()
        every = config.log.every
        self._milestone_every = max(1, round(config.steps / 10 / every)) * every

    @property
    def going(self) -> bool:
        """Whether the run has neither failed nor been pruned."""
        return self.error is None and not self.pruned

    def restore(self, step: int) -> State | None:
        """Go back to the checkpoint of ``step``, and cut the files back to what they held then; None for step 0."""
        self.checkpoints.forget_after(step)
        if step == 0:
            rewind(self.folder, {})
            return None
        state, note = self.checkpoints.restore(self.method.abstract(), step)
        rewind(self.folder, note["files"])
        self.step, self.seconds, self.last = step, float(note["seconds"]), dict(note["metrics"])
        return replace(state, numbers=self.method.numbers)

    def open(self, messages: Messages, shown: list[Writer], worker: Worker | None = None) -> None:
        """Begin to write, from ``step`` on: to the run's files and to ``shown``."""
        save_config(self.config, self.folder)  # with what a resumed run may change, once it is known to go on
        (self.folder / "summary.json").unlink(missing_ok=True)
        self.messages, self.opened = messages, True
        board = TensorBoard(self.folder, hyperparameters(self.config), self.step or None)
        self._fan = FanOut([JsonLines(self.folder), board, Pictures(self.folder), *shown], worker)

    def put(self, step: int, scalars: dict[str, float], look: Look | None) -> None:
        """Queue a row of metrics: the means over the steps, and what ``look`` shows."""
        self._fan.put(lambda: self._entry(step, scalars, look))

    def _entry(self, step: int, scalars: dict[str, float], look: Look | None) -> Entry:
        """Made in the writers' thread.

        A look is at the state after ``step``, which no step has reported on yet: it may be the first to show what is
        lost.
        """
        milestone = step % self._milestone_every == 0 or step == self.config.steps
        entry = Entry(step=step, scalars=scalars, milestone=milestone and step > 0)
        if look is None:
            return entry
        try:
            seen = self.observer.read(look)
        except NotFinite as lost:
            raise self.failure(step, str(lost)) from lost
        entry.scalars = scalars | seen.scalars
        entry.histograms, entry.pictures = seen.histograms, seen.pictures
        return entry

    def save(self, step: int, state: State) -> None:
        """Save the state as it is after ``step``, with how far the growing files have come."""
        self._fan.flush()
        note = {"files": positions(self.folder), "seconds": self.elapsed(), "metrics": self._metrics()}
        self.checkpoints.save(step, state, note)

    def failure(self, step: int, tag: str) -> GanrunError:
        """Return the line for a ``tag`` that is not finite at ``step``."""
        self.checkpoints.wait()
        good = self.checkpoints.latest()
        where = "no checkpoint was saved before"
        if good is not None:
            where = f"the last good checkpoint is {relative(self.folder / 'checkpoints' / str(good))}"
        return GanrunError(f"step {step}: {tag} is NaN or Inf, so the run stops; {where}.")

    @contextmanager
    def failing(self) -> Iterator[None]:
        """A context whose :class:`GanrunError` ends this run and not the others."""
        try:
            yield
        except GanrunError as error:
            self.fail(error)

    def fail(self, error: GanrunError) -> None:
        """End the run for the reason ``error``; the first one counts."""
        if self.error is None:
            self.error = error
            self.messages.warn(str(error))

    def prune(self, why: str) -> None:
        """End the run early, for ``why``."""
        self.pruned = why
        self.messages.say(why)

    def written(self) -> dict[str, float]:
        """Return the last value of each metric, once everything queued is written."""
        self._fan.flush()
        return self.last | self._fan.last

    def close(self, status: str) -> None:
        """Write what is queued, and a summary of how the run ended: failed or pruned where it did, else ``status``."""
        status = "failed" if self.error is not None else "pruned" if self.pruned else status
        try:
            self._fan.close(status)
        finally:
            self.checkpoints.close()
            summary: dict[str, Any] = {
                "status": status,
                "steps": self.step,
                "seconds": round(self.elapsed(), 3),
                "metrics": self._metrics(),
            }
            if self.error is not None or self.pruned:
                summary["reason"] = str(self.error or self.pruned)
            text = json.dumps(summary | device.describe(), indent=2)
            write_atomically(self.folder / "summary.json", text + "\n")
            self.messages.say(f"{status} at step {self.step}/{self.config.steps} after {self.elapsed():.1f} s")

    def elapsed(self) -> float:
        """Return the seconds that the run has taken, over all its sittings."""
        return self.seconds + time.monotonic() - self.started

    def _metrics(self) -> dict[str, float | None]:
        return plain(self.last | self._fan.last)
