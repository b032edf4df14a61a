"""Experiments from their first step to their last: build the parts, loop, log, checkpoint, summarise."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from ganrun import datasets
from ganrun.checkpoints import flatten, not_finite
from ganrun.config import Train, data_folder
from ganrun.ending import announce, tell_end
from ganrun.errors import cannot_write
from ganrun.game.crew import Crew, Population, Solo, fewer
from ganrun.game.method import Gan, Report
from ganrun.lane import Lane
from ganrun.observer import Look
from ganrun.resume import go_back
from ganrun.rundir import completed, relative, require_free
from ganrun.signals import StopRequest
from ganrun.stopwatch import Stopwatch
from ganrun.sweep_folder import sweep_of, varied_in
from ganrun.writers.console import Display, Lines, Messages

CALL_SECONDS = 0.25  # a call to the device is kept to about this, so that Ctrl-C and progress are answered soon
# Given a step and the last metrics of every run that goes on, by folder: which of them to end early, and why.
Judge = Callable[[int, dict[Path, dict[str, float]]], dict[Path, str]]
LOOKS = 1  # of a run that may wait to be read when another is taken
PATIENCE = 2.0  # seconds that a run waits, when it is told to stop, for what is still being read and written
SAVING = 0.05  # of the time may go into checkpoints that come by the clock


@dataclass(frozen=True)
class Sweep:
    """What a run shares with the others of its sweep.

    Attributes:
        varied: hyperparameters that are shown though they have their default.
        member: whether the run is one of several, each of which says little when it ends.
        stopwatch: measures what the run is busy with.
    """

    varied: Collection[str] = ()
    member: bool = False
    stopwatch: Stopwatch = dataclasses.field(default_factory=Stopwatch)


def build(config: Train) -> Gan:
    """Return the method that ``config`` describes, with its data loaded. Writes nothing."""
    return Gan(config, datasets.load(config.dataset, data_folder(config), config.seed, config.conditional))


def train(
    config: Train,
    folder: Path,
    *,
    resume: bool = False,
    judge: Judge | None = None,
    sweep: Sweep | None = None,
) -> int:
    """Train in the run directory ``folder`` until ``config.steps``, or ``judge`` ends it; return the exit code.

    ``sweep`` is what the run shares with others, where it is one of a sweep.

    Raises:
        ConfigError: the parts do not fit together (before anything is written).
        GanrunError: the run failed; ``summary.json`` says so too.
    """
    if not resume:
        require_free(folder)
    if resume and completed(folder, config.steps):
        print(f"{relative(folder)} is complete at step {config.steps}; give a larger steps=N to go on.")
        return 0
    sweep = sweep or Sweep()
    home = sweep_of(folder)
    varied = set(sweep.varied) | (varied_in(home) if home is not None else set())
    with sweep.stopwatch.timing("loading"):
        method = build(config)
    run = alone(method, config, folder, resume, judge, dataclasses.replace(sweep, varied=varied))
    code = run.go()
    if (error := run.lanes[0].error) is not None:
        raise error
    return code


def alone(
    method: Gan,
    config: Train,
    folder: Path,
    resume: bool = False,
    judge: Judge | None = None,
    sweep: Sweep | None = None,
) -> Run:
    """Return the run of ``method`` by itself in ``folder``, ready to go."""
    sweep = sweep or Sweep()
    lane = Lane(method, config, folder, varied=sweep.varied, stopwatch=sweep.stopwatch)
    try:
        with sweep.stopwatch.timing("loading"):
            states = go_back([lane]) if resume else None
            messages = Messages(folder)
            lines = Lines(messages, config.steps, lane.newest)
            lane.open(messages, [lines])
    except BaseException as error:
        lane.release()
        if isinstance(error, OSError):
            raise cannot_write(error, folder) from error
        raise
    with sweep.stopwatch.timing("compiling"):
        state = states[0] if states else method.init()
    return Run(Solo(method), [lane], state, lane.step, lines, judge, sweep.member)


@dataclass
class Call:
    """A call of ``advance`` under way on the device."""

    step: int
    n: int
    begun: float
    report: Report
    looks: list[Look] | None


class Run:
    """A crew at work, one lane or many in step, from where its lanes stand to the end or to a request to stop.

    The lanes share all that decides when something is done: steps, rows, looks and checkpoints. At every look
    ``judge`` sees what the look before has shown. ``member``: others follow, and the end is told in a line.
    """

    def __init__(
        self,
        crew: Crew,
        lanes: Sequence[Lane],
        state: Any,
        step: int,
        display: Display,
        judge: Judge | None = None,
        member: bool = False,
    ) -> None:
        self.crew, self.lanes, self.state, self.step, self.display = crew, lanes, state, step, display
        self.judge, self.looked, self.member = judge, 0, member
        self.stopwatch = lanes[0].stopwatch
        self.compiled: set[str] = set()  # what has been called on the device
        self.config = lanes[0].config
        self.saved, self.cost = time.monotonic(), 0.0
        self.pace: deque[tuple[int, float]] = deque(maxlen=10)  # rows are read in bursts, so speed needs several
        self.calls, self.done, self.per_step = 0, self.saved, CALL_SECONDS
        self.stop = StopRequest()

    @property
    def going(self) -> list[Lane]:
        """The lanes that have neither failed nor been pruned."""
        return [lane for lane in self.lanes if lane.going]

    def go(self) -> int:
        """Train, and leave summaries however it ends; return the exit code."""
        for lane in self.going:
            announce(lane, f" continues at step {self.step}" if self.step else "")
        status = "failed"
        with self.stop:
            try:
                with self.stopwatch.timing("training"):
                    self._loop()
                self._save()
                with self.stopwatch.timing("writing"):
                    for lane in self.going:
                        with lane.failing():
                            lane.checkpoints.wait()
                status = "stopped" if self.step < self.config.steps else "completed"
            finally:
                self._close(self.lanes, status)
        # A signal that came while a run was closing ends what would have followed it.
        return self.stop.exit_code or int(all(lane.error is not None for lane in self.lanes))

    def _loop(self) -> None:
        """Keep the device one call ahead of the host: while it computes, the call before is read and written."""
        if self.step == 0:
            self._put(0, None, self._look(), 0.0)
        waiting: Call | None = None
        while self.step < self.config.steps and self.stop.signal is None and self.going:
            n, begun = self._call_size(), time.monotonic()
            with self._on_device("advance", "training"):
                self.state, report = self.crew.advance(self.state, n)
            self.step += n
            looks = self._look()
            if waiting is not None:
                self._collect(waiting)
            waiting = Call(self.step, n, begun, report, looks)
            with self.stopwatch.timing("evaluating"):
                hopeless = self._hopeless() if looks is not None else {}
            if hopeless or self._save_due():
                self._collect(waiting)
                waiting = None
                if hopeless:
                    self._prune(hopeless)
                if self._save_due():
                    self._save()
        if waiting is not None:
            self._collect(waiting)

    def _on_device(self, program: str, part: str) -> AbstractContextManager[None]:
        """A context in which ``program`` is handed to the device: its first call compiles it."""
        first = program not in self.compiled
        self.compiled.add(program)
        return self.stopwatch.timing("compiling" if first else part)

    def _call_size(self) -> int:
        """Steps of the next call: up to the next row, up to ``steps_per_call``, and short where steps are slow."""
        every = self.config.log.every
        limit = min(every - self.step % every, self.config.steps - self.step, self.config.steps_per_call)
        if self.config.checkpoint.steps:
            limit = min(limit, self.config.checkpoint.steps - self.step % self.config.checkpoint.steps)
        return max(1, min(limit, int(CALL_SECONDS / self.per_step)))

    def _collect(self, call: Call) -> None:
        """Wait for ``call``, end the lanes with NaN or Inf, and hand rows to the writers where they are due."""
        bad_steps = np.atleast_1d(np.asarray(call.report.bad_step))  # waits
        now = time.monotonic()
        if self.calls:  # the first call compiled
            self.per_step = max((now - max(self.done, call.begun)) / call.n, 1e-7)
        if self.calls <= 1:  # speed is measured from the second call on, where there is one
            self.pace.clear()
            self.pace.append((call.step - call.n, call.begun))
        self.calls, self.done = self.calls + 1, now
        bad_tags = np.atleast_1d(np.asarray(call.report.bad_tag))
        lost = any(step and lane.going for lane, step in zip(self.lanes, bad_steps.tolist(), strict=True))
        states = self.crew.apart(self.state) if lost else []  # a lane takes no step after the one that lost it
        for i, (lane, bad_step) in enumerate(zip(self.lanes, bad_steps.tolist(), strict=True)):
            if bad_step and lane.going:
                lane.step = bad_step
                lane.fail(lane.failure(bad_step, lane.method.game.tags[bad_tags[i]], not_finite(flatten(states[i]))))
            elif lane.going:
                lane.step = call.step
        self.display.progress(call.step)
        if call.step % self.config.log.every and call.step != self.config.steps:
            return
        self.pace.append((call.step, now))
        first_step, first_time = self.pace[0]
        self._put(call.step, call.report, call.looks, (call.step - first_step) / max(now - first_time, 1e-9))

    def _put(self, step: int, report: Report | None, looks: list[Look] | None, rate: float) -> None:
        rows: list[dict[str, float]] = [{} for _ in self.lanes]
        if report is not None:
            tags, means = self.lanes[0].method.game.tags, np.atleast_2d(np.asarray(report.means)).tolist()
            rows = [dict(zip((*tags, "steps_per_second"), (*mean, rate), strict=True)) for mean in means]
            self.display.rows(step, [row for lane, row in zip(self.lanes, rows, strict=True) if lane.going])
        for i, lane in enumerate(self.lanes):
            if lane.going and (rows[i] or looks):
                with lane.failing():
                    lane.put(step, rows[i], looks[i] if looks else None)

    def _look(self) -> list[Look] | None:
        first = self.lanes[0].observer
        if not first.due(self.step):
            return None
        with self.stopwatch.timing("evaluating"):
            while any(lane.looks_waiting > LOOKS for lane in self.going) and self.stop.signal is None:
                time.sleep(0.002)
        points = [lane.observer.points for lane in self.lanes]
        with self._on_device("look", "evaluating"):
            return [Look(self.step, fetch) for fetch in self.crew.look(self.state, first.samples, points)]

    def _hopeless(self) -> dict[Path, str]:
        """Return which runs to end early, by what has been written of them."""
        step, self.looked = self.looked, self.step
        if self.judge is None or step == 0 or self.step >= self.config.steps:
            return {}
        seen: dict[Path, dict[str, float]] = {}
        for lane in self.going:
            with lane.failing():
                seen[lane.folder] = lane.written()
        return self.judge(step, seen)

    def _prune(self, hopeless: dict[Path, str]) -> None:
        """End these runs; once half of the lanes are idle, the others go on in a smaller program."""
        for lane in self.going:
            if lane.folder in hopeless:
                lane.prune(hopeless[lane.folder])
        kept = [i for i, lane in enumerate(self.lanes) if lane.going]
        if kept and 2 * len(kept) <= len(self.lanes):
            with self.stopwatch.timing("compiling"):
                self.crew, self.state = fewer(cast(Population, self.crew), self.state, kept)
            self.compiled.clear()
            gone, self.lanes = [lane for lane in self.lanes if not lane.going], [self.lanes[i] for i in kept]
            self._close(gone, "failed")

    def _hurried(self) -> bool:
        return self.stop.signal is not None and time.monotonic() - self.stop.asked > PATIENCE

    def _save_due(self) -> bool:
        by_steps = self.config.checkpoint.steps and self.step % self.config.checkpoint.steps == 0
        best = self.config.checkpoint.best and self.lanes[0].observer.due(self.step)
        wait = max(self.config.checkpoint.seconds, self.cost / SAVING)
        return bool(by_steps or best) or time.monotonic() - self.saved >= wait

    def _save(self) -> None:
        """Save every lane as it is now; all lanes have done so before any does again, so they share a step."""
        with self.stopwatch.timing("evaluating"):
            for lane in self.going:
                lane.settle(self._hurried)
        begun = time.monotonic()
        with self.stopwatch.timing("writing"):
            for lane in self.going:
                with lane.failing():
                    lane.checkpoints.wait()
            states = self.crew.apart(self.state)
            for lane, state in zip(self.lanes, states, strict=True):
                if lane.going:
                    with lane.failing():
                        lane.save(self.step, state, self._hurried)
        self.saved = time.monotonic()
        self.cost = self.saved - begun if len(self.lanes) > 1 else 0.0

    def _close(self, lanes: Sequence[Lane], status: str) -> None:
        with self.stopwatch.timing("evaluating"):
            for lane in lanes:
                lane.settle(self._hurried)
        for lane in lanes:
            if not lane.opened:  # it had failed before
                continue
            try:
                with self.stopwatch.timing("writing"), lane.failing():
                    lane.close(status, self._hurried)
            finally:
                tell_end(lane, self.member)
                lane.messages.close()
