"""Many runs of one game as one program.

A lane is a run of its own in everything but the program: its state, seed, numbers and data order are its own, stacked
with those of the others along a first axis, and Algorithm 1 is ``vmap``-ed over them.
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
from ganrun.game.algorithm import create, update
from ganrun.game.method import Gan, Report, Snapshot, look_at, report_of
from ganrun.game.state import Game, State, Tree

# What a look shows of one lane, once somebody asks: its snapshot, and the averaged generator's variables.
Fetch = Callable[[], tuple[Snapshot, Tree]]
Own = tuple[str, ...]  # the fields of a source that every lane has for itself
Options = tuple[tuple[str, Any], ...]  # for XLA, by name
PROGRAMS = 16  # kept for the next batch of a sweep, which needs the same ones


class Lanes:
    """Many runs of one game as one program; a lane that has failed stays as it was when it did.

    Args:
        gans: the runs, whose games are equal.
        options: for XLA.
    """

    def __init__(self, gans: Sequence[Gan], options: Options = ()) -> None:
        if any(gan.game != gans[0].game for gan in gans):
            raise ValueError("only runs of the same game can be lanes of one program")
        self.gans, self._game = gans, in_lanes(gans[0].game)
        self._train, self._train_own = stack_sources([gan.data.train for gan in gans])
        self._held_out, self._held_out_own = stack_sources([gan.data.held_out for gan in gans])
        self._options = options
        self._programs: dict[Any, Any] = {}

    def init(self) -> State:
        """Return the stacked states before the first step."""
        numbers = _stack([gan.numbers for gan in self.gans])
        seeds = jnp.asarray([gan.seed for gan in self.gans], jnp.uint32)
        return _create(self._game, numbers, seeds, jnp.zeros((1, *self.gans[0].data.shape)))

    def memory(self, n: int, points: Sequence[np.ndarray]) -> int:
        """Return how many bytes training and looks of ``n`` samples need at once; 0 where that is not known.

        Compiles what is needed, once; ``n`` is 0 where nobody looks.
        """
        training = self._training().memory_analysis()
        if training is None:
            return 0
        held = training.argument_size_in_bytes + training.output_size_in_bytes - training.alias_size_in_bytes
        held += sum(array.nbytes for array in _distinct(self._held_out, self._train))
        held += training.temp_size_in_bytes + training.generated_code_size_in_bytes
        look = self._looking(n, points).memory_analysis() if n else None
        if look is None:
            return held
        # A look's other argument is the state, which training holds already. Two looks may wait to be read.
        return held + look.temp_size_in_bytes + 2 * look.output_size_in_bytes + look.generated_code_size_in_bytes

    def _training(self) -> Any:
        if "training" not in self._programs:
            state = jax.eval_shape(self.init)
            arguments = (state, self._train, self._held_out, jax.ShapeDtypeStruct((), jnp.int32))
            static = (self._game, self._train_own, self._held_out_own)
            self._programs["training"] = compiled(_advance, static, arguments, self._options)
        return self._programs["training"]

    def _looking(self, n: int, points: Sequence[np.ndarray]) -> Any:
        if (n, points[0].shape) not in self._programs:
            stacked = jax.ShapeDtypeStruct((len(points), *points[0].shape), jnp.float32)
            arguments = (jax.eval_shape(self.init), self._held_out, stacked)
            self._programs[n, points[0].shape] = compiled(_look, (self._game, n, self._held_out_own), arguments)
        return self._programs[n, points[0].shape]

    def advance(self, state: State, n: int) -> tuple[State, Report]:
        """Run ``n`` iterations in every lane; ``state`` is consumed. The report's arrays have a first axis of lanes."""
        return self._training()(state, self._train, self._held_out, jnp.int32(n))

    def compile(self) -> None:
        """Compile the training program, where it has not been."""
        self._training()

    def look(self, state: State, n: int, points: Sequence[np.ndarray]) -> list[Fetch]:
        """Look at every lane as :meth:`Gan.snapshot` does; what is seen comes to the host once, when first wanted."""
        stacked = jnp.asarray(np.stack(points), jnp.float32)
        seen = self._looking(n, points)(state, self._held_out, stacked)
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

    def freeze(self, state: State, frozen: Sequence[bool]) -> State:
        """Return ``state`` with those lanes marked as failed that are ``frozen``: they take no step from here on."""
        bad_step = jnp.where(jnp.asarray(frozen), jnp.maximum(state.readout.bad_step, 1), state.readout.bad_step)
        return dataclasses.replace(state, readout=dataclasses.replace(state.readout, bad_step=bad_step))


@functools.lru_cache(maxsize=PROGRAMS)
def _compiled(function: Any, static: tuple[Any, ...], leaves: tuple[Any, ...], tree: Any, options: Options) -> Any:
    lowered = function.lower(*static, *jax.tree.unflatten(tree, leaves))
    return lowered.compile(compiler_options=dict(options) or None)


def compiled(function: Any, static: tuple[Any, ...], arguments: tuple[Any, ...], options: Options = ()) -> Any:
    """Return ``function(*static, *arguments)`` compiled for arguments of these shapes; batches of a sweep share it."""
    leaves, tree = jax.tree.flatten(arguments)
    shapes = tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves)
    return _compiled(function, static, shapes, tree, options)


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


def in_lanes(game: Game) -> Game:
    """Return ``game`` with convolutions, where their form is left open, that become matrix products under ``vmap``.

    XLA's would become grouped convolutions, which are slow on every device.
    """
    players = {name: _as_products(getattr(game, name)) for name in ("generator", "discriminator")}
    return dataclasses.replace(game, **players)


def _as_products(network: Any) -> Any:
    """Return ``network`` in that form, whatever it is wrapped in."""
    inside = {
        field.name: _as_products(getattr(network, field.name))
        for field in dataclasses.fields(network)
        if field.name in ("generator", "encoder", "module")
    }
    if getattr(network, "form", None) == "auto":
        inside["form"] = "matmul"
    if not inside:
        return network
    return network.clone(**inside) if hasattr(network, "clone") else dataclasses.replace(network, **inside)


def _distinct(source: Any, other: Any) -> list[jax.Array]:
    """Return the arrays of ``source`` that are not those of ``other``."""
    known = {id(array) for array in jax.tree.leaves(other)}
    return [array for array in jax.tree.leaves(source) if id(array) not in known]


def _axes(source: Any, own: Own) -> Any:
    return dataclasses.replace(source, **{name: 0 if name in own else None for name in _arrays(source)})


def _arrays(source: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(source) if field.metadata.get("pytree_node", True)]


@partial(jax.jit, static_argnums=0)
def _create(game: Game, numbers: Tree, seeds: jax.Array, example: jax.Array) -> State:
    return jax.vmap(lambda own, seed: create(game, own, seed, example))(numbers, seeds)


@partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
def _advance(
    game: Game, own: Own, held_out_own: Own, state: State, source: Source, held_out: Source, n: jax.Array
) -> tuple[State, Report]:
    axes = (0, _axes(source, own), _axes(held_out, held_out_own))
    step = jax.vmap(partial(_unless_failed, game), in_axes=axes)
    state = jax.lax.fori_loop(0, n, lambda _, now: step(now, source, held_out), state)
    return state, jax.vmap(report_of)(state.readout)


def _unless_failed(game: Game, state: State, source: Source, held_out: Source) -> State:
    after = update(game, state, source, held_out)
    going = state.readout.bad_step == 0
    kept = jax.tree.map(lambda new, old: jnp.where(going, new, old), _without_key(after), _without_key(state))
    return dataclasses.replace(kept, key=state.key)


def _without_key(state: State) -> State:
    return dataclasses.replace(state, key=jnp.zeros(()))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _look(game: Game, n: int, own: Own, state: State, held_out: Source, points: jax.Array) -> Any:
    def one(state: State, held_out: Source, points: jax.Array) -> Any:
        return look_at(game, state, held_out, points, n)

    return jax.vmap(one, in_axes=(0, _axes(held_out, own), 0))(state, held_out, points)
