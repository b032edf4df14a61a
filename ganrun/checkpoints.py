"""The whole state out and in, verified: a checkpoint is there complete or not at all, and is read only if intact.

A checkpoint is a sealed folder (:mod:`ganrun.sealed`) named by its step: ``state.safetensors`` holds every array by
its path in the state, ``note.json`` what else it takes to go on, and ``looks.safetensors``, where it is needed, what
had been seen of the run and was not written yet. All are data and nothing that runs.
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

from ganrun import sealed
from ganrun.errors import GanrunError, cannot_write, shown
from ganrun.sealed import Damaged
from ganrun.untrusted import parsed

Tree = Any

STATE, LOOKS, NOTE = "state.safetensors", "looks.safetensors", "note.json"
MOST_NOTE = 1 << 24  # bytes of the note, whose events' sizes and metrics are a few thousand at most
MOST_LOOKS = 1 << 30  # bytes of looks; they are few
PER_ARRAY = 1024  # bytes that an array may take in the header
# The names that the format has for the types that a state can have.
TYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64", "bool": "BOOL"}
TYPES |= {f"{sign}int{bits}": f"{sign.upper() or 'I'}{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
STEP = re.compile(r"0|[1-9][0-9]{0,9}")  # of a run, as the name of a folder
NAMES = {short: name for name, short in TYPES.items()}

_writers = ThreadPoolExecutor(4, thread_name_prefix="ganrun-checkpoints")


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds."""

    step: int
    state: Tree
    note: dict[str, Any]
    looks: list[Tree]


class Checkpoints:
    """The checkpoints of one run directory.

    ``read_only`` changes nothing in the folder, which another process may be training in: opened for writing, what a
    killed run left half written is cleaned up, and that could as well be what a living one is just writing.

    Attributes:
        keep: how many of the newest stay.
        ratings: what checkpoints are worth, by step; the lowest rating stays too, and what is None as yet.
        damaged: a line for each checkpoint that was passed over because it cannot be read.
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
            sealed.sweep(folder)

    def steps(self) -> list[int]:
        """Return the steps of the complete checkpoints, the newest last."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(int(path.name) for path in found if STEP.fullmatch(path.name) and sealed.is_whole(path))

    def latest(self) -> int | None:
        """Return the step of the newest complete checkpoint."""
        return max(self.steps(), default=None)

    def common(self, others: Sequence[Checkpoints]) -> list[int]:
        """Return the steps of which these and all ``others`` have a complete checkpoint, the newest last."""
        return sorted(set(self.steps()).intersection(*(other.steps() for other in others)))

    def forget_after(self, step: int) -> None:
        """Delete the checkpoints of later steps, which are about to be computed once more."""
        try:
            for later in [saved for saved in self.steps() if saved > step]:
                self._delete(later)
        except OSError as error:
            raise cannot_write(error, self.folder) from error

    def save(self, step: int, state: Tree, note: dict[str, Any], looks: Sequence[Tree] = ()) -> None:
        """Save ``state`` as of ``step`` with a JSON ``note``, and ``looks``, trees of arrays all of one form.

        Returns once all is copied; it is written later.

        Raises:
            GanrunError: the state holds a NaN or Inf, or what was given before could not be written.
        """
        arrays = flatten(state)
        if broken := not_finite(arrays):
            raise GanrunError(f"Step {step} is not saved: {broken[0]} holds a NaN or Inf.")
        self.wait()
        if step != self.latest():
            seen = {f"{i}/{name}": array for i, look in enumerate(looks) for name, array in flatten(look).items()}
            self._writing = _writers.submit(self._write, step, arrays, note, seen)

    def _write(
        self, step: int, arrays: dict[str, np.ndarray], note: dict[str, Any], seen: dict[str, np.ndarray]
    ) -> None:
        files = {STATE: to_safetensors(arrays), NOTE: (json.dumps(note) + "\n").encode()}
        if seen:
            files[LOOKS] = to_safetensors(seen)
        sealed.write(self.folder / str(step), files)
        self._retire()

    def _retire(self) -> None:
        """Delete what need not be kept."""
        steps = self.steps()
        kept = {*steps[-self.keep :], self.best(), *(step for step in steps if self.ratings.get(step, 0.0) is None)}
        for old in steps:
            if old not in kept:
                self._delete(old)

    def best(self) -> int | None:
        """Return the step with the lowest rating, the newest of them; None where none is rated."""
        ratings = {step: self.ratings.get(step) for step in self.steps()}
        known = {step: rating for step, rating in ratings.items() if rating is not None}
        return min(known, key=lambda step: (known[step], -step), default=None)

    def _delete(self, step: int) -> None:
        """Delete a checkpoint, by a name first that nobody takes for a whole one."""
        gone = self.folder / f"{step}{sealed.UNFINISHED}"
        shutil.rmtree(gone, ignore_errors=True)
        (self.folder / str(step)).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def wait(self) -> None:
        """Return when everything given to :meth:`save` is on disk.

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
        """Return the state of ``step`` (default: the newest that can be read) as ``target``, and its note.

        Raises:
            GanrunError: there is no checkpoint, none can be read, or that of ``step`` cannot.
        """
        steps = self.steps() if step is None else [step]
        if not steps:
            raise GanrunError(f"{self.folder} holds no complete checkpoint.")
        for one in reversed(steps):
            try:
                saved = self.read(target, one)
                return saved.state, saved.note
            except Damaged as error:
                self.damaged.append(self.unreadable(one, error))
        others = f" Nor can {len(steps) - 1} others." if len(steps) > 1 else ""
        raise GanrunError(self.damaged[-len(steps)] + others)

    def unreadable(self, step: int, error: Damaged) -> str:
        """Return the line for a checkpoint that cannot be read."""
        return f"Checkpoint {self.folder / str(step)} cannot be read: {shown(str(error), 500)}."

    def read(self, target: Tree, step: int, look: Callable[[], Tree] | None = None) -> Saved:
        """Return the checkpoint of ``step``, its state as ``target``, and its looks in the form of ``look()`` if given.

        Raises:
            Damaged: it is not as it was written, or does not fit.
        """
        limits = {STATE: _most(target), NOTE: MOST_NOTE, LOOKS: MOST_LOOKS}
        try:
            files = sealed.read(self.folder / str(step), limits)
        except OSError as error:
            raise Damaged(str(error.strerror or error)) from error
        for name in (STATE, NOTE):
            if name not in files:
                raise Damaged(f"{name} is missing")
        looks: list[Tree] = []
        if look is not None and LOOKS in files:
            arrays = _arrays(files[LOOKS], LOOKS)
            for i in range(len({name.partition("/")[0] for name in arrays})):
                own = {name.removeprefix(f"{i}/"): one for name, one in arrays.items() if name.startswith(f"{i}/")}
                looks.append(_fitted(own, look()))
        return Saved(step, _fitted(_arrays(files[STATE], STATE), target), _note(files[NOTE]), looks)

    def close(self) -> None:
        """Finish writing, and delete what in the end need not be kept."""
        if self._writing is not None:
            self._writing.exception()
        if self.ratings and self.folder.is_dir():
            with suppress(OSError):
                self._retire()


def not_finite(arrays: dict[str, np.ndarray]) -> list[str]:
    """Return which of ``arrays`` hold a NaN or Inf."""
    floats = {name: array for name, array in arrays.items() if jnp.issubdtype(array.dtype, jnp.floating)}
    return [name for name, array in floats.items() if not np.isfinite(array).all()]


def _most(target: Tree) -> int:
    """Return how many bytes a file with the arrays of ``target`` has at most."""
    leaves = _named(target).values()
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves) + PER_ARRAY * (len(leaves) + 1)


def _arrays(content: bytes, name: str) -> dict[str, Any]:
    """Return what the safetensors file ``content`` holds: type, shape and bytes by name."""
    try:
        return dict(deserialize(content))
    except SafetensorError as error:
        raise Damaged(f"{name} is not a safetensors file ({error})") from error


def _fitted(stored: dict[str, Any], target: Tree) -> Tree:
    """Return the arrays ``stored`` as ``target``; refuse other names, shapes and types."""
    wanted = _named(target)
    for name in sorted(stored.keys() | wanted.keys()):
        found = (NAMES.get(stored[name]["dtype"]), *stored[name]["shape"]) if name in stored else None
        own = (str(wanted[name].dtype), *wanted[name].shape) if name in wanted else None
        if found != own:
            raise Damaged(f"it has {_told(name, found)}, this run {_told(name, own)}")
    arrays = {
        name: np.frombuffer(bytearray(stored[name]["data"]), leaf.dtype).reshape(leaf.shape)
        for name, leaf in wanted.items()
    }
    return unflatten(target, arrays)


def _told(name: str, array: tuple[Any, ...] | None) -> str:
    return f"no {name}" if array is None else f"{name} of type {array[0]} and shape {array[1:]}"


def _note(content: bytes) -> dict[str, Any]:
    try:
        note = parsed(content, finite=True)
    except ValueError as error:
        raise Damaged(f"{NOTE} is not JSON") from error
    if not isinstance(note, dict):
        raise Damaged(f"{NOTE} is not as ganrun writes it")
    return note


def flatten(state: Tree) -> dict[str, np.ndarray]:
    """Return every array of ``state`` by its path, copied to the host (donated buffers are about to be reused)."""
    return {name: np.array(leaf, order="C") for name, leaf in _named(_plain_keys(state)).items()}


def unflatten(target: Tree, arrays: dict[str, Any]) -> Tree:
    """Put ``arrays`` back into the shape of ``target``, the inverse of :func:`flatten`."""
    leaves, structure = jax.tree.flatten(target)
    values = [jnp.asarray(arrays[name]) for name in _named(target)]
    typed = [
        jax.random.wrap_key_data(value) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else value
        for leaf, value in zip(leaves, values, strict=True)
    ]
    return jax.tree.unflatten(structure, typed)


def _plain_keys(state: Tree) -> Tree:
    def plain(leaf: Any) -> Any:
        return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf

    return jax.tree.map(plain, state)


def _named(tree: Tree) -> dict[str, Any]:
    """Return the leaves of ``tree`` by path, with keys as their plain shape when only shapes are known."""
    named = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if isinstance(leaf, jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.eval_shape(jax.random.key_data, leaf)
        named[name] = leaf
    return named
