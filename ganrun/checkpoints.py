"""The whole state out and in, atomically: a checkpoint is there complete or not at all.

A checkpoint is a folder named by its step, written by Orbax into a temporary folder and renamed when complete, so
that a kill at any moment leaves the one before it. It holds arrays by name and a small JSON note, nothing that runs.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from ganrun.errors import GanrunError

Tree = Any


class Checkpoints:
    """The checkpoints of one run directory, newest last; ``keep`` of them stay.

    ``read_only`` changes nothing in the folder, which another process may be training in: opened for writing, what a
    killed run left half written is cleaned up, and that could as well be what a living one is just writing.
    """

    def __init__(self, folder: Path, keep: int = 2, *, read_only: bool = False) -> None:
        self.folder = folder
        # Not Orbax's own read_only, which warns about settings that nobody made; nothing is written without save().
        options = ocp.CheckpointManagerOptions(create=False)
        if not read_only:
            options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True, create=False)
            folder.mkdir(parents=True, exist_ok=True)
        handlers = {"state": ocp.StandardCheckpointHandler(), "note": ocp.JsonCheckpointHandler()}
        self._manager = ocp.CheckpointManager(folder.resolve(), options=options, item_handlers=handlers)

    def latest(self) -> int | None:
        """Return the step of the newest complete checkpoint."""
        return self._manager.latest_step()

    def common(self, others: Sequence[Checkpoints]) -> int:
        """Return the newest step of which these and all ``others`` have a checkpoint; 0 where there is none."""
        shared = set(self._manager.all_steps()).intersection(*(other._manager.all_steps() for other in others))
        return max(shared, default=0)

    def forget_after(self, step: int) -> None:
        """Delete the checkpoints of later steps, which are about to be computed once more."""
        for later in [saved for saved in self._manager.all_steps() if saved > step]:
            self._manager.delete(later)

    def save(self, step: int, state: Tree, note: dict[str, Any]) -> None:
        """Save ``state`` as of ``step`` with a JSON ``note``; returns once the state is copied, written later.

        Raises:
            GanrunError: the state holds a NaN or Inf, or the folder cannot be written.
        """
        arrays = flatten(state)
        broken = [name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
        if broken:
            raise GanrunError(f"Step {step} is not saved: {broken[0]} holds a NaN or Inf.")
        if step == self.latest():
            return
        items = ocp.args.Composite(state=ocp.args.StandardSave(arrays), note=ocp.args.JsonSave(note))
        self._manager.save(step, args=items)

    def wait(self) -> None:
        """Return when everything given to :meth:`save` is on disk."""
        self._manager.wait_until_finished()

    def restore(self, target: Tree, step: int | None = None) -> tuple[Tree, dict[str, Any]]:
        """Return the state of ``step`` (default: the newest) in the shape of ``target``, and its note.

        Raises:
            GanrunError: there is no checkpoint, or it does not fit ``target``.
        """
        step = self.latest() if step is None else step
        if step is None:
            raise GanrunError(f"{self.folder} holds no complete checkpoint.")
        wanted = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in _named(target).items()}
        items = ocp.args.Composite(state=ocp.args.StandardRestore(wanted), note=ocp.args.JsonRestore())
        # Where a file is damaged, Orbax's readers go on in threads and complain, one traceback each, about an event
        # loop that is gone. Those say nothing that the error does not; they come until Python ends.
        loud, sys.unraisablehook = sys.unraisablehook, _without_closed_loops
        try:
            self._compare(step, wanted)
            read = self._manager.restore(step, args=items)
        except (ValueError, KeyError, OSError) as error:
            reason = textwrap.shorten(str(error).partition(" [tensorstore_spec")[0], 240, placeholder=" ...")
            raise GanrunError(f"Checkpoint {self.folder / str(step)} cannot be read: {reason}") from error
        sys.unraisablehook = loud
        return unflatten(target, read["state"]), dict(read["note"])

    def _compare(self, step: int, wanted: dict[str, jax.ShapeDtypeStruct]) -> None:
        """Refuse arrays of other names or shapes: Orbax itself would cut or pad them without a word."""
        stored = self._manager.item_metadata(step)["state"]
        found = {name: tuple(array.shape) for name, array in stored.items()}
        for name in sorted(found.keys() | wanted.keys()):
            shape = wanted[name].shape if name in wanted else None
            if found.get(name) != shape:
                raise ValueError(f"it has {name} of shape {found.get(name)}, this run {shape}")

    def close(self) -> None:
        """Finish writing and let go of the folder."""
        self._manager.close()


def _without_closed_loops(fault: Any) -> None:
    if "Event loop is closed" not in str(fault.exc_value):
        sys.__unraisablehook__(fault)


def flatten(state: Tree) -> dict[str, np.ndarray]:
    """Return every array of ``state`` by its path, copied to the host (donated buffers are about to be reused)."""
    return {name: np.array(leaf) for name, leaf in _named(_plain_keys(state)).items()}


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
