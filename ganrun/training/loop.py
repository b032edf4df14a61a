"""The training loop: advances a run or a population, logs metrics, saves checkpoints and writes the summaries."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from ganrun.evaluation.budget import Budget
from ganrun.evaluation.evaluator import Snapshot
from ganrun.methods.run_state import Report
from ganrun.storage.state_arrays import flatten, not_finite
from ganrun.training.executor import Executor, Population, fewer
from ganrun.training.pace import Call, Pace
from ganrun.training.profile import Profile
from ganrun.training.saving import Saving
from ganrun.training.session import RunSession
from ganrun.training.signals import StopRequest
from ganrun.training.summary import announce
from ganrun.writers.console import Display

# Maps a step and the latest metrics of every active run, by folder, to the runs to end early and the reasons.
Pruner = Callable[[int, dict[Path, dict[str, float]]], dict[Path, str]]
LONG = 3.0  # seconds of training left from which it pays to prepare evaluations meanwhile
MAX_WAITING_SNAPSHOTS = 1  # unevaluated snapshots that a run may have when the next one is taken


class Run:
    """Advances one run, or the members of a population in lockstep, until they complete or a stop is requested.

    All members share the settings that determine when something happens: steps, rows, snapshots and checkpoints. At
    every snapshot ``pruner`` is given the metrics of the previous one. ``member``: the run is one of a sweep and prints
    no closing report. ``evaluators``: number of threads that evaluate snapshots.
    """

    def __init__(
        self,
        executor: Executor,
        sessions: Sequence[RunSession],
        state: Any,
        step: int,
        display: Display,
        pruner: Pruner | None = None,
        member: bool = False,
        evaluators: int = 1,
    ) -> None:
        self.executor, self.sessions, self.state, self.step, self.display = executor, sessions, state, step, display
        self.pruner, self.evaluated, self.member = pruner, 0, member
        self.stopwatch = sessions[0].stopwatch
        self.compiled: set[str] = set()  # programs that have been called on the device
        self.config = sessions[0].config
        self.pace = Pace(time.monotonic())
        self.stop = StopRequest()
        self.saving = Saving(self.config, self.stop, self.stopwatch)
        self.budget = self._budget(evaluators)
        for session in sessions:
            session.budget = self.budget
        self.profile = Profile(self.config.profile, self.config.steps, sessions[0].folder)
        self.forecast = ""  # of the memory, said at the start
        self.prepared = False  # whether evaluations are prepared
        self.first: list[Snapshot] | None = None  # of step 0, until the time of a step is known

    def _budget(self, evaluators: int) -> Budget:
        """Return the budget for evaluation; there is no limit if decisions depend on the metrics of every snapshot."""
        config = self.config
        decides = self.pruner is not None or config.checkpoint.best is not None or config.stop.when is not None
        evaluator = self.sessions[0].evaluator
        return Budget(
            share=1.0 if decides else self.config.evaluate.share,
            times=evaluator.times(),
            begun=self.step,
            steps=self.config.steps,
            clock=self.stopwatch.total,
            costs=[session.costs for session in self.sessions],
            threads=evaluators,
        )

    @property
    def going(self) -> list[RunSession]:
        """The runs that have neither failed nor been pruned, nor ended early."""
        return [session for session in self.sessions if session.going]

    def go(self) -> int:
        """Train, write the summaries even if training fails, and return the exit code."""
        for session in self.going:
            announce(session, f" continues at step {self.step}" if self.step else "")
        if self.forecast:
            self.sessions[0].messages.say(self.forecast)
        status = "failed"
        with self.stop:
            try:
                if self.step == 0 and any(session.taken for session in self.going):
                    self._save()  # once resumed, they need not read the weights of another run again
                with self.stopwatch.timing("training"):
                    self._loop()
                self._save()
                with self.stopwatch.timing("writing"):
                    for session in self.going:
                        with session.failing():
                            session.checkpoints.wait()
                status = "stopped" if self.step < self.config.steps else "completed"
            finally:
                self._trace(over=True)
                self.saving.close(self.sessions, status, self.member)
        # A signal received while a run was closing also ends the rest of the sweep.
        return self.stop.exit_code or int(all(session.error is not None for session in self.sessions))

    def _loop(self) -> None:
        """Keep the device one call ahead of the host: while it computes, the previous call is read and logged."""
        if self.step == 0 and (due := self.sessions[0].evaluator.due(0)):
            self.first = self._take_snapshot(due)
            if self.budget.share >= 1.0:
                self._put_first()
        self._end()
        waiting: Call | None = None
        while self.step < self.config.steps and self.stop.signal is None and self.going:
            self._trace()
            n, begun = self._call_size(), time.monotonic()
            with self._on_device("advance", "training"), self.profile.call(self.step):
                self.state, report = self.executor.advance(self.state, n)
            self.step += n
            if waiting is not None:
                self._collect(waiting)
            to_prune = self._decide()
            waiting = Call(self.step, n, begun, report, self._snapshot())
            self._prepare()
            ending = any(session.ending for session in self.going)
            stores = self.saving.averages_due(self.step)
            if to_prune or ending or stores or self._save_due():
                self._collect(waiting)
                waiting = None
                if stores:
                    self.saving.save_averages(self.sessions, self.executor.apart(self.state), self.step)
                if to_prune:
                    self._prune(to_prune)
                if ending or self._save_due():
                    self._save()
                if ending:
                    self._end()
        if waiting is not None:
            self._collect(waiting)
        self._put_first()
        self._trace()

    def _trace(self, over: bool = False) -> None:
        """Start or end the trace of steps that the setting ``profile`` asks for."""
        message = self.profile.close() if over else self.profile.at(self.step, self.state)
        if message is not None:
            self.sessions[0].messages.say(message)

    def _on_device(self, program: str, part: str) -> AbstractContextManager[None]:
        """Return a context for dispatching ``program``; its first call compiles it and is timed as compiling."""
        first = program not in self.compiled
        self.compiled.add(program)
        return self.stopwatch.timing("compiling" if first else part)

    def _call_size(self) -> int:
        """Return the steps of the next call: at most ``steps_per_call``, to the next row, fewer if steps are slow."""
        every = self.config.log.every
        limit = min(every - self.step % every, self.config.steps - self.step, self.config.steps_per_call)
        limit = min(limit, self.executor.most_steps or limit, self.profile.until(self.step) or limit)
        for interval in filter(None, (self.config.checkpoint.steps, self.saving.averages_every)):
            limit = min(limit, interval - self.step % interval)
        return self.pace.call_size(limit)

    def _collect(self, call: Call) -> None:
        """Wait for ``call``, end the runs that have a NaN or Inf, and pass rows that are due to the writers."""
        bad_steps = np.atleast_1d(np.asarray(call.report.bad_step))  # blocks until the call is done
        now = time.monotonic()
        self.pace.end(call, now)
        if self.pace.calls > 1:
            self._put_first()
        bad_tags = np.atleast_1d(np.asarray(call.report.bad_tag))
        diverged = any(step and session.going for session, step in zip(self.sessions, bad_steps.tolist(), strict=True))
        states = self.executor.apart(self.state) if diverged else []  # a run takes no step after its first bad one
        for i, (session, bad_step) in enumerate(zip(self.sessions, bad_steps.tolist(), strict=True)):
            if bad_step and session.going:
                session.step = bad_step
                session.fail(
                    session.failure(
                        bad_step, session.experiment.method.tags[bad_tags[i]], not_finite(flatten(states[i]))
                    )
                )
            elif session.going:
                session.step = call.step
        self.display.progress(call.step)
        if call.step % self.config.log.every and call.step != self.config.steps:
            return
        self._put_first()
        self._put(call.step, call.report, call.snapshots, self.pace.rate(call.step, now))

    def _prepare(self) -> None:
        """Prepare the evaluations of a run that takes long enough, while it trains."""
        left = (self.config.steps - self.step) * self.pace.per_step
        if self.prepared or self.pace.calls < 2 or left < LONG or not any(self.budget.times.values()):
            return
        self.prepared = True
        session = self.going[0]
        session.prepare(self._take_snapshot(frozenset())[self.sessions.index(session)])

    def _put_first(self) -> None:
        """Log the snapshot of step 0 if the budget allows it."""
        snapshots, self.first = self.first, None
        if snapshots is not None:
            parts = self.budget.granted(snapshots[0].parts, 0, self.pace.per_step)
            if parts:
                self._put(0, None, [replace(snapshot, parts=parts) for snapshot in snapshots], 0.0)

    def _put(self, step: int, report: Report | None, snapshots: list[Snapshot] | None, rate: float) -> None:
        rows: list[dict[str, float]] = [{} for _ in self.sessions]
        if report is not None:
            tags, means = self.sessions[0].experiment.method.tags, np.atleast_2d(np.asarray(report.means)).tolist()
            rows = [dict(zip((*tags, "steps_per_second"), (*mean, rate), strict=True)) for mean in means]
            self.display.rows(step, [row for session, row in zip(self.sessions, rows, strict=True) if session.going])
        for i, session in enumerate(self.sessions):
            if session.going and (rows[i] or snapshots):
                with session.failing():
                    session.put(step, rows[i], snapshots[i] if snapshots else None)

    def _snapshot(self) -> list[Snapshot] | None:
        """Return a snapshot of every member if one is due and the budget allows it."""
        due = self.sessions[0].evaluator.due(self.step)
        parts = self.budget.granted(due, self.step, self.pace.per_step) if due else due
        if not parts:
            return None
        with self.stopwatch.timing("evaluating"):
            while (
                any(session.snapshots_waiting > MAX_WAITING_SNAPSHOTS for session in self.going)
                and self.stop.signal is None
            ):
                time.sleep(0.002)
        return self._take_snapshot(parts)

    def _take_snapshot(self, parts: frozenset[str]) -> list[Snapshot]:
        evaluators = [session.evaluator for session in self.sessions]
        with self._on_device("snapshot", "evaluating"):
            points = [evaluator.points for evaluator in evaluators]
            fetches = self.executor.snapshot(self.state, evaluators[0].samples, points)
        return [
            # The last snapshot of a run is evaluated in full.
            Snapshot(self.step, fetch, session.evaluator.at_the_end, last=True)
            if session.ending
            else Snapshot(self.step, fetch, parts, last=self.step == self.config.steps)
            for session, fetch in zip(self.sessions, fetches, strict=True)
        ]

    def _decide(self) -> dict[Path, str]:
        """Decide which runs end early when a snapshot is due, from the metrics of those before.

        Returns the runs to prune and the reasons; those that have stopped improving get their reason in ``ending``.
        """
        stops = self.config.stop.when is not None
        if (self.pruner is None and not stops) or not self.sessions[0].evaluator.due(self.step):
            return {}
        step, self.evaluated = self.evaluated, self.step
        if step == 0 or self.step >= self.config.steps:
            return {}
        metrics: dict[Path, dict[str, float]] = {}
        with self.stopwatch.timing("evaluating"):
            for session in self.going:
                with session.failing():
                    metrics[session.folder] = session.written()
                    session.decide()
            return {} if self.pruner is None else self.pruner(step, metrics)

    def _end(self) -> None:
        """End the runs that have stopped improving; their states are saved."""
        ending = [session for session in self.going if session.ending]
        for session in ending:
            session.end()
        if ending:
            self._shrink()

    def _prune(self, to_prune: dict[Path, str]) -> None:
        """End these runs without saving them."""
        for session in self.going:
            if session.folder in to_prune:
                session.prune(to_prune[session.folder])
        self._shrink()

    def _shrink(self) -> None:
        """Once at least half of the members are idle, continue the others in a smaller program."""
        kept = [i for i, session in enumerate(self.sessions) if session.going]
        if kept and 2 * len(kept) <= len(self.sessions):
            with self.stopwatch.timing("compiling"):
                self.executor, self.state = fewer(cast(Population, self.executor), self.state, kept)
            self.compiled.clear()
            ended, self.sessions = (
                [session for session in self.sessions if not session.going],
                [self.sessions[i] for i in kept],
            )
            self.saving.close(ended, "failed", self.member)

    def _save_due(self) -> bool:
        return self.saving.due(self.step, bool(self.sessions[0].evaluator.due(self.step)))

    def _save(self) -> None:
        self._put_first()
        self.saving.settle(self.going)
        self.saving.save(self.sessions, lambda: self.executor.apart(self.state), self.step)
