"""One run in its directory: what is written of it, what is saved, and how it ends; not how it is computed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax

from ganrun.checkpoints import Checkpoints, Saved
from ganrun.config import Train
from ganrun.diagnosis.watch import Watch
from ganrun.ending import summary
from ganrun.errors import ConfigError, GanrunError, StorageError, cannot_write
from ganrun.game.annealing import jumps
from ganrun.game.method import Gan
from ganrun.game.rules import cautions
from ganrun.game.state import State
from ganrun.hparams import chosen
from ganrun.lock import taken
from ganrun.metrics.spec import latest
from ganrun.notes import is_note
from ganrun.observer import Look, NotFinite, Observer
from ganrun.rundir import load_config, relative, save_config, write_atomically
from ganrun.sealed import Damaged
from ganrun.stopwatch import Stopwatch, added
from ganrun.writers import Entry, FanOut, Worker, Writer, positions, rewind
from ganrun.writers.console import Messages
from ganrun.writers.images import Pictures
from ganrun.writers.jsonl import JsonLines, plain, rows_of
from ganrun.writers.newest import Newest
from ganrun.writers.pages import pages
from ganrun.writers.tensorboard import TensorBoard


@dataclass(frozen=True)
class Row:
    """A row of metrics on its way to the writers."""

    step: int
    scalars: dict[str, float]
    look: Look | None


class Lane:
    """One run: the directory ``folder`` of the run that ``config`` describes and ``method`` plays.

    ``varied`` are hyperparameters that are shown though they have their default: those that vary in its sweep.
    ``stopwatch`` measures the sitting, of all runs that share a program.

    Attributes:
        step: generator updates done.
        opened: whether its files are being written.
        stopped: whether it has been closed before all was done and written.
        error: why the run failed; None while it has not.
        pruned: why the run was ended early though nothing is wrong with it; empty while it was not.
        newest: the last value of each metric, with its step.
        looking: seconds that measuring and drawing have taken in this sitting.
    """

    def __init__(
        self,
        method: Gan,
        config: Train,
        folder: Path,
        at_least: int = 1,
        varied: Collection[str] = (),
        stopwatch: Stopwatch | None = None,
    ) -> None:
        self.varied, self.stopwatch = varied, stopwatch or Stopwatch()
        self.method, self.config, self.folder = method, config, folder
        self.observer = Observer(method, config)  # refuses what does not fit before anything is written
        self.lock = taken(folder)
        self.checkpoints = Checkpoints(folder / "checkpoints", max(config.checkpoint.keep, at_least))
        self.step, self.last = 0, {}
        self.seconds, self.split_before, self.looking = 0.0, dict[str, float](), 0.0
        self.newest = Newest()
        self.watch = Watch(config, modes(method.data.density))
        self.lost: list[str] = []
        self._rows: deque[Row] = deque()  # that are not known to be written
        self._written = 0  # rows
        self.error: GanrunError | None = None
        self.opened, self.stopped, self.pruned = False, False, ""
        every = config.log.every
        self._milestone_every = max(1, round(config.steps / 10 / every)) * every

    @property
    def going(self) -> bool:
        """Whether the run has neither failed nor been pruned."""
        return self.error is None and not self.pruned

    def read(self, step: int) -> Saved:
        """Return the checkpoint of ``step``. Changes nothing.

        Raises:
            Damaged: it cannot be read.
        """
        saved = self.checkpoints.read(self.method.abstract(), step, self._form_of_a_look)
        if not is_note(saved.note, len(saved.looks)):
            raise Damaged("its note is not as ganrun writes it")
        return saved

    def _form_of_a_look(self) -> Any:
        look = partial(self.method.snapshot, n=self.observer.samples, points=self.observer.points)
        return jax.eval_shape(look, self.method.abstract())

    def restore(self, saved: Saved) -> State:
        """Go back to ``saved``, and cut the files back to what they held then."""
        note, looks = saved.note, iter(saved.looks)
        self.checkpoints.forget_after(saved.step)
        self.lost = rewind(self.folder, note["files"])
        self._remember(note["diagnosis"])
        self.step, self.last = saved.step, dict(note["metrics"])
        self.seconds, self.split_before = float(note["seconds"]), dict(note.get("split", {}))
        for row in note["rows"]:
            look = _again(row["step"], next(looks)) if row["look"] else None
            self._rows.append(Row(row["step"], row["scalars"], look))
        return replace(saved.state, numbers=self.method.numbers)

    def _remember(self, diagnosis: dict[str, Any]) -> None:
        """Take up from the rows that are written what was known of them."""
        rows: list[dict[str, float]] = []
        try:
            rows = rows_of(self.folder)
        except ConfigError as error:  # what was damaged since is no reason not to go on
            self.lost.append(str(error))
        self.newest.restore(rows)
        for row in rows:
            self._rate(int(row["step"]), row)
        self.watch.restore(diagnosis, rows)

    def start(self) -> None:
        """Begin at step 0, whatever a run that was killed early has left."""
        self.checkpoints.forget_after(0)
        rewind(self.folder, {})

    def open(self, messages: Messages, shown: list[Writer], worker: Worker | None = None) -> None:
        """Begin to write, from ``step`` on: to the run's files and to ``shown``."""
        told = [*cautions(self.method), *self._jumps(), *self.checkpoints.damaged, *self.lost]
        save_config(self.config, self.folder)  # with what a resumed run may change, once it is known to go on
        (self.folder / "summary.json").unlink(missing_ok=True)
        self.messages, self.opened = messages, True
        columns = chosen(self.config, self.varied)
        board = TensorBoard(self.folder, columns, pages(self.config), self.step or None)
        self._fan = FanOut(
            [self.watch, JsonLines(self.folder), board, Pictures(self.folder), *shown], worker, self.folder
        )
        for line in told:
            messages.notice(f"warning: {line}")
        for row in self._rows:  # that a run stopped before they were written
            self._fan.put(partial(self._entry, row))

    def _jumps(self) -> list[str]:
        """Return what jumps because the run goes on with another number of steps than its config has had so far."""
        if not self.step:
            return []
        try:
            line = jumps(load_config(self.folder), self.config, self.step)
        except ConfigError:  # what is damaged is about to be written anew
            return []
        return [] if line is None else [line]

    def put(self, step: int, scalars: dict[str, float], look: Look | None) -> None:
        """Queue a row of metrics: the means over the steps, and what ``look`` shows."""
        self._forget_written()
        row = Row(step, scalars, look)
        self._rows.append(row)
        self._fan.put(partial(self._entry, row))

    @property
    def looks_waiting(self) -> int:
        """How many looks have not been read and written."""
        self._forget_written()
        return sum(row.look is not None for row in self._rows)

    def _forget_written(self) -> None:
        """Let go of the rows that are written, and with them of what was seen."""
        while self._written < self._fan.written:
            self._rows.popleft()
            self._written += 1

    def _entry(self, row: Row) -> Entry:
        """Made in the writers' thread.

        A look is at the state after ``step``, which no step has reported on yet: it may be the first to show what is
        lost.
        """
        step = row.step
        milestone = step % self._milestone_every == 0 or step == self.config.steps
        entry = Entry(step=step, scalars=row.scalars, milestone=milestone and step > 0)
        if row.look is not None:
            begun = time.monotonic()
            try:
                seen = self.observer.read(row.look)
            except NotFinite as lost:
                raise self.failure(step, str(lost)) from lost
            finally:
                self.looking += time.monotonic() - begun
            entry.scalars = row.scalars | seen.scalars
            entry.histograms, entry.pictures = seen.histograms, seen.pictures
            self._rate(step, entry.scalars)
        return entry

    def _rate(self, step: int, scalars: dict[str, Any]) -> None:
        """Tell the checkpoints what that of ``step`` is worth, by the metric of which the best is kept."""
        asked = self.config.checkpoint
        if asked.best is None:
            return
        value = scalars.get(asked.best)
        if value is None:
            self.checkpoints.ratings.pop(step, None)
        else:
            self.checkpoints.ratings[step] = asked.rating(value)

    def save(self, step: int, state: State, hurried: Callable[[], bool] = lambda: False) -> None:
        """Save the state as it is after ``step``, with how far the growing files have come.

        What is queued is written first. Once ``hurried()`` is true that takes too long: then it goes into the
        checkpoint, and is written when the run goes on.
        """
        self._fan.wait(hurried)
        with self._fan.still():
            self._forget_written()
            if self.config.checkpoint.best and any(row.step == step and row.look for row in self._rows):
                self.checkpoints.ratings.setdefault(step, None)
            note = {"files": positions(self.folder), "seconds": self.elapsed(), "metrics": self.metrics()}
            note |= {"diagnosis": self.watch.plain(), "split": self.split()}
        waiting = list(self._rows)
        rows = [{"step": row.step, "scalars": row.scalars, "look": row.look is not None} for row in waiting]
        looks = [row.look.fetch() for row in waiting if row.look is not None]
        self.checkpoints.save(step, state, {**note, "rows": rows}, looks)

    def failure(self, step: int, tag: str, arrays: Sequence[str] = ()) -> GanrunError:
        """Return the line for a ``tag`` that is not finite at ``step``, nor are these ``arrays`` of the state."""
        self.checkpoints.wait()
        good = self.checkpoints.latest()
        where = "no checkpoint was saved before"
        if good is not None:
            where = f"the last good checkpoint is {relative(self.folder / 'checkpoints' / str(good))}"
        first = f" Of the state {len(arrays)} arrays are so too, {arrays[0]} the first of them." if arrays else ""
        return GanrunError(f"step {step}: {tag} is NaN or Inf, so the run stops; {where}.{first}")

    @contextmanager
    def failing(self) -> Iterator[None]:
        """A context whose :class:`GanrunError`, or a file that cannot be had, ends this run and not the others."""
        try:
            yield
        except GanrunError as error:
            self.fail(error)
        except OSError as error:
            self.fail(cannot_write(error, self.folder))

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
        return latest(self.last, self._fan.last)

    def close(self, status: str, hurried: Callable[[], bool] = lambda: False) -> None:
        """Write what is queued, and a summary of how the run ended: failed or pruned where it did, else ``status``.

        Rows that are not written once ``hurried()`` is true wait in the checkpoint, and the run has only stopped.
        """
        try:
            self._fan.close(status, hurried)
        except StorageError as error:
            self.fail(error)
        finally:
            self.checkpoints.close()
            self._forget_written()
            unfinished = status == "stopped" or (status == "completed" and bool(self._rows))
            self.stopped = self.going and unfinished
            status = "stopped" if self.stopped else status
            status = "failed" if self.error is not None else "pruned" if self.pruned else status
            try:
                write_atomically(self.folder / "summary.json", summary(self, status))
            except OSError as error:
                self.fail(cannot_write(error, self.folder))
            self.messages.say(f"{status} at step {self.step}/{self.config.steps} after {self.elapsed():.1f} s")
            self.release()

    def release(self) -> None:
        """Let other processes have the run directory."""
        self.lock.release()

    def elapsed(self) -> float:
        """Return the seconds that the run has taken, over all its sittings."""
        return self.seconds + self.stopwatch.total()

    def split(self) -> dict[str, float]:
        """Return where these seconds went, by part."""
        return added(self.split_before, self.stopwatch.split())

    def settle(self, hurried: Callable[[], bool]) -> None:
        """Return when everything queued so far is written, or ``hurried()`` is true."""
        if self.opened:
            self._fan.wait(hurried)

    def metrics(self) -> dict[str, float | None]:
        """Return the last value of each metric; None for infinity."""
        return plain(latest(self.last, self._fan.last))


def modes(density: Any) -> int:
    """Return how many modes the data are known to have; 0 where that is not known."""
    return 0 if density is None else len(density.means)


def _again(step: int, arrays: Any) -> Look:
    return Look(step, lambda: arrays)
