"""One experiment: build the parts, loop, log, checkpoint, summarise."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ganrun import datasets, device
from ganrun.checkpoints import Checkpoints
from ganrun.config import Train, data_folder
from ganrun.errors import ConfigError, GanrunError
from ganrun.game.method import Gan, Report
from ganrun.game.state import State
from ganrun.observer import Look, NotFinite, Observer
from ganrun.rundir import completed, hyperparameters, relative, save_config, write_atomically
from ganrun.signals import StopRequest
from ganrun.writers import Entry, FanOut, positions, rewind
from ganrun.writers.console import Lines, Messages
from ganrun.writers.images import Pictures
from ganrun.writers.jsonl import JsonLines, plain
from ganrun.writers.tensorboard import TensorBoard

CALL_SECONDS = 0.25  # a call to the device is kept to about this, so that Ctrl-C and progress are answered soon


def build(config: Train) -> Gan:
    """Return the method that ``config`` describes, with its data loaded. Writes nothing."""
    return Gan(config, datasets.load(config.dataset, data_folder(config), config.seed))


def train(config: Train, folder: Path, *, resume: bool = False) -> int:
    """Train in the run directory ``folder`` until ``config.steps``; return the exit code.

    Raises:
        ConfigError: the parts do not fit together (before anything is written).
        GanrunError: the run failed; ``summary.json`` says so too.
    """
    if not resume and (folder / "config.yaml").exists():
        where = relative(folder)
        raise ConfigError(f"{where} holds a run already: continue it with resume={where}, or choose another folder.")
    if resume and completed(folder, config.steps):
        print(f"{relative(folder)} is complete at step {config.steps}; give a larger steps=N to go on.")
        return 0
    return Run(build(config), config, folder, resume).go()


@dataclass
class Call:
    """A call of ``advance`` under way on the device."""

    step: int
    n: int
    begun: float
    report: Report
    look: Look | None


class Run:
    """One run in its directory, from the first step or from its newest checkpoint to the last."""

    def __init__(self, method: Gan, config: Train, folder: Path, resume: bool) -> None:
        self.method, self.config, self.folder = method, config, folder
        self.observer = Observer(method, config)
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint.keep)
        self.step, self.seconds, self.last = 0, 0.0, {}
        if resume:
            self.state = self._restore()
            save_config(config, folder)  # with what a resumed run may change, once it is known to go on
        else:
            save_config(config, folder)  # first of all: from here on the run can be resumed
            self.state = method.init()
        (folder / "summary.json").unlink(missing_ok=True)
        self.messages = Messages(folder)
        self.lines = Lines(self.messages, config.steps)
        board = TensorBoard(folder, hyperparameters(config), self.step or None)
        self.fan = FanOut([JsonLines(folder), board, Pictures(folder), self.lines])
        every = config.log.every
        self.milestone_every = max(1, round(config.steps / 10 / every)) * every
        self.started = self.saved = time.monotonic()
        self.pace: deque[tuple[int, float]] = deque(maxlen=10)  # rows are read in bursts, so speed needs several
        self.calls, self.done, self.per_step = 0, self.started, CALL_SECONDS

    def go(self) -> int:
        """Train, and leave a summary however it ends."""
        self._announce(f" continues at step {self.step}" if self.step else "")
        status, code = "failed", 1
        with StopRequest() as stop:
            try:
                self._loop(stop)
                self._save()
                self.checkpoints.wait()
                status, code = ("stopped", stop.exit_code) if self.step < self.config.steps else ("completed", 0)
            finally:
                self._finish(status)
        return code

    def _loop(self, stop: StopRequest) -> None:
        """Keep the device one call ahead of the host: while it computes, the call before is read and written."""
        if self.step == 0 and (first := self._look()) is not None:
            self.fan.put(lambda: self._entry(0, {}, first))
        waiting: Call | None = None
        while self.step < self.config.steps and stop.signal is None:
            n, begun = self._call_size(), time.monotonic()
            self.state, report = self.method.advance(self.state, n)
            self.step += n
            look = self._look()
            if waiting is not None:
                self._collect(waiting)
            waiting = Call(self.step, n, begun, report, look)
            if self._save_due():
                self._collect(waiting)
                waiting = None
                self._save()
        if waiting is not None:
            self._collect(waiting)

    def _call_size(self) -> int:
        """Steps of the next call: up to the next row, up to ``steps_per_call``, and short where steps are slow."""
        every = self.config.log.every
        limit = min(every - self.step % every, self.config.steps - self.step, self.config.steps_per_call)
        if self.config.checkpoint.steps:
            limit = min(limit, self.config.checkpoint.steps - self.step % self.config.checkpoint.steps)
        return max(1, min(limit, int(CALL_SECONDS / self.per_step)))

    def _collect(self, call: Call) -> None:
        """Wait for ``call``, stop on NaN or Inf, and hand a row to the writers where one is due."""
        bad_step = int(call.report.bad_step)  # waits
        now = time.monotonic()
        if self.calls:  # the first call compiled
            self.per_step = max((now - max(self.done, call.begun)) / call.n, 1e-7)
        if self.calls <= 1:  # speed is measured from the second call on, where there is one
            self.pace.clear()
            self.pace.append((call.step - call.n, call.begun))
        self.calls, self.done = self.calls + 1, now
        if bad_step:
            self.step = bad_step
            raise self._failure(bad_step, self.method.game.tags[int(call.report.bad_tag)])
        self.lines.progress(call.step)
        if call.step % self.config.log.every and call.step != self.config.steps:
            return
        self.pace.append((call.step, now))
        first_step, first_time = self.pace[0]
        rate = (call.step - first_step) / max(now - first_time, 1e-9)
        scalars = dict(zip(self.method.game.tags, np.asarray(call.report.means).tolist(), strict=True))
        self.fan.put(lambda: self._entry(call.step, scalars | {"steps_per_second": rate}, call.look))

    def _entry(self, step: int, scalars: dict[str, float], look: Look | None) -> Entry:
        """Made in the writers' thread: the means of the steps, and what the look shows.

        A look is at the state after ``step``, which no step has reported on yet: it may be the first to show what is
        lost.
        """
        milestone = step % self.milestone_every == 0 or step == self.config.steps
        entry = Entry(step=step, scalars=scalars, milestone=milestone and step > 0)
        if look is None:
            return entry
        try:
            seen = self.observer.read(look)
        except NotFinite as lost:
            raise self._failure(step, str(lost)) from lost
        entry.scalars = scalars | seen.scalars
        entry.histograms, entry.pictures = seen.histograms, seen.pictures
        return entry

    def _look(self) -> Look | None:
        return self.observer.look(self.state, self.step) if self.observer.due(self.step) else None

    def _save_due(self) -> bool:
        by_steps = self.config.checkpoint.steps and self.step % self.config.checkpoint.steps == 0
        return bool(by_steps) or time.monotonic() - self.saved >= self.config.checkpoint.seconds

    def _save(self) -> None:
        """Save the state as it is now, with how far the growing files have come."""
        self.fan.flush()
        note = {
            "files": positions(self.folder),
            "seconds": self._elapsed(),
            "metrics": plain(self.last | self.fan.last),
        }
        self.checkpoints.save(self.step, self.state, note)
        self.saved = time.monotonic()

    def _restore(self) -> State:
        """Go back to the newest checkpoint, and cut the files back to what they held then."""
        if self.checkpoints.latest() is None:
            rewind(self.folder, {})
            return self.method.init()
        state, note = self.checkpoints.restore(self.method.abstract())
        rewind(self.folder, note["files"])
        self.step, self.seconds, self.last = int(state.step), float(note["seconds"]), dict(note["metrics"])
        return replace(state, numbers=self.method.numbers)

    def _failure(self, step: int, tag: str) -> GanrunError:
        self.checkpoints.wait()
        good = self.checkpoints.latest()
        where = "no checkpoint was saved before"
        if good is not None:
            where = f"the last good checkpoint is {relative(self.folder / 'checkpoints' / str(good))}"
        return GanrunError(f"step {step}: {tag} is NaN or Inf, so the run stops; {where}.")

    def _announce(self, more: str = "") -> None:
        self.messages.say(f"run directory: {relative(self.folder)}{more}")
        self.messages.say(f"watch it with: tensorboard --logdir {relative(self.folder)}")

    def _finish(self, status: str) -> None:
        try:
            self.fan.close(status)
        finally:
            self.checkpoints.close()
            summary = {
                "status": status,
                "steps": self.step,
                "seconds": round(self._elapsed(), 3),
                "metrics": plain(self.last | self.fan.last),
                **device.describe(),
            }
            write_atomically(self.folder / "summary.json", json.dumps(summary, indent=2) + "\n")
            self.messages.say(f"{status} at step {self.step}/{self.config.steps} after {self._elapsed():.1f} s")
            self._announce()
            if status == "stopped":
                self.messages.say(f"go on with: ganrun train resume={relative(self.folder)}")
            self.messages.close()

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.started
