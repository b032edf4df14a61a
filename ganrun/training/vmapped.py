"""Many runs of one method as one vmapped program.

Each member of the population keeps its own state, seed, traced hyperparameters and data order. These are stacked along
a leading member axis, and the method's step is ``vmap``-ed over it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.datasets.sampler import Cursor, Source
from ganrun.methods.base import Method, Tree
from ganrun.methods.experiment import Experiment, SnapshotArrays, take_snapshot
from ganrun.methods.precision import with_float32_products
from ganrun.methods.run_state import Report, RunState, create, update

# Copies one member's snapshot and the variables that its samples are drawn from to the host.
Fetch = Callable[[], tuple[SnapshotArrays, Tree]]
Own = tuple[str, ...]  # the fields of a source that have a member axis; the others are shared by all members
Options = tuple[tuple[str, Any], ...]  # XLA compiler options: pairs of name and value
PROGRAMS = 16  # size of the cache of compiled programs, which the next batch of a sweep reuses


class VmappedRuns:
    """A population of runs in one vmapped program. A member that fails keeps its state from that step on.

    Args:
        experiments: the runs, all with the same method.
        options: XLA compiler options.

    Raises:
        ValueError: the methods differ.
    """

    def __init__(self, experiments: Sequence[Experiment], options: Options = ()) -> None:
        if any(experiment.method != experiments[0].method for experiment in experiments):
            raise ValueError("only runs with the same method can share a program")
        self.experiments, self._method = experiments, experiments[0].method.for_population()
        self._train, self._train_own = stack_sources(self._windows([Cursor.start()] * len(experiments), 0))
        self._held_out, self._held_out_own = stack_sources([experiment.data.held_out for experiment in experiments])
        self._options = options
        self._programs: dict[Any, Any] = {}

    @property
    def most_steps(self) -> int | None:
        return self.experiments[0].most_steps

    def _windows(self, cursors: Sequence[Cursor], n: int) -> list[Source]:
        """Return the training data of the next ``n`` steps of each member."""
        return [experiment.window(cursor, n) for experiment, cursor in zip(self.experiments, cursors, strict=True)]

    def _window(self, state: RunState, n: int) -> Source:
        """Return the training data of the next ``n`` steps of all members, with their own member axis."""
        if not self.experiments[0].streams:
            return self._train
        cursors = jax.device_get(state.cursor)
        members = [Cursor(cursors.epoch[i], cursors.offset[i]) for i in range(len(self.experiments))]
        return stack_sources(self._windows(members, n))[0]

    def init(self) -> RunState:
        """Return the stacked states before the first step."""
        hparams = _stack([experiment.hparams for experiment in self.experiments])
        seeds = jnp.asarray([experiment.seed for experiment in self.experiments], jnp.uint32)
        return _create(self._method, hparams, seeds, jnp.zeros((1, *self.experiments[0].data.shape)))

    def memory(self, n: int, points: Sequence[np.ndarray]) -> int:
        """Return the bytes that training and snapshots of ``n`` samples need at once; 0 if unknown.

        Compiles the programs if necessary. ``n`` is 0 if no snapshots are taken.
        """
        size = program_bytes(self._training(), self._train, self._held_out)
        if not size:
            return 0
        return size + snapshot_bytes(self._snapshot_program(n, points)) if n else size

    def _training(self) -> Any:
        if "training" not in self._programs:
            state = jax.eval_shape(self.init)
            arguments = (state, self._train, self._held_out, jax.ShapeDtypeStruct((), jnp.int32))
            static = (self._method, self._train_own, self._held_out_own)
            self._programs["training"] = compiled(_advance, static, arguments, self._options)
        return self._programs["training"]

    def _snapshot_program(self, n: int, points: Sequence[np.ndarray]) -> Any:
        if (n, points[0].shape) not in self._programs:
            stacked = jax.ShapeDtypeStruct((len(points), *points[0].shape), jnp.float32)
            arguments = (jax.eval_shape(self.init), self._held_out, stacked)
            self._programs[n, points[0].shape] = compiled(
                _snapshot_members, (self._method, n, self._held_out_own), arguments
            )
        return self._programs[n, points[0].shape]

    def advance(self, state: RunState, n: int) -> tuple[RunState, Report]:
        """Run ``n`` iterations of every member; ``state`` is donated. The report has a leading member axis."""
        result = self._training()(state, self._window(state, n), self._held_out, jnp.int32(n))
        for experiment in self.experiments:
            experiment.prefetch()
        return result

    def compile(self) -> None:
        """Compile the training program if it has not been compiled yet."""
        self._training()

    def snapshot(self, state: RunState, n: int, points: Sequence[np.ndarray]) -> list[Fetch]:
        """Take a snapshot of every member, like :meth:`Experiment.snapshot`; copied to the host at the first fetch."""
        stacked = jnp.asarray(np.stack(points), jnp.float32)
        snapshots = self._snapshot_program(n, points)(state, self._held_out, stacked)
        fetch = functools.cache(lambda: jax.device_get(snapshots))
        return [partial(_member, fetch, i) for i in range(len(self.experiments))]

    def apart(self, state: RunState) -> list[RunState]:
        """Return the state of each member, on the host."""
        key = jax.random.key_impl(state.key)
        host = jax.device_get(dataclasses.replace(state, key=jax.random.key_data(state.key)))
        members = [jax.tree.map(lambda leaf, i=i: leaf[i], host) for i in range(len(self.experiments))]
        return [dataclasses.replace(member, key=jax.random.wrap_key_data(member.key, impl=key)) for member in members]

    def together(self, states: list[RunState]) -> RunState:
        """Stack the states of the members, the inverse of :meth:`apart`."""
        return _stack(states)

    def freeze(self, state: RunState, frozen: Sequence[bool]) -> RunState:
        """Return ``state`` with the ``frozen`` members marked as failed: they take no further step."""
        bad_step = jnp.where(
            jnp.asarray(frozen), jnp.maximum(state.accumulator.bad_step, 1), state.accumulator.bad_step
        )
        return dataclasses.replace(state, accumulator=dataclasses.replace(state.accumulator, bad_step=bad_step))


@functools.lru_cache(maxsize=PROGRAMS)
def _compiled(function: Any, static: tuple[Any, ...], leaves: tuple[Any, ...], tree: Any, options: Options) -> Any:
    lowered = function.lower(*static, *jax.tree.unflatten(tree, leaves))
    return lowered.compile(compiler_options=dict(options) or None)


def compiled(function: Any, static: tuple[Any, ...], arguments: tuple[Any, ...], options: Options = ()) -> Any:
    """Return ``function(*static, *arguments)`` compiled for arguments of these shapes, cached across batches."""
    leaves, tree = jax.tree.flatten(arguments)
    shapes = tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves)
    return _compiled(function, static, shapes, tree, options)


def program_bytes(program: Any, train: Any, held_out: Any) -> int:
    """Return the bytes that the compiled training ``program`` needs with its data; 0 if unknown."""
    analysis = program.memory_analysis()
    if analysis is None:
        return 0
    size = analysis.argument_size_in_bytes + analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    size += sum(array.nbytes for array in _distinct(held_out, train))
    return size + analysis.temp_size_in_bytes + analysis.generated_code_size_in_bytes


def snapshot_bytes(program: Any) -> int:
    """Return the bytes that the compiled snapshot ``program`` needs besides the state and the data; 0 if unknown."""
    analysis = program.memory_analysis()
    if analysis is None:
        return 0
    # Two snapshots may be pending.
    return analysis.temp_size_in_bytes + 2 * analysis.output_size_in_bytes + analysis.generated_code_size_in_bytes


def _member(fetch: Fetch, i: int) -> tuple[SnapshotArrays, Tree]:
    return jax.tree.map(lambda leaf: leaf[i], fetch())


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def stack_sources(sources: Sequence[Any]) -> tuple[Source, Own]:
    """Return the sources as one with a leading member axis, and the names of the fields that have this axis.

    Fields that all members share are taken from the first source and not copied.
    """
    first = sources[0]
    own = tuple(name for name in _arrays(first) if name not in first.SHARED)
    stacked = {name: _stack([getattr(source, name) for source in sources]) for name in own}
    return dataclasses.replace(first, **stacked), own


def _distinct(source: Any, other: Any) -> list[jax.Array]:
    """Return the arrays of ``source`` that ``other`` does not contain."""
    known = {id(array) for array in jax.tree.leaves(other)}
    return [array for array in jax.tree.leaves(source) if id(array) not in known]


def _axes(source: Any, own: Own) -> Any:
    return dataclasses.replace(source, **{name: 0 if name in own else None for name in _arrays(source)})


def _arrays(source: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(source) if field.metadata.get("pytree_node", True)]


@partial(jax.jit, static_argnums=0)
@with_float32_products
def _create(method: Method, hparams: Tree, seeds: jax.Array, example: jax.Array) -> RunState:
    return jax.vmap(lambda member, seed: create(method, member, seed, example))(hparams, seeds)


@partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
@with_float32_products
def _advance(
    method: Method, own: Own, held_out_own: Own, state: RunState, source: Source, held_out: Source, n: jax.Array
) -> tuple[RunState, Report]:
    axes = (0, _axes(source, own), _axes(held_out, held_out_own))
    step = jax.vmap(partial(_unless_failed, method), in_axes=axes)
    state = jax.lax.fori_loop(0, n, lambda _, now: step(now, source, held_out), state)
    return state, jax.vmap(Report.of)(state.accumulator)


def _unless_failed(method: Method, state: RunState, source: Source, held_out: Source) -> RunState:
    after = update(method, state, source, held_out)
    going = state.accumulator.bad_step == 0
    kept = jax.tree.map(lambda new, old: jnp.where(going, new, old), _without_key(after), _without_key(state))
    return dataclasses.replace(kept, key=state.key)


def _without_key(state: RunState) -> RunState:
    return dataclasses.replace(state, key=jnp.zeros(()))


@partial(jax.jit, static_argnums=(0, 1, 2))
@with_float32_products
def _snapshot_members(method: Method, n: int, own: Own, state: RunState, held_out: Source, points: jax.Array) -> Any:
    def snapshot(state: RunState, held_out: Source, points: jax.Array) -> Any:
        return take_snapshot(method, state, held_out, points, n)

    return jax.vmap(snapshot, in_axes=(0, _axes(held_out, own), 0))(state, held_out, points)
