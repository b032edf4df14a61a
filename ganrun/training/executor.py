"""Executors: one interface to a single run and to a population of runs in one vmapped program."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.datasets.sampler import Cursor
from ganrun.machine.cores import usable_cores
from ganrun.mesh import ONE_DEVICE, Mesh, fetch
from ganrun.methods.experiment import Experiment
from ganrun.methods.run_state import Report, RunState
from ganrun.training.vmapped import Fetch, VmappedRuns, program_bytes, snapshot_bytes


class Executor(Protocol):
    """Initialises and advances one run or many. The form of ``state`` is private to the executor.

    ``most_steps`` is the maximum number of steps of one call; None if it is unlimited.
    """

    @property
    def most_steps(self) -> int | None: ...

    def init(self) -> Any: ...

    def advance(self, state: Any, n: int) -> tuple[Any, Report]: ...

    def snapshot(self, state: Any, n: int, points: Sequence[np.ndarray]) -> list[Fetch]: ...

    def apart(self, state: Any) -> list[RunState]: ...

    def together(self, states: list[RunState]) -> Any: ...


class Population(Executor, Protocol):
    """An executor of several runs, its members."""

    experiments: Sequence[Experiment]
    mesh: Mesh

    def memory(self, n: int, points: Sequence[np.ndarray]) -> int: ...

    def freeze(self, state: Any, frozen: Sequence[bool]) -> Any: ...


class SingleRun:
    """The executor of a single run."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiments, self.mesh = [experiment], experiment.mesh

    @property
    def most_steps(self) -> int | None:
        return self.experiments[0].most_steps

    def init(self) -> RunState:
        return self.experiments[0].init()

    def memory(self, n: int, points: Sequence[np.ndarray]) -> int:
        """Return the bytes that training and snapshots of ``n`` samples need at once, as of a population.

        The programs that are compiled for it are those that :meth:`advance` and :meth:`snapshot` call.
        """
        one = self.experiments[0]
        size = program_bytes(one.compiled(), one.window(Cursor.start(), 0), one.data.held_out)
        return size + snapshot_bytes(one.compiled_snapshot(n, points[0])) if n and size else size

    def advance(self, state: RunState, n: int) -> tuple[RunState, Report]:
        return self.experiments[0].advance(state, n)

    def snapshot(self, state: RunState, n: int, points: Sequence[np.ndarray]) -> list[Fetch]:
        snapshot = self.experiments[0].snapshot(state, n, points[0])
        if self.mesh.size == 1:
            return [lambda: snapshot]
        gathered = self.mesh.gathered(snapshot)
        return [functools.cache(lambda: jax.device_get(gathered))]  # it is evaluated on one device

    def apart(self, state: RunState) -> list[RunState]:
        return [state if self.mesh.size == 1 else fetch(self.mesh.gathered(state))]

    def together(self, states: list[RunState]) -> RunState:
        return self.mesh.placed(states[0])


class ShardedRuns:
    """A population in shards: one on a mesh of devices, or one per core, each in its own thread.

    On a CPU, XLA alone keeps little more than one core busy. The state is a list of the shards' states. All shards run
    the same compiled program: if the members cannot be divided evenly, the last one is repeated as padding, which is
    removed from all results.

    Args:
        experiments: the members.
        parts: number of shards.
        mesh: the devices of a single shard.
    """

    def __init__(self, experiments: Sequence[Experiment], parts: int, mesh: Mesh = ONE_DEVICE) -> None:
        self.experiments, self.mesh = experiments, mesh
        size = -(-len(experiments) // parts)
        size += -size % mesh.population
        # One thread per shard, and no threads within it.
        options = (("xla_cpu_multi_thread_eigen", False),) if parts > 1 else ()
        self._size, self._spare = size, -len(experiments) % size
        self._parts = [VmappedRuns(share, options, mesh) for share in self._share(experiments)]
        # XLA runs computations dispatched from the same thread one after another.
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix="ganrun-shards") for _ in self._parts]

    @property
    def most_steps(self) -> int | None:
        return self.experiments[0].most_steps

    def init(self) -> list[RunState]:
        return [part.init() for part in self._parts]

    def memory(self, n: int, points: Sequence[np.ndarray]) -> int:
        return sum(part.memory(n, share) for part, share in zip(self._parts, self._share(points), strict=True))

    def advance(self, state: list[RunState], n: int) -> tuple[list[RunState], Report]:
        for part in self._parts:
            part.compile()  # not in two threads at once
        calls = zip(self._threads, self._parts, state, strict=True)
        futures = [thread.submit(part.advance, shard, n) for thread, part, shard in calls]
        states, reports = zip(*(future.result() for future in futures), strict=True)
        return list(states), jax.tree.map(lambda *parts: jnp.concatenate(parts)[: len(self.experiments)], *reports)

    def snapshot(self, state: list[RunState], n: int, points: Sequence[np.ndarray]) -> list[Fetch]:
        shares = self._share(points)
        snapshots = [
            part.snapshot(shard, n, share) for part, shard, share in zip(self._parts, state, shares, strict=True)
        ]
        return [fetch for part in snapshots for fetch in part][: len(self.experiments)]

    def apart(self, state: list[RunState]) -> list[RunState]:
        members = [member for part, shard in zip(self._parts, state, strict=True) for member in part.apart(shard)]
        return members[: len(self.experiments)]

    def together(self, states: list[RunState]) -> list[RunState]:
        return [part.together(share) for part, share in zip(self._parts, self._share(states), strict=True)]

    def freeze(self, state: list[RunState], frozen: Sequence[bool]) -> list[RunState]:
        parts = zip(self._parts, state, self._share(frozen), strict=True)
        return [part.freeze(shard, flags) for part, shard, flags in parts]

    def _share(self, items: Sequence[Any]) -> list[list[Any]]:
        """Divide ``items``, one per member, into one list per shard, padded with the last item."""
        padded = [*items, *[items[-1]] * self._spare]
        return [padded[start : start + self._size] for start in range(0, len(padded), self._size)]


def executor_for(experiments: Sequence[Experiment], mesh: Mesh = ONE_DEVICE) -> Population:
    """Return the population executor for ``experiments`` that makes best use of this machine, or of ``mesh``.

    Streamed data are divided into smaller windows, so that those of all members together have their bound.
    """
    if jax.process_count() == 1:  # several hosts all take part: members are repeated instead
        mesh = mesh.for_members(len(experiments))
    for experiment in experiments:
        experiment.divide_windows(len(experiments))
    if mesh.size > 1:
        return ShardedRuns(experiments, 1, mesh)
    cores = usable_cores()
    return (
        ShardedRuns(experiments, min(cores, len(experiments)))
        if jax.default_backend() == "cpu" and cores > 1
        else VmappedRuns(experiments)
    )


def fewer(executor: Population, state: Any, members: Sequence[int]) -> tuple[Population, Any]:
    """Return an executor of some of the members of ``executor`` and its state.

    Args:
        executor: the population.
        state: its state.
        members: the indices of the members to keep.
    """
    if (lead := getattr(executor, "fewer", None)) is not None:  # that of a leader of several hosts
        return lead(state, members)
    states = executor.apart(state)
    kept = executor_for([executor.experiments[i] for i in members], executor.mesh)
    return kept, kept.together([states[i] for i in members])
