"""A run and its directory: logging, checkpoints, resuming and the summary. The computation is elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax

from ganrun.config.hparams import chosen
from ganrun.config.settings import Train
from ganrun.errors import ConfigError, GanrunError, StorageError, cannot_write
from ganrun.evaluation.budget import Budget, Costs
from ganrun.evaluation.evaluator import Evaluator, NotFinite, Snapshot
from ganrun.evaluation.metrics.logged import logged
from ganrun.evaluation.metrics.spec import latest, rating
from ganrun.machine.cores import usable_cores
from ganrun.methods.experiment import Experiment
from ganrun.methods.run_state import RunState
from ganrun.storage.checkpoint_metadata import is_metadata
from ganrun.storage.checkpoints import Checkpoints, Saved
from ganrun.storage.checksums import Damaged
from ganrun.storage.growing_files import positions, rewind
from ganrun.storage.lock import taken
from ganrun.storage.metrics_file import plain, rows_of
from ganrun.storage.run_directory import AVERAGES, relative, save_config, write_atomically
from ganrun.training.cautions import cautions
from ganrun.training.init_from import Taken
from ganrun.training.monitor import Monitor
from ganrun.training.outcome import Outcome
from ganrun.training.plateau import Plateau
from ganrun.training.queued_rows import QueuedRows, Row, as_saved
from ganrun.training.retry import retries_before
from ganrun.training.stopwatch import Stopwatch, added
from ganrun.training.summary import summary
from ganrun.writers.base import Entry, Writer
from ganrun.writers.console import Messages
from ganrun.writers.fan_out import FanOut, Worker
from ganrun.writers.images import Pictures
from ganrun.writers.jsonl import JsonLines
from ganrun.writers.newest import Newest
from ganrun.writers.pages import pages
from ganrun.writers.tensorboard import TensorBoard


class RunSession(Outcome):
    """One session of a run, since it was started or resumed: the run directory and everything written to it.

    Args:
        experiment: the method, hyperparameters and data of the run.
        config: of the run.
        folder: the run directory.
        at_least: minimum number of newest checkpoints to keep.
        varied: hyperparameters to show even if they have their default value: those that vary in the sweep.
        stopwatch: measures the session; shared by all runs of a program.

    Attributes:
        step: steps done.
        opened: whether its files are being written.
        taken: the weights that it has started from, if they are those of another run.
        stopped: whether it was closed before all steps were done and written.
        retries: how often it was tried again in the sessions before this one.
        newest: the latest value of each metric, with its step.
        costs: what evaluating snapshots and drawing pictures has taken in this session.
        budget: decides what is evaluated; shared by all runs of a program.
    """

    def __init__(
        self,
        experiment: Experiment,
        config: Train,
        folder: Path,
        at_least: int = 1,
        varied: Collection[str] = (),
        stopwatch: Stopwatch | None = None,
    ) -> None:
        super().__init__(folder)
        self.varied, self.stopwatch = varied, stopwatch or Stopwatch()
        self.experiment, self.config = experiment, config
        self.evaluator = Evaluator(experiment, config)  # raises ConfigError before anything is written
        self.lock = taken(folder)
        self.checkpoints = Checkpoints(folder / "checkpoints", max(config.checkpoint.keep, at_least))
        self.averages = Checkpoints(folder / AVERAGES, keep=config.steps) if config.ema.sigma_rel else None
        self.step, self.last = 0, {}
        self.seconds, self.split_before, self.costs = 0.0, dict[str, float](), Costs()
        self.budget: Budget | None = None
        self.newest = Newest()
        self.watch, self.plateau = Monitor(config, modes(experiment.data.density)), Plateau(config)
        self.lost: list[str] = []
        self._rows = QueuedRows(self._entry)
        self.opened, self.stopped, self.retries = False, False, 0
        self.taken: Taken | None = None
        every = config.log.every
        self._milestone_every = max(1, round(config.steps / 10 / every)) * every

    def read(self, step: int) -> Saved:
        """Return the checkpoint of ``step``. Changes nothing.

        Raises:
            Damaged: the checkpoint cannot be read.
        """
        saved = self.checkpoints.read(self.experiment.abstract(), step, self._snapshot_shapes)
        if not is_metadata(saved.metadata, len(saved.snapshots)):
            raise Damaged("its note is not as ganrun writes it")
        return saved

    def _snapshot_shapes(self) -> Any:
        snapshot = partial(self.experiment.snapshot, n=self.evaluator.samples, points=self.evaluator.points)
        return jax.eval_shape(snapshot, self.experiment.abstract())

    def restore(self, saved: Saved) -> RunState:
        """Restore the session from ``saved``, truncate the growing files to match, and return the state."""
        metadata = saved.metadata
        self._forget_after(saved.step)
        self.lost = rewind(self.folder, metadata["files"])
        self._remember(metadata["diagnosis"])
        self.ending = metadata.get("ending", "") if metadata.get("stop") == self.stop_settings() else ""
        self.step, self.last, self.retries = saved.step, dict(metadata["metrics"]), metadata.get("retries", 0)
        self.seconds, self.split_before = float(metadata["seconds"]), dict(metadata.get("split", {}))
        self._rows.restore(
            metadata["rows"],
            saved.snapshots,
            last=lambda step: step == self.config.steps or bool(self.ending and step == saved.step),
        )
        # A copy, since the buffers of the state are donated, and samples are drawn with those of the experiment.
        hparams = jax.tree.map(lambda x: x.copy() if isinstance(x, jax.Array) else x, self.experiment.hparams)
        return replace(saved.state, hparams=hparams)

    def _forget_after(self, step: int) -> None:
        for kept in (self.checkpoints, self.averages):
            if kept is not None:
                kept.forget_after(step)

    def _remember(self, diagnosis: dict[str, Any]) -> None:
        """Restore the newest metrics, the checkpoint ratings and the monitor from the rows in metrics.jsonl."""
        rows: list[dict[str, float]] = []
        try:
            rows = rows_of(self.folder)
        except ConfigError as error:  # a damaged metrics file does not prevent resuming
            self.lost.append(str(error))
        self.newest.restore(rows)
        for row in rows:
            self._rate(int(row["step"]), row)
        self.watch.restore(diagnosis, rows)
        self.plateau.restore(rows)

    def start(self) -> None:
        """Start at step 0, and delete what a run killed before its first checkpoint has left."""
        self._forget_after(0)
        rewind(self.folder, {})

    def open(self, messages: Messages, shown: list[Writer], worker: Worker | None = None) -> None:
        """Start writing to the run's files and to the displays ``shown``, from ``step`` on."""
        warnings = cautions(self.experiment, self.config, self.folder, self.step)
        warnings += [*self.checkpoints.damaged, *self.lost]
        save_config(self.config, self.folder)  # a resumed run may have changed settings; only once it can continue
        self.retries = max(self.retries, retries_before(self.folder))
        (self.folder / "summary.json").unlink(missing_ok=True)
        self.messages, self.opened = messages, True
        self._workers = usable_cores() if worker is None else 1  # once a run by itself has ended its training
        columns = chosen(self.config, self.varied)
        divergences = any(tag.startswith("jsd/") for tag in logged(self.config))
        charts = self.config.method.CHARTS
        board = TensorBoard(self.folder, columns, pages(self.config), self.step or None, charts, divergences)
        self._fan = FanOut(
            [self.watch, self.plateau, JsonLines(self.folder), board, Pictures(self.folder), *shown],
            worker,
            self.folder,
        )
        for line in warnings:
            messages.notice(f"warning: {line}")
        self._rows.start(self._fan)

    def put(self, step: int, scalars: dict[str, float], snapshot: Snapshot | None) -> None:
        """Queue a row of metrics: ``scalars``, the means over its steps, and those evaluated from ``snapshot``."""
        self._rows.put(Row(step, scalars, snapshot))

    def prepare(self, snapshot: Snapshot) -> None:
        """Load and compile in the writers' thread what evaluations will need."""
        self._fan.run(partial(self.evaluator.prepare, snapshot))

    @property
    def snapshots_waiting(self) -> int:
        """Number of snapshots that have not been evaluated and written yet."""
        return sum(row.snapshot is not None for row in self._rows.waiting())

    def _entry(self, row: Row) -> Entry:
        """Return the entry of ``row``. Called in the writers' thread.

        A snapshot shows the state after ``step``, which no step has checked yet: it may be the first to show a NaN.
        """
        step = row.step
        last = step == self.config.steps or (row.snapshot is not None and row.snapshot.last)
        milestone = step % self._milestone_every == 0 or last
        entry = Entry(step=step, scalars=row.scalars, milestone=milestone and step > 0)
        if row.snapshot is not None:
            try:
                result = self.evaluator.read(row.snapshot, self._workers if row.snapshot.last else 1)
            except NotFinite as error:
                raise self.failure(step, str(error)) from error
            for part, seconds in result.seconds.items():
                self.costs.add(part, seconds)
            entry.scalars = row.scalars | result.scalars | {"evaluate/seconds": sum(result.seconds.values())}
            entry.histograms, entry.pictures = result.histograms, result.pictures
            self._rate(step, entry.scalars)
        return entry

    def _rate(self, step: int, scalars: dict[str, Any]) -> None:
        """Rate the checkpoint of ``step`` by the metric ``checkpoint.best``, if one is set."""
        settings = self.config.checkpoint
        if settings.best is None:
            return
        value = scalars.get(settings.best)
        if value is None:
            self.checkpoints.ratings.pop(step, None)
        else:
            self.checkpoints.ratings[step] = rating(settings.best, value, settings.best_is)

    def save(self, step: int, state: RunState, hurried: Callable[[], bool] = lambda: False) -> None:
        """Save the state after ``step``, with the current sizes of the growing files.

        Queued rows are written first. Once ``hurried()`` is true, rows that are still queued go into the checkpoint
        instead, and are written when the run is resumed.
        """
        self._fan.wait(hurried)
        with self._fan.still():
            waiting = self._rows.waiting()
            if self.config.checkpoint.best and any(row.step == step and row.snapshot for row in waiting):
                self.checkpoints.ratings.setdefault(step, None)
            metadata = {"files": positions(self.folder), "seconds": self.elapsed(), "metrics": self.metrics()}
            metadata |= {"diagnosis": self.watch.plain(), "split": self.split()}
            if self.retries:
                metadata |= {"retries": self.retries}
            if self.ending:
                metadata |= {"ending": self.ending, "stop": self.stop_settings()}
        rows, snapshots = as_saved(waiting)
        self.wait_for_averages()  # a run that goes on from this checkpoint does not store them again
        self.checkpoints.save(step, state, {**metadata, "rows": rows}, snapshots)

    def save_averages(self, step: int, state: RunState) -> None:
        """Store the power-function averages after ``step``. They are written while training goes on."""
        if self.averages is not None:
            self.averages.save(step, state.averages, {})

    def wait_for_averages(self) -> None:
        """Wait until all averages are on disk; raise :class:`GanrunError` if they could not be written."""
        if self.averages is not None:
            self.averages.wait()

    def failure(self, step: int, tag: str, arrays: Sequence[str] = ()) -> GanrunError:
        """Return the error for a metric ``tag`` that is not finite at ``step``.

        ``arrays`` are the arrays of the state that are not finite either.
        """
        self.checkpoints.wait()
        good = self.checkpoints.latest()
        where = "no checkpoint was saved before"
        if good is not None:
            where = f"the last good checkpoint is {relative(self.folder / 'checkpoints' / str(good))}"
        first = f" {len(arrays)} arrays of the state have NaN or Inf too, the first is {arrays[0]}." if arrays else ""
        return GanrunError(f"step {step}: {tag} is NaN or Inf, so the run stops; {where}.{first}")

    def stop_settings(self) -> dict[str, Any]:
        """Return the settings that decide whether the run ends early."""
        return asdict(self.config.stop)

    def decide(self) -> None:
        """Decide from the metrics written whether the run ends with its next evaluation; warn if it never improved."""
        self.ending = self.plateau.reason()
        if (finding := self.plateau.stalled()) is not None:
            self.watch.add(finding)

    def written(self) -> dict[str, float]:
        """Write everything queued, and return the latest value of each metric."""
        self._fan.flush()
        return latest(self.last, self._fan.last)

    def close(self, status: str, hurried: Callable[[], bool] = lambda: False) -> None:
        """Write what is queued and the summary, with the status failed or pruned if it is one, else ``status``.

        Rows that are not written once ``hurried()`` is true remain in the checkpoint, and the status is stopped.
        """
        try:
            self._fan.close(status, hurried)
        except StorageError as error:
            self.fail(error)
        finally:
            self.checkpoints.close()
            if self.averages is not None:
                self.averages.close()
            unfinished = status == "stopped" or (status == "completed" and bool(self._rows.waiting()))
            self.stopped = self.going and unfinished
            status = "stopped" if self.stopped else status
            status = "completed" if self.ended else "pruned" if self.pruned else status
            status = "failed" if self.error is not None else status
            try:
                write_atomically(self.folder / "summary.json", summary(self, status))
            except OSError as error:
                self.fail(cannot_write(error, self.folder))
            self.messages.say(f"{status} at step {self.step}/{self.config.steps} after {self.elapsed():.1f} s")
            self.release()

    def release(self) -> None:
        """Release the lock on the run directory."""
        self.lock.release()

    def elapsed(self) -> float:
        """Return the seconds that the run has taken, over all its sessions."""
        return self.seconds + self.stopwatch.total()

    def split(self) -> dict[str, float]:
        """Return these seconds by part, see :mod:`~ganrun.training.stopwatch`."""
        return added(self.split_before, self.stopwatch.split())

    def settle(self, hurried: Callable[[], bool]) -> None:
        """Wait until everything queued so far is written, or ``hurried()`` is true."""
        if self.opened:
            self._fan.wait(hurried)

    def metrics(self) -> dict[str, float | None]:
        """Return the latest value of each metric; None for infinity."""
        return plain(latest(self.last, self._fan.last))


def modes(density: Any) -> int:
    """Return the number of modes of the data; 0 if it is not known."""
    return 0 if density is None else len(density.means)
