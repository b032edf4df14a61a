"""Checkpoints: the whole state of a run, written atomically and verified by checksums when it is read.

A checkpoint is a folder named by its step (:mod:`~ganrun.storage.checksums`). ``state.safetensors`` holds every array
by its path in the state, ``metadata.json`` what else a resumed run needs, and ``snapshots.safetensors``, where there
are any, the snapshots that had not been evaluated yet. All files are data; none of them is executed.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save as to_safetensors

from ganrun.errors import GanrunError, cannot_write, shown
from ganrun.storage import checksums
from ganrun.storage.checksums import Damaged
from ganrun.storage.safe_io import parsed

Tree = Any

STATE, SNAPSHOTS, METADATA = "state.safetensors", "snapshots.safetensors", "metadata.json"
MAX_METADATA = 1 << 24  # bytes of metadata.json, which has at most a few thousand file sizes and metrics
MAX_SNAPSHOTS = 1 << 30  # bytes of snapshots.safetensors, which holds a few snapshots
PER_ARRAY = 1024  # maximum bytes per array in the header of a safetensors file
# The safetensors names of the dtypes that a state can have.
TYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64", "bool": "BOOL"}
TYPES |= {f"{sign}int{bits}": f"{sign.upper() or 'I'}{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
STEP = re.compile(r"0|[1-9][0-9]{0,9}")  # a step, as the name of a checkpoint's folder
NAMES = {short: name for name, short in TYPES.items()}

_writers = ThreadPoolExecutor(4, thread_name_prefix="ganrun-checkpoints")


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

        Returns once everything is copied to the host; the files are written asynchronously.

        Raises:
            GanrunError: the state holds a NaN or Inf, or the previous checkpoint could not be written.
        """
        arrays = flatten(state)
        if broken := not_finite(arrays):
            raise GanrunError(f"Step {step} is not saved: {broken[0]} holds a NaN or Inf.")
        self.wait()
        if step != self.latest():
            arrays_of_snapshots = {
                f"{i}/{name}": array
                for i, snapshot in enumerate(snapshots)
                for name, array in flatten(snapshot).items()
            }
            self._writing = _writers.submit(self._write, step, arrays, metadata, arrays_of_snapshots)

    def _write(
        self,
        step: int,
        arrays: dict[str, np.ndarray],
        metadata: dict[str, Any],
        arrays_of_snapshots: dict[str, np.ndarray],
    ) -> None:
        files = {STATE: to_safetensors(arrays), METADATA: (json.dumps(metadata) + "\n").encode()}
        if arrays_of_snapshots:
            files[SNAPSHOTS] = to_safetensors(arrays_of_snapshots)
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
        limits = {STATE: _max_bytes(target), METADATA: MAX_METADATA, SNAPSHOTS: MAX_SNAPSHOTS}
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


def not_finite(arrays: dict[str, np.ndarray]) -> list[str]:
    """Return the names of the ``arrays`` that hold a NaN or Inf."""
    floats = {name: array for name, array in arrays.items() if jnp.issubdtype(array.dtype, jnp.floating)}
    return [name for name, array in floats.items() if not np.isfinite(array).all()]


def _max_bytes(target: Tree) -> int:
    """Return the maximum size in bytes of a file with the arrays of ``target``."""
    leaves = named(target).values()
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves) + PER_ARRAY * (len(leaves) + 1)


def stored_arrays(content: bytes, name: str) -> dict[str, Any]:
    """Return the arrays of the safetensors file ``content`` by name: dtype, shape and bytes of each."""
    try:
        return dict(deserialize(content))
    except SafetensorError as error:
        raise Damaged(f"{name} is not a safetensors file ({error})") from error


def fitted(stored: dict[str, Any], target: Tree) -> Tree:
    """Return the arrays ``stored`` in the structure of ``target``; refuse other names, shapes and dtypes."""
    expected = named(target)
    actual = {name: (NAMES.get(array["dtype"]), *array["shape"]) for name, array in stored.items()}
    if (different := _first_difference(actual, _types(expected))) is not None:
        raise Damaged(f"it has {different[0]}, this run {different[1]}")
    arrays = {
        name: np.frombuffer(bytearray(stored[name]["data"]), leaf.dtype).reshape(leaf.shape)
        for name, leaf in expected.items()
    }
    return unflatten(target, arrays)


def difference(before: Tree, now: Tree) -> tuple[str, str] | None:
    """Return the first array, by name, in which the shapes of two states differ, described for each of them.

    Args:
        before: the shapes and dtypes of a state.
        now: those of another.

    Returns:
        None if both states have the same arrays.
    """
    return _first_difference(_types(named(before)), _types(named(now)))


def _types(arrays: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return the dtype and the shape of each of ``arrays``."""
    return {name: (str(array.dtype), *array.shape) for name, array in arrays.items()}


def _first_difference(one: dict[str, tuple[Any, ...]], other: dict[str, tuple[Any, ...]]) -> tuple[str, str] | None:
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            return _described(name, one.get(name)), _described(name, other.get(name))
    return None


def _described(name: str, array: tuple[Any, ...] | None) -> str:
    return f"no {name}" if array is None else f"{name} of type {array[0]} and shape {array[1:]}"


def _metadata(content: bytes) -> dict[str, Any]:
    try:
        metadata = parsed(content, finite=True)
    except ValueError as error:
        raise Damaged(f"{METADATA} is not JSON") from error
    if not isinstance(metadata, dict):
        raise Damaged(f"{METADATA} is not as ganrun writes it")
    return metadata


def flatten(state: Tree) -> dict[str, np.ndarray]:
    """Return every array of ``state`` by its path, copied to the host, since donated buffers are about to be reused."""
    return {name: np.array(leaf, order="C") for name, leaf in named(_plain_keys(state)).items()}


def unflatten(target: Tree, arrays: dict[str, Any]) -> Tree:
    """Return ``arrays`` in the structure of ``target``, the inverse of :func:`flatten`."""
    leaves, structure = jax.tree.flatten(target)
    values = [jnp.asarray(arrays[name]) for name in named(target)]
    typed = [
        jax.random.wrap_key_data(value) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else value
        for leaf, value in zip(leaves, values, strict=True)
    ]
    return jax.tree.unflatten(structure, typed)


def _plain_keys(state: Tree) -> Tree:
    def plain(leaf: Any) -> Any:
        return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf

    return jax.tree.map(plain, state)


def named(tree: Tree) -> dict[str, Any]:
    """Return the leaves of ``tree`` by path; a PRNG key of which only the shape is known becomes that of its data."""
    named = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if isinstance(leaf, jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.eval_shape(jax.random.key_data, leaf)
        named[name] = leaf
    return named
