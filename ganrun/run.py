"""One experiment: build the parts, loop, log, checkpoint, summarise."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np

from ganrun import datasets, device
from ganrun.checkpoints import Checkpoints
from ganrun.config import Train, data_folder
from ganrun.errors import ConfigError, GanrunError
from ganrun.game.method import Gan, Report, Snapshot
from ganrun.game.state import TAGS, State
from ganrun.metrics.modes import coverage
from ganrun.rundir import completed, hyperparameters, relative, save_config, write_atomically
from ganrun.signals import StopRequest
from ganrun.writers import Entry, FanOut, pictures, positions, rewind
from ganrun.writers.console import Lines, Messages
from ganrun.writers.images import Pictures
from ganrun.writers.jsonl import JsonLines
from ganrun.writers.tensorboard import TensorBoard

CALL_SECONDS = 0.25  # a call to the device is kept to about this, so that Ctrl-C and progress are answered soon
IMAGES, PLANE_POINTS, LINE_POINTS = 64, 10_000, 100_000  # samples behind a picture


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
    snapshot: Snapshot | None


class Run:
    """One run in its directory, from the first step or from its newest checkpoint to the last."""

    def __init__(self, method: Gan, config: Train, folder: Path, resume: bool) -> None:
        self.method, self.config, self.folder = method, config, folder
        self.density = method.data.density
        self.points = pictures.points(self.density)
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
        spacing = config.steps / max(config.log.pictures, 1)
        self.picture_every = max(1, round(spacing / every)) * every if config.log.pictures else 0
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
        if self.step == 0:
            self._picture_start()
        waiting: Call | None = None
        while self.step < self.config.steps and stop.signal is None:
            n, begun = self._call_size(), time.monotonic()
            self.state, report = self.method.advance(self.state, n)
            self.step += n
            snapshot = self._snapshot() if self._picture_due(self.step) else None
            if waiting is not None:
                self._collect(waiting)
            waiting = Call(self.step, n, begun, report, snapshot)
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
            raise self._failure(bad_step, TAGS[int(call.report.bad_tag)])
        self.lines.progress(call.step)
        if call.step % self.config.log.every and call.step != self.config.steps:
            return
        self.pace.append((call.step, now))
        first_step, first_time = self.pace[0]
        rate = (call.step - first_step) / max(now - first_time, 1e-9)
        scalars = dict(zip(TAGS, np.asarray(call.report.means).tolist(), strict=True))
        self.fan.put(lambda: self._entry(call.step, scalars | {"steps_per_second": rate}, call.snapshot))

    def _entry(self, step: int, scalars: dict[str, float], snapshot: Snapshot | None) -> Entry:
        """Made in the writers' thread: what the snapshot shows, drawn and measured."""
        milestone = step % self.milestone_every == 0 or step == self.config.steps
        entry = Entry(step=step, scalars=scalars, milestone=milestone and step > 0)
        if snapshot is None:
            return entry
        seen = jax.device_get(snapshot)
        if self.density is not None and self.density.means.shape[0] > 1:
            parts = (np.asarray(part) for part in (self.density.means, self.density.stds, self.density.weights))
            entry.scalars = scalars | coverage(seen.samples, *parts)
        entry.histograms = {"logits/real": seen.real_logits, "logits/fake": seen.fake_logits}
        entry.picture = pictures.draw(seen.samples, self.density, seen.field, f"step {step}", seen.ladder)
        return entry

    def _picture_due(self, step: int) -> bool:
        return bool(self.picture_every) and (step % self.picture_every == 0 or step == self.config.steps)

    def _picture_start(self) -> None:
        if self.picture_every:
            snapshot = self._snapshot()
            self.fan.put(lambda: self._entry(0, {}, snapshot))

    def _snapshot(self) -> Snapshot:
        sizes = {1: LINE_POINTS, 2: PLANE_POINTS}
        n = IMAGES if self.density is None else sizes[self.method.data.shape[0]]
        return self.method.snapshot(self.state, n, self.points)

    def _save_due(self) -> bool:
        by_steps = self.config.checkpoint.steps and self.step % self.config.checkpoint.steps == 0
        return bool(by_steps) or time.monotonic() - self.saved >= self.config.checkpoint.seconds

    def _save(self) -> None:
        """Save the state as it is now, with how far the growing files have come."""
        self.fan.flush()
        note = {
            "files": positions(self.folder),
            "seconds": self._elapsed(),
            "metrics": self.last | self.fan.last,
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
                "metrics": self.last | self.fan.last,
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
