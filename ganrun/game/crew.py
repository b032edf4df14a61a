"""Who is in training: one run by itself, or many as lanes of one program. :mod:`ganrun.run` cannot tell which.

A lane is a run of its own in everything but the program: its state, seed, numbers and data order are its own, stacked
with those of the others along a first axis, and Algorithm 1 is ``vmap``-ed over them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.datasets.sampler import Source
from ganrun.game.algorithm import create, update
from ganrun.game.method import Gan, Report, Snapshot, look_at, report_of
from ganrun.game.state import Game, State, Tree

# What a look shows of one lane, once somebody asks: its snapshot, and the averaged generator's variables.
Fetch = Callable[[], tuple[Snapshot, Tree]]
Own = tuple[str, ...]  # the fields of a source that every lane has for itself


class Crew(Protocol):
    """The players of one run or of many."""

    def init(self) -> State: ...

    def advance(self, state: State, n: int) -> tuple[State, Report]: ...

    def look(self, state: State, n: int, points: Sequence[np.ndarray]) -> list[Fetch]: ...

    def apart(self, state: State) -> list[State]: ...

    def together(self, states: list[State]) -> State: ...


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

    def together(self, states: list[State]) -> State:
        return states[0]


class Lanes:
    """Many runs of one game as one program; a lane that has failed stays as it was when it did."""

    def __init__(self, gans: Sequence[Gan]) -> None:
        if any(gan.game != gans[0].game for gan in gans):
            raise ValueError("only runs of the same game can be lanes of one program")
        self.gans = gans
        self._game = gans[0].game
        self._train, self._train_own = stack_sources([gan.data.train for gan in gans])
        self._held_out, self._held_out_own = stack_sources([gan.data.held_out for gan in gans])
        self._advance: Any = None

    def init(self) -> State:
        """Return the stacked states before the first step."""
        numbers = _stack([gan.numbers for gan in self.gans])
        seeds = jnp.asarray([gan.seed for gan in self.gans], jnp.uint32)
        return _create(self._game, numbers, seeds, jnp.zeros((1, *self.gans[0].data.shape)))

    def compile(self) -> Any:
        """Compile the training program, once; returns what XLA says of the memory it needs (may be None)."""
        if self._advance is None:
            state = jax.eval_shape(self.init)
            lowered = _advance.lower(self._game, state, self._train, jnp.int32(1), self._train_own)
            self._advance = lowered.compile()
        return self._advance.memory_analysis()

    def advance(self, state: State, n: int) -> tuple[State, Report]:
        """Run ``n`` iterations in every lane; ``state`` is consumed. The report's arrays have a first axis of lanes."""
        self.compile()
        return self._advance(state, self._train, jnp.int32(n))

    def look(self, state: State, n: int, points: Sequence[np.ndarray]) -> list[Fetch]:
        """Look at every lane as :meth:`Gan.snapshot` does; what is seen comes to the host once, when first wanted."""
        stacked = jnp.asarray(np.stack(points), jnp.float32)
        seen = _look(self._game, state, self._held_out, stacked, n, self._held_out_own)
        fetch = functools.cache(lambda: jax.device_get(seen))
        return [partial(_lane, fetch, i) for i in range(len(self.gans))]

    def apart(self, state: State) -> list[State]:
        """Return each lane's state on the host."""
        key = jax.random.key_impl(state.key)
        host = jax.device_get(dataclasses.replace(state, key=jax.random.key_data(state.key)))
        lanes = [jax.tree.map(lambda leaf, i=i: leaf[i], host) for i in range(len(self.gans))]
        return [dataclasses.replace(lane, key=jax.random.wrap_key_data(lane.key, impl=key)) for lane in lanes]

    def together(self, states: list[State]) -> State:
        """Return the states of the lanes stacked, the inverse of :meth:`apart`."""
        return _stack(states)


def _lane(fetch: Fetch, i: int) -> tuple[Snapshot, Tree]:
    return jax.tree.map(lambda leaf: leaf[i], fetch())


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def stack_sources(sources: Sequence[Any]) -> tuple[Source, Own]:
    """Return the sources as one with a first axis of lanes, and which of its fields have that axis.

    What the lanes share is taken from the first and not copied.
    """
    first = sources[0]
    own = tuple(name for name in _arrays(first) if name not in first.SHARED)
    stacked = {name: jnp.stack([getattr(source, name) for source in sources]) for name in own}
    return dataclasses.replace(first, **stacked), own


def _axes(source: Any, own: Own) -> Any:
    return dataclasses.replace(source, **{name: 0 if name in own else None for name in _arrays(source)})


def _arrays(source: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(source) if field.metadata.get("pytree_node", True)]


@partial(jax.jit, static_argnums=0)
def _create(game: Game, numbers: Tree, seeds: jax.Array, example: jax.Array) -> State:
    return jax.vmap(lambda own, seed: create(game, own, seed, example))(numbers, seeds)


@partial(jax.jit, static_argnums=(0, 4), donate_argnums=1)
def _advance(game: Game, state: State, source: Source, n: jax.Array, own: Own) -> tuple[State, Report]:
    step = jax.vmap(partial(_unless_failed, game), in_axes=(0, _axes(source, own)))
    state = jax.lax.fori_loop(0, n, lambda _, now: step(now, source), state)
    return state, jax.vmap(report_of)(state.readout)


def _unless_failed(game: Game, state: State, source: Source) -> State:
    after = update(game, state, source)
    going = state.readout.bad_step == 0
    kept = jax.tree.map(lambda new, old: jnp.where(going, new, old), _without_key(after), _without_key(state))
    return dataclasses.replace(kept, key=state.key)


def _without_key(state: State) -> State:
    return dataclasses.replace(state, key=jnp.zeros(()))


@partial(jax.jit, static_argnums=(0, 4, 5))
def _look(game: Game, state: State, held_out: Source, points: jax.Array, n: int, own: Own) -> Any:
    def one(state: State, held_out: Source, points: jax.Array) -> Any:
        return look_at(game, state, held_out, points, n)

    return jax.vmap(one, in_axes=(0, _axes(held_out, own), 0))(state, held_out, points)
