"""The mesh of devices that a run or a population computes on, and where each array is placed.

The mesh has two axes. Along ``population`` the members of a population are distributed; along ``data`` the examples of
each minibatch. The program is the same for every mesh: XLA divides it, and inserts the communication between devices.
A sum over a minibatch, such as a gradient or the statistics of batch norm, is one over the whole minibatch.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

Tree = Any

MEMBERS, DATA = "population", "data"  # the axes of the mesh
MIN_SHARDED = 1024  # elements from which an array of the model is divided; smaller ones are on every device


@dataclass(frozen=True)
class Mesh:
    """A mesh of ``population`` times ``data`` devices. Equal meshes share compiled programs.

    Attributes:
        population: devices that the members of a population are distributed over.
        data: devices that each minibatch is distributed over.
        sharded: whether parameters and optimizer states are divided along ``data``, too (Rajbhandari et al. 2020,
            "ZeRO", stage 3); otherwise every device has all of them.
    """

    population: int = 1
    data: int = 1
    sharded: bool = False

    @property
    def size(self) -> int:
        """Number of devices."""
        return self.population * self.data

    @property
    def member_axis(self) -> str | None:
        """The name of the axis that ``vmap`` over members is distributed along; None on one device."""
        return MEMBERS if self.size > 1 else None

    def for_members(self, members: int) -> Mesh:
        """Return the mesh with at most one device along ``population`` for each of ``members``."""
        return replace(self, population=min(self.population, members))

    def context(self) -> AbstractContextManager[Any]:
        """Return the context in which programs are traced and called: it tells :func:`over_data` the mesh."""
        return jax.set_mesh(_devices(self)) if self.size > 1 else contextlib.nullcontext()

    def replicated(self, tree: Tree) -> Tree:
        """Return ``tree`` with every array on all devices; unchanged on one device."""
        if self.size == 1:
            return tree
        where = NamedSharding(_devices(self), PartitionSpec())
        return jax.tree.map(lambda leaf: _put(leaf, where), tree)

    def source(self, source: Any, own: Sequence[str] = ()) -> Any:
        """Return ``source`` of data on all devices; its fields ``own`` have a member axis and are distributed by it."""
        if self.size == 1 or source is None:
            return source
        if not own:
            return self.replicated(source)
        placed = self.by_member({name: getattr(source, name) for name in own})
        shared = self.replicated(replace(source, **dict.fromkeys(own)))  # its own fields are not copied to all devices
        return replace(shared, **placed)

    def by_member(self, tree: Tree) -> Tree:
        """Return ``tree`` with the leading axis of every array, that of the members, distributed by them."""
        if self.size == 1:
            return tree
        where = NamedSharding(_devices(self), PartitionSpec(MEMBERS))
        return jax.tree.map(lambda leaf: _put(leaf, where), tree)

    def by_rows(self, shape: tuple[int, ...], read: Callable[..., np.ndarray], members: bool = False) -> jax.Array:
        """Return an array whose rows are distributed in equal parts along data; a host reads those of its devices.

        Args:
            shape: ``(rows, ...)``, or with ``members`` ``(members, rows, ...)``.
            read: returns the elements at a range of each of these axes; called once for each device of this host.
            members: whether the first axis is that of the members, which are distributed, too.
        """
        axes = (MEMBERS, DATA) if members else (DATA,)
        if self.size == 1:
            return jnp.asarray(read(*map(range, shape[: len(axes)])))

        def part(index: Any) -> np.ndarray:
            return read(*(range(*one.indices(length)) for one, length in zip(index, shape[: len(axes)], strict=False)))

        return jax.make_array_from_callback(shape, NamedSharding(_devices(self), PartitionSpec(*axes)), part)

    def placed(self, state: Tree, members: bool = False) -> Tree:
        """Return ``state``, a run's or with ``members`` a population's, on the devices where a program has it."""
        return jax.tree.map(_put, state, self.shardings(state, members)) if self.size > 1 else state

    def gathered(self, tree: Tree) -> Tree:
        """Return ``tree`` such that :func:`fetch` can copy it to this host.

        With several hosts, all call this, and wait: beside another program that communicates, hosts could exchange the
        messages of both in different orders.
        """
        if self.size == 1 or all(leaf.is_fully_addressable for leaf in jax.tree.leaves(tree)):
            return tree
        whole = jax.block_until_ready(_gather(_devices(self))(tree))
        return jax.tree.map(lambda leaf: leaf.addressable_data(0), whole)

    def constrained(self, state: Tree, members: bool = False) -> Tree:
        """Return ``state``, a run's or with ``members`` a population's, with its placement as a constraint.

        For use inside a program. Under ``vmap`` along :attr:`member_axis`, where ``state`` is that of one run, the
        member axis is distributed as well.
        """
        return jax.lax.with_sharding_constraint(state, self.shardings(state, members)) if self.size > 1 else state

    def everywhere(self, tree: Tree) -> Tree:
        """Return ``tree`` with the constraint that every device has all of it: for use inside a program."""
        if self.size == 1:
            return tree
        return jax.lax.with_sharding_constraint(tree, NamedSharding(_devices(self), PartitionSpec()))

    def abstract(self, state: Tree, members: bool = False) -> Tree:
        """Return the shapes of ``state`` with the placement that :meth:`placed` gives it."""
        if self.size == 1:
            return state
        return jax.tree.map(
            lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
            state,
            self.shardings(state, members),
        )

    def shardings(self, state: Tree, members: bool = False) -> Tree:
        """Return the sharding of each array of ``state``; only ``model`` and ``averages`` may be divided along data."""
        lead = (MEMBERS,) if members else ()
        devices, paths = _devices(self), jax.tree_util.tree_flatten_with_path(state)
        specs = []
        for path, leaf in paths[0]:
            divided = self.sharded and getattr(path[0], "name", "") in ("model", "averages")
            specs.append(PartitionSpec(*lead, *(divide(leaf.shape[len(lead) :], self.data) if divided else ())))
        return jax.tree.unflatten(paths[1], [NamedSharding(devices, spec) for spec in specs])

    def describe(self) -> str:
        """Return a line that says how the devices are used."""
        axes: Mapping[str, int] = {MEMBERS: self.population, DATA: self.data}
        listed = ", ".join(f"{count} along {axis}" for axis, count in axes.items() if count > 1)
        parameters = "; parameters are sharded" if self.sharded else ""
        return f"mesh: {self.size} devices, {listed}{parameters}"


ONE_DEVICE = Mesh()


def divide(shape: Sequence[int], parts: int) -> tuple[str | None, ...]:
    """Return the axes along which an array of ``shape`` is divided in ``parts``: its largest dimension that allows it.

    Returns:
        One entry for each dimension; empty if the array is small or cannot be divided evenly.
    """
    fitting = [i for i, length in enumerate(shape) if length % parts == 0]
    if not fitting or math.prod(shape) < MIN_SHARDED:
        return ()
    largest = max(fitting, key=lambda i: shape[i])
    return tuple(DATA if i == largest else None for i in range(len(shape)))


def over_data(x: jax.Array) -> jax.Array:
    """Return the rows ``x`` ``(n, ...)`` of a minibatch, distributed along the data axis of the mesh of this context.

    ``x`` is unchanged without a mesh, and if the devices cannot have equally many rows.
    """
    return jax.lax.with_sharding_constraint(x, PartitionSpec(DATA)) if _shares(len(x)) > 1 else x


def on_all(x: jax.Array) -> jax.Array:
    """Return ``x``, computed by every device of the mesh of this context for itself."""
    empty = jax.sharding.get_abstract_mesh().empty
    return x if empty else jax.lax.with_sharding_constraint(x, PartitionSpec())


def joined(one: jax.Array, other: jax.Array) -> jax.Array:
    """Return the rows of two minibatches as one. Those that a device has of both follow each other: no row is moved.

    Args:
        one: ``(n, ...)``.
        other: of the same shape.

    Returns:
        ``(2 n, ...)``; without a mesh, first the rows of ``one`` and then those of ``other``.
    """
    shares = _shares(len(one))
    parts = [x.reshape(shares, -1, *x.shape[1:]) for x in (one, other)]
    return over_data(jnp.concatenate(parts, axis=1).reshape(-1, *one.shape[1:]))


def parted(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the two minibatches of which :func:`joined` has made ``x`` ``(2 n, ...)``."""
    halves = jnp.split(x.reshape(_shares(len(x) // 2), -1, *x.shape[1:]), 2, axis=1)
    one, other = (half.reshape(-1, *x.shape[1:]) for half in halves)
    return one, other


def _shares(rows: int) -> int:
    """Return the number of devices along data that ``rows`` are divided among; 1 if that is impossible."""
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if mesh.empty or rows % mesh.shape[DATA] else mesh.shape[DATA]


def fetch(tree: Tree) -> Tree:
    """Return ``tree`` on the host, copied at once; PRNG keys are keys of the first device."""
    plain = jax.device_get(jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree))

    def as_before(leaf: Any, data: Any) -> Any:
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else data

    return jax.tree.map(as_before, tree, plain)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _put(leaf: Any, where: NamedSharding) -> jax.Array:
    """Return ``leaf``, which every host has, as an array that is placed ``where``."""
    if where.is_fully_addressable:
        return jax.device_put(leaf, where)
    if _is_key(leaf):
        data = _put(jax.random.key_data(leaf), where)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, where, lambda index: host[index])


@functools.cache
def _gather(devices: jax.sharding.Mesh) -> Any:
    """Return the program that copies all arrays of a tree to every device."""
    return jax.jit(lambda tree: tree, out_shardings=NamedSharding(devices, PartitionSpec()))


@functools.cache
def _devices(mesh: Mesh) -> jax.sharding.Mesh:
    devices = np.array(jax.devices()[: mesh.size]).reshape(mesh.population, mesh.data)
    return jax.sharding.Mesh(devices, (MEMBERS, DATA), axis_types=(AxisType.Auto, AxisType.Auto))
