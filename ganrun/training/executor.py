"""Executors: one interface to a single run and to a population of runs in one vmapped program."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.methods.gan.gan import Gan, Report
from ganrun.methods.gan.state import State
from ganrun.training.vmapped import Fetch, VmappedRuns


class Executor(Protocol):
    """Initialises and advances one run or many. The form of ``state`` is private to the executor."""

    def init(self) -> Any: ...

    def advance(self, state: Any, n: int) -> tuple[Any, Report]: ...

    def snapshot(self, state: Any, n: int, points: Sequence[np.ndarray]) -> list[Fetch]: ...

    def apart(self, state: Any) -> list[State]: ...


class Population(Executor, Protocol):
    """An executor of several runs, its members."""

    gans: Sequence[Gan]

    def memory(self, n: int, points: Sequence[np.ndarray]) -> int: ...

    def together(self, states: list[State]) -> Any: ...

    def freeze(self, state: Any, frozen: Sequence[bool]) -> Any: ...


class SingleRun:
    """The executor of a single run."""

    def __init__(self, gan: Gan) -> None:
        self.gans = [gan]

    def init(self) -> State:
        return self.gans[0].init()

    def advance(self, state: State, n: int) -> tuple[State, Report]:
        return self.gans[0].advance(state, n)

    def snapshot(self, state: State, n: int, points: Sequence[np.ndarray]) -> list[Fetch]:
        snapshot = self.gans[0].snapshot(state, n, points[0])
        return [lambda: snapshot]

    def apart(self, state: State) -> list[State]:
        return [state]


class ShardedRuns:
    """A population in shards, one per core, each in its own thread: XLA alone keeps little more than one core busy.

    The state is a list of the shards' states. All shards run the same compiled program: if the members cannot be
    divided evenly, the last one is repeated as padding, which is removed from all results.
    """

    def __init__(self, gans: Sequence[Gan], parts: int) -> None:
        self.gans = gans
        size = -(-len(gans) // parts)
        # One thread per shard, and no threads within it.
        options = (("xla_cpu_multi_thread_eigen", False),)
        self._size, self._spare = size, -len(gans) % size
        self._parts = [VmappedRuns(share, options) for share in self._share(gans)]
        # XLA runs computations dispatched from the same thread one after another.
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix="ganrun-shards") for _ in self._parts]

    def init(self) -> list[State]:
        return [part.init() for part in self._parts]

    def memory(self, n: int, points: Sequence[np.ndarray]) -> int:
        return sum(part.memory(n, share) for part, share in zip(self._parts, self._share(points), strict=True))

    def advance(self, state: list[State], n: int) -> tuple[list[State], Report]:
        for part in self._parts:
            part.compile()  # not in two threads at once
        calls = zip(self._threads, self._parts, state, strict=True)
        futures = [thread.submit(part.advance, shard, n) for thread, part, shard in calls]
        states, reports = zip(*(future.result() for future in futures), strict=True)
        return list(states), jax.tree.map(lambda *parts: jnp.concatenate(parts)[: len(self.gans)], *reports)

    def snapshot(self, state: list[State], n: int, points: Sequence[np.ndarray]) -> list[Fetch]:
        shares = self._share(points)
        snapshots = [
            part.snapshot(shard, n, share) for part, shard, share in zip(self._parts, state, shares, strict=True)
        ]
        return [fetch for part in snapshots for fetch in part][: len(self.gans)]

    def apart(self, state: list[State]) -> list[State]:
        members = [member for part, shard in zip(self._parts, state, strict=True) for member in part.apart(shard)]
        return members[: len(self.gans)]

    def together(self, states: list[State]) -> list[State]:
        return [part.together(share) for part, share in zip(self._parts, self._share(states), strict=True)]

    def freeze(self, state: list[State], frozen: Sequence[bool]) -> list[State]:
        parts = zip(self._parts, state, self._share(frozen), strict=True)
        return [part.freeze(shard, flags) for part, shard, flags in parts]

    def _share(self, items: Sequence[Any]) -> list[list[Any]]:
        """Divide ``items``, one per member, into one list per shard, padded with the last item."""
        padded = [*items, *[items[-1]] * self._spare]
        return [padded[start : start + self._size] for start in range(0, len(padded), self._size)]


def executor_for(gans: Sequence[Gan]) -> Population:
    """Return the population executor for ``gans`` that makes best use of this machine."""
    cores = os.cpu_count() or 1
    return (
        ShardedRuns(gans, min(cores, len(gans))) if jax.default_backend() == "cpu" and cores > 1 else VmappedRuns(gans)
    )


def fewer(executor: Population, state: Any, members: Sequence[int]) -> tuple[Population, Any]:
    """Return an executor of some of the members of ``executor`` and its state.

    Args:
        executor: the population.
        state: its state.
        members: the indices of the members to keep.
    """
    states = executor.apart(state)
    kept = executor_for([executor.gans[i] for i in members])
    return kept, kept.together([states[i] for i in members])
