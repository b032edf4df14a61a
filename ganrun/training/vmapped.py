"""Many runs of one spec as one vmapped program.

Each member of the population keeps its own state, seed, traced hyperparameters and data order. These are stacked along
a leading member axis, and Algorithm 1 is ``vmap``-ed over it.
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

from ganrun.datasets.sampler import Source
from ganrun.methods.gan.algorithm import create, update
from ganrun.methods.gan.gan import Gan, Report, SnapshotArrays, report_of, take_snapshot
from ganrun.methods.gan.state import GanSpec, State, Tree

# Copies one member's snapshot and the variables of its averaged generator to the host.
Fetch = Callable[[], tuple[SnapshotArrays, Tree]]
Own = tuple[str, ...]  # the fields of a source that have a member axis; the others are shared by all members
Options = tuple[tuple[str, Any], ...]  # XLA compiler options: pairs of name and value
PROGRAMS = 16  # size of the cache of compiled programs, which the next batch of a sweep reuses


class VmappedRuns:
    """A population of runs in one vmapped program. A member that fails keeps its state from that step on.

    Args:
        gans: the runs, all with the same spec.
        options: XLA compiler options.

    Raises:
        ValueError: the specs differ.
    """

    def __init__(self, gans: Sequence[Gan], options: Options = ()) -> None:
        if any(gan.spec != gans[0].spec for gan in gans):
            raise ValueError("only runs with the same spec can share a program")
        self.gans, self._spec = gans, with_matmul_convolutions(gans[0].spec)
        self._train, self._train_own = stack_sources([gan.data.train for gan in gans])
        self._held_out, self._held_out_own = stack_sources([gan.data.held_out for gan in gans])
        self._options = options
        self._programs: dict[Any, Any] = {}

    def init(self) -> State:
        """Return the stacked states before the first step."""
        hparams = _stack([gan.hparams for gan in self.gans])
        seeds = jnp.asarray([gan.seed for gan in self.gans], jnp.uint32)
        return _create(self._spec, hparams, seeds, jnp.zeros((1, *self.gans[0].data.shape)))

    def memory(self, n: int, points: Sequence[np.ndarray]) -> int:
        """Return the bytes that training and snapshots of ``n`` samples need at once; 0 if unknown.

        Compiles the programs if necessary. ``n`` is 0 if no snapshots are taken.
        """
        training = self._training().memory_analysis()
        if training is None:
            return 0
        size = training.argument_size_in_bytes + training.output_size_in_bytes - training.alias_size_in_bytes
        size += sum(array.nbytes for array in _distinct(self._held_out, self._train))
        size += training.temp_size_in_bytes + training.generated_code_size_in_bytes
        snapshot = self._snapshot_program(n, points).memory_analysis() if n else None
        if snapshot is None:
            return size
        # The snapshot's other argument is the state, which is counted above. Two snapshots may be pending.
        return (
            size
            + snapshot.temp_size_in_bytes
            + 2 * snapshot.output_size_in_bytes
            + snapshot.generated_code_size_in_bytes
        )

    def _training(self) -> Any:
        if "training" not in self._programs:
            state = jax.eval_shape(self.init)
            arguments = (state, self._train, self._held_out, jax.ShapeDtypeStruct((), jnp.int32))
            static = (self._spec, self._train_own, self._held_out_own)
            self._programs["training"] = compiled(_advance, static, arguments, self._options)
        return self._programs["training"]

    def _snapshot_program(self, n: int, points: Sequence[np.ndarray]) -> Any:
        if (n, points[0].shape) not in self._programs:
            stacked = jax.ShapeDtypeStruct((len(points), *points[0].shape), jnp.float32)
            arguments = (jax.eval_shape(self.init), self._held_out, stacked)
            self._programs[n, points[0].shape] = compiled(
                _snapshot_members, (self._spec, n, self._held_out_own), arguments
            )
        return self._programs[n, points[0].shape]

    def advance(self, state: State, n: int) -> tuple[State, Report]:
        """Run ``n`` iterations of every member; ``state`` is donated. The report has a leading member axis."""
        return self._training()(state, self._train, self._held_out, jnp.int32(n))

    def compile(self) -> None:
        """Compile the training program if it has not been compiled yet."""
        self._training()

    def snapshot(self, state: State, n: int, points: Sequence[np.ndarray]) -> list[Fetch]:
        """Take a snapshot of every member, as :meth:`Gan.snapshot` does; copied to the host at the first fetch only."""
        stacked = jnp.asarray(np.stack(points), jnp.float32)
        snapshots = self._snapshot_program(n, points)(state, self._held_out, stacked)
        fetch = functools.cache(lambda: jax.device_get(snapshots))
        return [partial(_member, fetch, i) for i in range(len(self.gans))]

    def apart(self, state: State) -> list[State]:
        """Return the state of each member, on the host."""
        key = jax.random.key_impl(state.key)
        host = jax.device_get(dataclasses.replace(state, key=jax.random.key_data(state.key)))
        members = [jax.tree.map(lambda leaf, i=i: leaf[i], host) for i in range(len(self.gans))]
        return [dataclasses.replace(member, key=jax.random.wrap_key_data(member.key, impl=key)) for member in members]

    def together(self, states: list[State]) -> State:
        """Stack the states of the members, the inverse of :meth:`apart`."""
        return _stack(states)

    def freeze(self, state: State, frozen: Sequence[bool]) -> State:
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
    stacked = {name: jnp.stack([getattr(source, name) for source in sources]) for name in own}
    return dataclasses.replace(first, **stacked), own


def with_matmul_convolutions(spec: GanSpec) -> GanSpec:
    """Return ``spec`` with every convolution of form ``auto`` computed as a matrix product.

    Under ``vmap``, XLA's own become grouped convolutions, which are slow on every device.
    """
    networks = {name: _as_products(getattr(spec, name)) for name in ("generator", "discriminator")}
    return dataclasses.replace(spec, **networks)


def _as_products(network: Any) -> Any:
    """Return ``network`` with that form, also inside wrappers."""
    changes = {
        field.name: _as_products(getattr(network, field.name))
        for field in dataclasses.fields(network)
        if field.name in ("generator", "encoder", "module")
    }
    if getattr(network, "form", None) == "auto":
        changes["form"] = "matmul"
    if not changes:
        return network
    return network.clone(**changes) if hasattr(network, "clone") else dataclasses.replace(network, **changes)


def _distinct(source: Any, other: Any) -> list[jax.Array]:
    """Return the arrays of ``source`` that ``other`` does not contain."""
    known = {id(array) for array in jax.tree.leaves(other)}
    return [array for array in jax.tree.leaves(source) if id(array) not in known]


def _axes(source: Any, own: Own) -> Any:
    return dataclasses.replace(source, **{name: 0 if name in own else None for name in _arrays(source)})


def _arrays(source: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(source) if field.metadata.get("pytree_node", True)]


@partial(jax.jit, static_argnums=0)
def _create(spec: GanSpec, hparams: Tree, seeds: jax.Array, example: jax.Array) -> State:
    return jax.vmap(lambda member, seed: create(spec, member, seed, example))(hparams, seeds)


@partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
def _advance(
    spec: GanSpec, own: Own, held_out_own: Own, state: State, source: Source, held_out: Source, n: jax.Array
) -> tuple[State, Report]:
    axes = (0, _axes(source, own), _axes(held_out, held_out_own))
    step = jax.vmap(partial(_unless_failed, spec), in_axes=axes)
    state = jax.lax.fori_loop(0, n, lambda _, now: step(now, source, held_out), state)
    return state, jax.vmap(report_of)(state.accumulator)


def _unless_failed(spec: GanSpec, state: State, source: Source, held_out: Source) -> State:
    after = update(spec, state, source, held_out)
    going = state.accumulator.bad_step == 0
    kept = jax.tree.map(lambda new, old: jnp.where(going, new, old), _without_key(after), _without_key(state))
    return dataclasses.replace(kept, key=state.key)


def _without_key(state: State) -> State:
    return dataclasses.replace(state, key=jnp.zeros(()))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _snapshot_members(spec: GanSpec, n: int, own: Own, state: State, held_out: Source, points: jax.Array) -> Any:
    def snapshot(state: State, held_out: Source, points: jax.Array) -> Any:
        return take_snapshot(spec, state, held_out, points, n)

    return jax.vmap(snapshot, in_axes=(0, _axes(held_out, own), 0))(state, held_out, points)
