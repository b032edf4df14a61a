"""Who is in training: one run by itself, or many as lanes of one program. :mod:`ganrun.run` cannot tell which."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.game.lanes import Fetch, Lanes
from ganrun.game.method import Gan, Report
from ganrun.game.state import State


class Crew(Protocol):
    """The players of one run or of many. What their ``state`` is made of is their own business."""

    def init(self) -> Any: ...

    def advance(self, state: Any, n: int) -> tuple[Any, Report]: ...

    def look(self, state: Any, n: int, points: Sequence[np.ndarray]) -> list[Fetch]: ...

    def apart(self, state: Any) -> list[State]: ...


class Population(Crew, Protocol):
    """A crew of many."""

    gans: Sequence[Gan]

    def memory(self, n: int, points: Sequence[np.ndarray]) -> int: ...

    def together(self, states: list[State]) -> Any: ...

    def freeze(self, state: Any, frozen: Sequence[bool]) -> Any: ...


class Solo:
    """One run by itself."""

    def __init__(self, gan: Gan) -> None:
        self.gans = [gan]

    def init(self) -> State:
        return self.gans[0].init()

    def advance(self, state: State, n: int) -> tuple[State, Report]:
        return self.gans[0].advance(state, n)

    def look(self, state: State, n: int, points: Sequence[np.ndarray]) -> list[Fetch]:
        seen = self.gans[0].snapshot(state, n, points[0])
        return [lambda: seen]

    def apart(self, state: State) -> list[State]:
        return [state]


class Shards:
    """Lanes in as many parts as there are cores, with a thread for each: XLA by itself keeps hardly more than one busy.

    The states of the parts are a list. All parts run the same compiled program: where lanes are missing to make them
    equal, the last lane is there more than once, which nobody sees.
    """

    def __init__(self, gans: Sequence[Gan], parts: int) -> None:
        self.gans = gans
        size = -(-len(gans) // parts)
        # One thread to a part, and none below it.
        options = (("xla_cpu_multi_thread_eigen", False),)
        self._size, self._spare = size, -len(gans) % size
        self._parts = [Lanes(share, options) for share in self._share(gans)]
        # XLA runs one thing after another that is dispatched from the same thread.
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix="ganrun-lanes") for _ in self._parts]

    def init(self) -> list[State]:
        return [part.init() for part in self._parts]

    def memory(self, n: int, points: Sequence[np.ndarray]) -> int:
        return sum(part.memory(n, one) for part, one in zip(self._parts, self._share(points), strict=True))

    def advance(self, state: list[State], n: int) -> tuple[list[State], Report]:
        for part in self._parts:
            part.compile()  # not in two threads at once
        calls = zip(self._threads, self._parts, state, strict=True)
        begun = [thread.submit(part.advance, own, n) for thread, part, own in calls]
        states, reports = zip(*(one.result() for one in begun), strict=True)
        return list(states), jax.tree.map(lambda *parts: jnp.concatenate(parts)[: len(self.gans)], *reports)

    def look(self, state: list[State], n: int, points: Sequence[np.ndarray]) -> list[Fetch]:
        shares = self._share(points)
        seen = [part.look(own, n, one) for part, own, one in zip(self._parts, state, shares, strict=True)]
        return [fetch for part in seen for fetch in part][: len(self.gans)]

    def apart(self, state: list[State]) -> list[State]:
        lanes = [lane for part, own in zip(self._parts, state, strict=True) for lane in part.apart(own)]
        return lanes[: len(self.gans)]

    def together(self, states: list[State]) -> list[State]:
        return [part.together(own) for part, own in zip(self._parts, self._share(states), strict=True)]

    def freeze(self, state: list[State], frozen: Sequence[bool]) -> list[State]:
        parts = zip(self._parts, state, self._share(frozen), strict=True)
        return [part.freeze(own, flags) for part, own, flags in parts]

    def _share(self, things: Sequence[Any]) -> list[list[Any]]:
        """Return what each part gets of ``things``, one of which belongs to each lane."""
        whole = [*things, *[things[-1]] * self._spare]
        return [whole[start : start + self._size] for start in range(0, len(whole), self._size)]


def crew_of(gans: Sequence[Gan]) -> Population:
    """Return ``gans`` as lanes, in the form that keeps this machine busy."""
    cores = os.cpu_count() or 1
    return Shards(gans, min(cores, len(gans))) if jax.default_backend() == "cpu" and cores > 1 else Lanes(gans)


def fewer(crew: Population, state: Any, lanes: Sequence[int]) -> tuple[Population, Any]:
    """Return a crew of some of the ``lanes`` of ``crew``, and its state: that of those lanes in ``state``."""
    states = crew.apart(state)
    kept = crew_of([crew.gans[i] for i in lanes])
    return kept, kept.together([states[i] for i in lanes])
