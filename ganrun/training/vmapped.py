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
from ganrun.mesh import ONE_DEVICE, Mesh, fetch
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
        mesh: the devices; the number of experiments is a multiple of those along ``population``.

    Raises:
        ValueError: the methods differ.
    """

    def __init__(self, experiments: Sequence[Experiment], options: Options = (), mesh: Mesh = ONE_DEVICE) -> None:
        if any(experiment.method != experiments[0].method for experiment in experiments):
            raise ValueError("only runs with the same method can share a program")
        self.experiments, self._method = experiments, experiments[0].method.for_population()
        self.mesh, self._options = mesh, options
        self._feed = experiments[0].feed_for(experiments, mesh)
        if self._feed is None:
            train, self._train_own = stack_sources([experiment.data.train for experiment in experiments])
            self._train = mesh.source(train, self._train_own)
        else:
            self._train = self._feed.window(Cursor.start(), 0)
            self._train_own = _own(self._train)
        held_out, self._held_out_own = stack_sources([experiment.data.held_out for experiment in experiments])
        self._held_out = mesh.source(held_out, self._held_out_own)
        self._programs: dict[Any, Any] = {}

    @property
    def most_steps(self) -> int | None:
        return self.experiments[0].most_steps

    def _window(self, state: RunState, n: int) -> Source:
        """Return the training data of the next ``n`` steps of all members, with their own member axis."""
        if self._feed is None:
            return self._train
        cursors = fetch(self.mesh.gathered(state.cursor))
        return self._feed.window(cursors, n * self.experiments[0].demand.per_step)

    def init(self) -> RunState:
        """Return the stacked states before the first step."""
        hparams = _stack([experiment.hparams for experiment in self.experiments])
        seeds = jnp.asarray([experiment.seed for experiment in self.experiments], jnp.uint32)
        state = _create(self._method, hparams, seeds, jnp.zeros((1, *self.experiments[0].data.shape)))
        return self.mesh.placed(state, members=True)

    def _abstract(self) -> RunState:
        """Return the shapes of the stacked states, and where they are placed."""
        members = len(self.experiments)
        stacked = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype), self.experiments[0].abstract()
        )
        return self.mesh.abstract(stacked, members=True)

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
            arguments = (self._abstract(), self._train, self._held_out, jax.ShapeDtypeStruct((), jnp.int32))
            static = (self._method, self._train_own, self._held_out_own)
            self._programs["training"] = compiled(_advance, static, arguments, self._options, self.mesh)
        return self._programs["training"]

    def _snapshot_program(self, n: int, points: Sequence[np.ndarray]) -> Any:
        if (n, points[0].shape) not in self._programs:
            stacked = jax.ShapeDtypeStruct((len(points), *points[0].shape), jnp.float32)
            arguments = (self._abstract(), self._held_out, stacked)
            static = (self._method, n, self._held_out_own)
            self._programs[n, points[0].shape] = compiled(_snapshot_members, static, arguments, mesh=self.mesh)
        return self._programs[n, points[0].shape]

    def advance(self, state: RunState, n: int) -> tuple[RunState, Report]:
        """Run ``n`` iterations of every member; ``state`` is donated. The report has a leading member axis."""
        result = self._training()(state, self._window(state, n), self._held_out, jnp.int32(n))
        if self._feed is not None:
            self._feed.prefetch()
        return result

    def compile(self) -> None:
        """Compile the training program if it has not been compiled yet."""
        self._training()

    def snapshot(self, state: RunState, n: int, points: Sequence[np.ndarray]) -> list[Fetch]:
        """Take a snapshot of every member, like :meth:`Experiment.snapshot`; copied to the host at the first fetch."""
        stacked = jnp.asarray(np.stack(points), jnp.float32)
        snapshots = self.mesh.gathered(self._snapshot_program(n, points)(state, self._held_out, stacked))
        fetched = functools.cache(lambda: jax.device_get(snapshots))
        return [partial(_member, fetched, i) for i in range(len(self.experiments))]

    def apart(self, state: RunState) -> list[RunState]:
        """Return the state of each member, on the host."""
        host = fetch(self.mesh.gathered(state))
        return [jax.tree.map(lambda leaf, i=i: leaf[i], host) for i in range(len(self.experiments))]

    def together(self, states: list[RunState]) -> RunState:
        """Stack the states of the members, the inverse of :meth:`apart`."""
        return self.mesh.placed(_stack(states), members=True)

    def freeze(self, state: RunState, frozen: Sequence[bool]) -> RunState:
        """Return ``state`` with the ``frozen`` members marked as failed: they take no further step."""
        before = state.accumulator.bad_step
        where = before.sharding if self.mesh.size > 1 else None
        bad_step = jax.jit(_frozen, out_shardings=where)(before, np.asarray(frozen, bool))
        return dataclasses.replace(state, accumulator=dataclasses.replace(state.accumulator, bad_step=bad_step))


def _frozen(bad_step: jax.Array, frozen: jax.Array) -> jax.Array:
    return jnp.where(frozen, jnp.maximum(bad_step, 1), bad_step)


@functools.lru_cache(maxsize=PROGRAMS)
def _compiled(
    function: Any, static: tuple[Any, ...], leaves: tuple[Any, ...], tree: Any, options: Options, mesh: Mesh
) -> Any:
    with mesh.context():
        lowered = function.lower(*static, *jax.tree.unflatten(tree, leaves), mesh=mesh)
    return lowered.compile(compiler_options=dict(options) or None)


def compiled(
    function: Any,
    static: tuple[Any, ...],
    arguments: tuple[Any, ...],
    options: Options = (),
    mesh: Mesh = ONE_DEVICE,
) -> Any:
    """Return ``function(*static, *arguments)`` compiled for arguments of these shapes, cached across batches."""
    leaves, tree = jax.tree.flatten(arguments)

    def shape(leaf: Any) -> jax.ShapeDtypeStruct:
        where = getattr(leaf, "sharding", None)
        placed = where if isinstance(where, jax.sharding.NamedSharding) else None
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placed)

    return _compiled(function, static, tuple(map(shape, leaves)), tree, options, mesh)


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
    own = _own(first)
    stacked = {name: _stack([getattr(source, name) for source in sources]) for name in own}
    return dataclasses.replace(first, **stacked), own


def _distinct(source: Any, other: Any) -> list[jax.Array]:
    """Return the arrays of ``source`` that ``other`` does not contain."""
    known = {id(array) for array in jax.tree.leaves(other)}
    return [array for array in jax.tree.leaves(source) if id(array) not in known]


def _axes(source: Any, own: Own) -> Any:
    return dataclasses.replace(source, **{name: 0 if name in own else None for name in _arrays(source)})


def _own(source: Any) -> Own:
    return tuple(name for name in _arrays(source) if name not in source.SHARED)


def _arrays(source: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(source) if field.metadata.get("pytree_node", True)]


@partial(jax.jit, static_argnums=0)
@with_float32_products
def _create(method: Method, hparams: Tree, seeds: jax.Array, example: jax.Array) -> RunState:
    return jax.vmap(lambda member, seed: create(method, member, seed, example))(hparams, seeds)


@partial(jax.jit, static_argnums=(0, 1, 2), static_argnames="mesh", donate_argnums=3)
@with_float32_products
def _advance(
    method: Method,
    own: Own,
    held_out_own: Own,
    state: RunState,
    source: Source,
    held_out: Source,
    n: jax.Array,
    mesh: Mesh = ONE_DEVICE,
) -> tuple[RunState, Report]:
    axes = (0, _axes(source, own), _axes(held_out, held_out_own))
    step = jax.vmap(partial(_unless_failed, method, mesh), in_axes=axes, spmd_axis_name=mesh.member_axis)
    state = jax.lax.fori_loop(0, n, lambda _, now: step(now, source, held_out), state)
    report = mesh.everywhere(jax.vmap(Report.of)(state.accumulator))
    return mesh.constrained(state, members=True), report  # the report has arrays of the state, but on all devices


def _unless_failed(method: Method, mesh: Mesh, state: RunState, source: Source, held_out: Source) -> RunState:
    after = update(method, state, source, held_out)
    going = state.accumulator.bad_step == 0
    kept = jax.tree.map(lambda new, old: jnp.where(going, new, old), _without_key(after), _without_key(state))
    return mesh.constrained(dataclasses.replace(kept, key=state.key))


def _without_key(state: RunState) -> RunState:
    return dataclasses.replace(state, key=jnp.zeros(()))


@partial(jax.jit, static_argnums=(0, 1, 2), static_argnames="mesh")
@with_float32_products
def _snapshot_members(
    method: Method,
    n: int,
    own: Own,
    state: RunState,
    held_out: Source,
    points: jax.Array,
    mesh: Mesh = ONE_DEVICE,
) -> Any:
    def snapshot(state: RunState, held_out: Source, points: jax.Array) -> Any:
        return take_snapshot(method, state, held_out, points, n)

    axes = (0, _axes(held_out, own), 0)
    return jax.vmap(snapshot, in_axes=axes, spmd_axis_name=mesh.member_axis)(state, held_out, points)
