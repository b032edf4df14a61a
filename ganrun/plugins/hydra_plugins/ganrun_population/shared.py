"""Several processes that search together: they share one study, and continue what one of them leaves when it dies."""

# No `from __future__ import annotations` here: Hydra needs the types of a plugin's module unquoted.
import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ganrun.errors import ConfigError
from ganrun.storage.lock import Lock

BEATS = 4  # signs of life of a worker within the time after which it would count as lost
MOST = 3  # how many workers a batch may lose; then its trials count as failed
CLAIMS = ".claims"  # the folder in the sweep's directory whose files say who has taken a lost batch
SURPLUS = "surplus"  # marks a trial that was drawn by two workers at once, or never begun: it does not count
WORKER, BATCH, TAKEN, LOST = "worker", "batch", "taken", "lost"  # attributes of a trial: the last two are counts
WAIT = 60.0  # seconds to wait for another worker that writes the plan of the sweep


@dataclass
class Batch:
    """Trials that one worker trains together.

    Attributes:
        name: of their directory in the sweep's.
        trials: those of Optuna.
        again: whether they may have begun, in another process.
    """

    name: str
    trials: list[Any]
    again: bool = False


class Worker:
    """One of the processes that work on ``study``; a context in which it gives signs of life.

    They are numbers in the study that grow, so that the clocks of machines do not matter.

    Args:
        optuna: the module.
        study: that of the search.
        folder: the sweep's directory.
        lost_after: seconds without a sign of life after which another worker counts as lost.
    """

    def __init__(self, optuna: Any, study: Any, folder: Path, lost_after: float) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._states, self._trial = optuna.trial.TrialState, optuna.trial.Trial
        self._study, self._folder, self._lost_after = study, folder, lost_after
        self._seen: dict[str, tuple[Any, float]] = {}  # the last sign of each worker, and when it was first seen
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="ganrun-search", daemon=True)

    def __enter__(self) -> "Worker":
        self._sign(0)
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _sign(self, count: int) -> None:
        self._study.set_user_attr(f"alive:{self.name}", count)

    def _beat(self) -> None:
        count = 0
        while not self._ended.wait(self._lost_after / BEATS):
            count += 1
            with contextlib.suppress(Exception):  # a storage that is out of reach for a while
                self._sign(count)

    def new(self, space: dict[str, Any], size: int, trials: int) -> Batch | None:
        """Draw up to ``size`` trials from ``space``; None if the study has ``trials`` already."""
        drawn = []
        while len(drawn) < size and self.counted() < trials:
            trial = self._study.ask(space)
            trial.set_user_attr(WORKER, self.name)
            if self.counted(before=trial.number) >= trials:  # others have drawn the last ones at the same time
                self._drop(trial.number, trial)
                break
            drawn.append(trial)
        for trial in drawn:
            trial.set_user_attr(BATCH, f"batch-{drawn[0].number}")
        return Batch(f"batch-{drawn[0].number}", drawn) if drawn else None

    def counted(self, before: int | None = None) -> int:
        """Return the number of trials of the study, or of those with numbers less than ``before``."""
        known = self._study.get_trials(deepcopy=False)
        return sum(SURPLUS not in one.user_attrs and (before is None or one.number < before) for one in known)

    def _drop(self, number: int, trial: Any) -> None:
        trial.set_user_attr(SURPLUS, True)
        self._study.tell(number, state=self._states.FAIL)

    def running(self) -> list[Any]:
        """Return the trials that have been drawn and not ended, by any worker."""
        return self._study.get_trials(deepcopy=False, states=(self._states.RUNNING,))

    def lost(self) -> Batch | None:
        """Take over a batch whose worker is lost or has stopped; None if there is none."""
        for one in self.running():
            owner, name = one.user_attrs.get(WORKER), one.user_attrs.get(BATCH)
            if owner == self.name or not self._is_lost(owner, one.number):
                continue
            if name is None or not (self._folder / name).is_dir():  # it died before they began
                with contextlib.suppress(Exception):  # another worker has told it
                    self._drop(one.number, self._trial(self._study, one._trial_id))
            elif self._is_idle(self._folder / name) and self._claim(name, int(one.user_attrs.get(TAKEN, 0))):
                return self._taken(name)
        return None

    def _taken(self, name: str) -> Batch | None:
        """Make this worker the owner of the trials of the batch ``name``; return them, unless it is given up."""
        everyone = self._study.get_trials(deepcopy=False)
        of_batch = [self._trial(self._study, one._trial_id) for one in everyone if one.user_attrs.get(BATCH) == name]
        open_ones = {one.number for one in self.running()}
        lost = 0
        for trial in of_batch:
            if trial.number not in open_ones:
                continue
            counts = trial.user_attrs
            lost = int(counts.get(LOST, 0)) + (counts.get(WORKER) != "")
            trial.set_user_attr(LOST, lost)
            trial.set_user_attr(WORKER, self.name)  # before the next count, at which another might claim the batch
            trial.set_user_attr(TAKEN, int(counts.get(TAKEN, 0)) + 1)
            if lost > MOST:
                self._study.tell(trial.number, state=self._states.FAIL)
        return Batch(name, of_batch, again=True) if lost <= MOST else None

    def _is_lost(self, owner: str | None, number: int) -> bool:
        """Return whether ``owner`` has given no sign of life for long, as this process has seen it."""
        if owner == "":  # it has stopped in order
            return True
        sign = self._study.user_attrs.get(f"alive:{owner}")
        who = owner or f"trial {number}"
        now = time.monotonic()
        if who not in self._seen or self._seen[who][0] != sign:
            self._seen[who] = (sign, now)
        return now - self._seen[who][1] > self._lost_after

    @staticmethod
    def _is_idle(folder: Path) -> bool:
        """Return whether no process trains in ``folder``: one that was suspended holds its lock."""
        try:
            Lock(folder).release()
        except ConfigError:
            return False
        return True

    def _claim(self, name: str, times: int) -> bool:
        """Return whether this worker is the one to continue the batch ``name``, which was lost ``times`` before.

        The first to create a file is, also on a network file system without locks.
        """
        (self._folder / CLAIMS).mkdir(exist_ok=True)
        attempt = 0
        while True:
            path = self._folder / CLAIMS / f"{name}.{times}.{attempt}"
            try:
                with path.open("x") as file:
                    file.write(self.name)
                return True
            except FileExistsError:
                if not self._is_lost(path.read_text() or str(path), -1):
                    return False
                attempt += 1  # who took it is lost too

    def owns(self, trial: Any) -> bool:
        """Return whether ``trial`` is still this worker's: another takes it if this one was suspended for long."""
        (now,) = (one for one in self._study.get_trials(deepcopy=False) if one.number == trial.number)
        return now.user_attrs.get(WORKER) == self.name and now.state == self._states.RUNNING

    def leave(self, batch: Batch) -> None:
        """Leave the trials of ``batch``, which a signal has ended, to the next worker."""
        for trial in batch.trials:
            if self.owns(trial):
                trial.set_user_attr(WORKER, "")

    def rest(self) -> None:
        """Wait a little before looking again at what the other workers do."""
        time.sleep(min(1.0, self._lost_after / BEATS))


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Return a context that one process at a time enters for ``folder``, where the file system has locks."""
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + WAIT
    while True:
        try:
            lock = Lock(folder)
            break
        except ConfigError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    try:
        yield
    finally:
        lock.release()
