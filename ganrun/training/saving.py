"""When the runs of a program are saved, and how they are saved and closed together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ganrun.config.settings import Train
from ganrun.methods.run_state import RunState
from ganrun.training.session import RunSession
from ganrun.training.signals import StopRequest
from ganrun.training.stopwatch import Stopwatch
from ganrun.training.summary import tell_end

PATIENCE = 2.0  # seconds that a run waits for pending evaluation and writing after a request to stop
SHARE = 0.05  # maximum fraction of the time spent on periodic checkpoints


class Saving:
    """Saves and closes the runs of a program, and measures what it takes.

    Args:
        config: of one of the runs; its settings of checkpoints and averages are those of all.
        stop: the request to stop, after which nothing waits for long.
        stopwatch: of the program.

    Attributes:
        averages_every: steps between two stored power-function averages; 0 if there are none.
    """

    def __init__(self, config: Train, stop: StopRequest, stopwatch: Stopwatch) -> None:
        self._checkpoint, self._stop, self._stopwatch = config.checkpoint, stop, stopwatch
        self.averages_every = -(-config.steps // config.ema.snapshots) if config.ema.sigma_rel else 0
        self._saved, self._cost = time.monotonic(), 0.0

    def due(self, step: int, evaluated: bool) -> bool:
        """Return whether a checkpoint is due: by the settings, or because some time has passed since the last one.

        Args:
            step: steps done.
            evaluated: whether metrics are evaluated at this step, by which the best checkpoint is chosen.
        """
        by_steps = self._checkpoint.steps and step % self._checkpoint.steps == 0
        best = self._checkpoint.best and evaluated
        wait = max(self._checkpoint.seconds, self._cost / SHARE)
        return bool(by_steps or best) or time.monotonic() - self._saved >= wait

    def averages_due(self, step: int) -> bool:
        """Return whether the power-function averages after ``step`` are to be stored."""
        return bool(self.averages_every) and step % self.averages_every == 0

    def settle(self, sessions: Sequence[RunSession]) -> None:
        """Wait until everything queued so far is written; only a moment after a request to stop."""
        with self._stopwatch.timing("evaluating"):
            for session in sessions:
                session.settle(self._hurried)

    def save(self, sessions: Sequence[RunSession], apart: Callable[[], Sequence[RunState]], step: int) -> None:
        """Save every active run. All finish one save before any begins the next, so they have a step in common.

        Args:
            sessions: the runs.
            apart: returns the state of each run, a copy; called once the states of the last save are written.
            step: steps done.
        """
        begun = time.monotonic()
        with self._stopwatch.timing("writing"):
            for session in sessions:
                if session.going:
                    with session.failing():
                        session.checkpoints.wait()
            for session, state in zip(sessions, apart(), strict=True):
                if session.going:
                    with session.failing():
                        session.save(step, state, self._hurried)
        self._saved = time.monotonic()
        self._cost = self._saved - begun if len(sessions) > 1 else 0.0

    def save_averages(self, sessions: Sequence[RunSession], states: Sequence[RunState], step: int) -> None:
        """Store the power-function averages of every active run."""
        with self._stopwatch.timing("writing"):
            for session, state in zip(sessions, states, strict=True):
                if session.going:
                    with session.failing():
                        session.save_averages(step, state)

    def close(self, sessions: Sequence[RunSession], status: str, member: bool) -> None:
        """Write what is queued and the summaries, and print how the runs have ended.

        Args:
            sessions: the runs.
            status: of those that have neither failed nor been pruned.
            member: whether they are runs of a sweep, which print no closing report.
        """
        self.settle(sessions)
        for session in sessions:
            if not session.opened:  # it had failed before this session
                continue
            try:
                with self._stopwatch.timing("writing"), session.failing():
                    session.close(status, self._hurried)
            finally:
                tell_end(session, member)
                session.messages.close()

    def _hurried(self) -> bool:
        return self._stop.signal is not None and time.monotonic() - self._stop.received_at > PATIENCE
