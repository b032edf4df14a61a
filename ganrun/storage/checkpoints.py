"""Checkpoints: the whole state of a run, written atomically and verified by checksums when it is read.

A checkpoint is a folder named by its step (:mod:`~ganrun.storage.checksums`). ``state.safetensors`` holds every array
by its path in the state, ``metadata.json`` what else a resumed run needs, and ``snapshots.safetensors``, where there
are any, the snapshots that had not been evaluated yet. All files are data; none of them is executed.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import save as to_safetensors

from ganrun.errors import GanrunError, cannot_write, shown
from ganrun.storage import checksums
from ganrun.storage.checksums import Damaged
from ganrun.storage.safe_io import parsed
from ganrun.storage.state_arrays import fitted, max_bytes, not_finite, stored_arrays, views
from ganrun.storage.write_queue import WriteQueue

Tree = Any

STATE, SNAPSHOTS, METADATA = "state.safetensors", "snapshots.safetensors", "metadata.json"
MAX_METADATA = 1 << 24  # bytes of metadata.json, which has at most a few thousand file sizes and metrics
MAX_SNAPSHOTS = 1 << 30  # bytes of snapshots.safetensors, which holds a few snapshots
STEP = re.compile(r"0|[1-9][0-9]{0,9}")  # a step, as the name of a checkpoint's folder

WRITERS = 4  # checkpoints that a process writes at once
WAITING = 128 << 20  # bytes of checkpoints that wait in memory until they are written; a larger one waits alone
_queue = WriteQueue(WRITERS, WAITING)


@dataclass(frozen=True)
class Saved:
    """The content of a checkpoint."""

    step: int
    state: Tree
    metadata: dict[str, Any]
    snapshots: list[Tree]


class Checkpoints:
    """The checkpoints of one run directory.

    With ``read_only`` nothing in the folder is changed, since another process may be training there: opening it for
    writing deletes unfinished checkpoints, which may be left by a killed run but may also be just being written.

    Attributes:
        keep: number of newest checkpoints to keep.
        ratings: rating of checkpoints by step, lower is better. The best one is kept too, and those still None.
        damaged: a message for each checkpoint that was skipped because it cannot be read.
    """

    def __init__(self, folder: Path, keep: int = 2, *, read_only: bool = False) -> None:
        self.folder, self.keep = folder, keep
        self.ratings: dict[int, float | None] = {}
        self.damaged: list[str] = []
        self._writing: Future[None] | None = None
        if not read_only:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise cannot_write(error, folder) from error
            checksums.sweep(folder)

    def steps(self) -> list[int]:
        """Return the steps of the complete checkpoints, the newest last."""
        paths = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(int(path.name) for path in paths if STEP.fullmatch(path.name) and checksums.is_whole(path))

    def latest(self) -> int | None:
        """Return the step of the newest complete checkpoint."""
        return max(self.steps(), default=None)

    def common(self, others: Sequence[Checkpoints]) -> list[int]:
        """Return the steps for which this run and all ``others`` have a complete checkpoint, the newest last."""
        return sorted(set(self.steps()).intersection(*(other.steps() for other in others)))

    def forget_after(self, step: int) -> None:
        """Delete the checkpoints after ``step``, because those steps are about to be repeated."""
        try:
            for later in [saved for saved in self.steps() if saved > step]:
                self._delete(later)
        except OSError as error:
            raise cannot_write(error, self.folder) from error

    def save(self, step: int, state: Tree, metadata: dict[str, Any], snapshots: Sequence[Tree] = ()) -> None:
        """Save ``state`` at ``step``, with JSON ``metadata`` and ``snapshots``, trees of arrays of the same structure.

        Returns once everything is copied to the host, for which it waits while :data:`WAITING` bytes are still being
        written; the files are written asynchronously.

        Raises:
            GanrunError: the state holds a NaN or Inf, or the previous checkpoint could not be written.
        """
        arrays = views(state)
        if broken := not_finite(arrays):
            raise GanrunError(f"Step {step} is not saved: {broken[0]} holds a NaN or Inf.")
        self.wait()
        if step == self.latest():
            return
        of_snapshots = {
            f"{i}/{name}": array for i, snapshot in enumerate(snapshots) for name, array in views(snapshot).items()
        }

        def content() -> dict[str, bytes]:
            files = {STATE: to_safetensors(arrays), METADATA: (json.dumps(metadata) + "\n").encode()}
            return files | ({SNAPSHOTS: to_safetensors(of_snapshots)} if of_snapshots else {})

        size = sum(array.nbytes for array in (*arrays.values(), *of_snapshots.values()))
        self._writing = _queue.submit(size, content, lambda files: self._write(step, files))

    def _write(self, step: int, files: dict[str, bytes]) -> None:
        checksums.write(self.folder / str(step), files)
        self._retire()

    def _retire(self) -> None:
        """Delete the checkpoints that need not be kept."""
        steps = self.steps()
        kept = {*steps[-self.keep :], self.best(), *(step for step in steps if self.ratings.get(step, 0.0) is None)}
        for old in steps:
            if old not in kept:
                self._delete(old)

    def best(self) -> int | None:
        """Return the newest step with the lowest rating; None if no checkpoint is rated."""
        ratings = {step: self.ratings.get(step) for step in self.steps()}
        known = {step: rating for step, rating in ratings.items() if rating is not None}
        return min(known, key=lambda step: (known[step], -step), default=None)

    def _delete(self, step: int) -> None:
        """Delete a checkpoint. It is first renamed to unfinished, so that it never appears complete while it is not."""
        renamed = self.folder / f"{step}{checksums.UNFINISHED}"
        shutil.rmtree(renamed, ignore_errors=True)
        (self.folder / str(step)).rename(renamed)
        shutil.rmtree(renamed, ignore_errors=True)

    def wait(self) -> None:
        """Wait until everything passed to :meth:`save` is on disk.

        Raises:
            GanrunError: it could not be written.
        """
        writing, self._writing = self._writing, None
        try:
            if writing is not None:
                writing.result()
        except OSError as error:
            raise cannot_write(error, self.folder) from error

    def restore(self, target: Tree, step: int | None = None) -> tuple[Tree, dict[str, Any]]:
        """Return the state and the metadata of a checkpoint.

        Args:
            target: a state, or its shapes, whose structure the returned state has.
            step: of the checkpoint; None for the newest one that can be read.

        Raises:
            GanrunError: there is no checkpoint, none can be read, or the one of ``step`` cannot be read.
        """
        steps = self.steps() if step is None else [step]
        if not steps:
            raise GanrunError(f"{self.folder} holds no complete checkpoint.")
        for candidate in reversed(steps):
            try:
                saved = self.read(target, candidate)
                return saved.state, saved.metadata
            except Damaged as error:
                self.damaged.append(self.unreadable(candidate, error))
        others = f" Nor can {len(steps) - 1} others." if len(steps) > 1 else ""
        raise GanrunError(self.damaged[-len(steps)] + others)

    def unreadable(self, step: int, error: Damaged) -> str:
        """Return the message for a checkpoint that cannot be read."""
        return f"Checkpoint {self.folder / str(step)} cannot be read: {shown(str(error), 500)}."

    def read(self, target: Tree, step: int, snapshot: Callable[[], Tree] | None = None) -> Saved:
        """Return the checkpoint of ``step``.

        Args:
            target: a state, or its shapes, whose structure the returned state has.
            step: of the checkpoint.
            snapshot: returns a snapshot, or its shapes, whose structure the returned snapshots have; None to skip them.

        Raises:
            Damaged: the checkpoint has changed since it was written, or does not match ``target``.
        """
        limits = {STATE: max_bytes(target), METADATA: MAX_METADATA, SNAPSHOTS: MAX_SNAPSHOTS}
        try:
            files = checksums.read(self.folder / str(step), limits)
        except OSError as error:
            raise Damaged(str(error.strerror or error)) from error
        for name in (STATE, METADATA):
            if name not in files:
                raise Damaged(f"{name} is missing")
        snapshots: list[Tree] = []
        if snapshot is not None and SNAPSHOTS in files:
            arrays = stored_arrays(files[SNAPSHOTS], SNAPSHOTS)
            for i in range(len({name.partition("/")[0] for name in arrays})):
                prefix = f"{i}/"
                stored = {name.removeprefix(prefix): one for name, one in arrays.items() if name.startswith(prefix)}
                snapshots.append(fitted(stored, snapshot()))
        return Saved(step, fitted(stored_arrays(files[STATE], STATE), target), _metadata(files[METADATA]), snapshots)

    def close(self) -> None:
        """Finish writing, and delete the checkpoints that need not be kept."""
        if self._writing is not None:
            self._writing.exception()
        if self.ratings and self.folder.is_dir():
            with suppress(OSError):
                self._retire()


def _metadata(content: bytes) -> dict[str, Any]:
    try:
        metadata = parsed(content, finite=True)
    except ValueError as error:
        raise Damaged(f"{METADATA} is not JSON") from error
    if not isinstance(metadata, dict):
        raise Damaged(f"{METADATA} is not as ganrun writes it")
    return metadata
