"""Algorithm 1 of Goodfellow et al. 2014 as one pure function.

k discriminator updates, each on a fresh minibatch of noise and of data, then one generator update (or several) on
fresh noise against the *new* discriminator, and on fresh data too for the losses that compare the two.
``state.numbers`` are arrays, so nothing here depends on their values.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ganrun.datasets.sampler import Cursor, Source
from ganrun.game.held_out import Exam
from ganrun.game.players import Beside, pack
from ganrun.game.state import Game, Player, Readout, State, Tree
from ganrun.game.turns import Taken, discriminator_turn, generator_turn, lazy, optimizer, share_done, silence, tag
from ganrun.keys import key_for


def create(game: Game, numbers: Tree, seed: jax.Array, example: jax.Array) -> State:
    """Return the state before the first step. ``example`` is ``(1, *shape)`` and gives only the shape of the data."""
    key = key_for(jax.random.key(seed), "run")
    generator_key, discriminator_key = (key_for(key, f"initial {name}") for name in ("generator", "discriminator"))
    labels: Beside = {"y": jnp.zeros((1,), jnp.int32)} if game.classes else {}
    latent = jnp.zeros((1, game.latent_dim))
    shown = pack(jnp.concatenate([example] * game.packing), game.packing)
    generator = _create_player(game.generator, latent, generator_key, labels)
    beside = labels | ({"z": latent} if game.infers else {})
    discriminator = _create_player(game.discriminator, shown, discriminator_key, beside)
    zero = jnp.zeros((), jnp.int32)
    start = {name: optimizer(game, numbers, name, zero) for name in ("generator", "discriminator")}
    return State(
        step=zero,
        key=key,
        numbers=numbers,
        generator=replace(generator, optimizer=start["generator"].init(generator.params)),
        discriminator=replace(discriminator, optimizer=start["discriminator"].init(discriminator.params)),
        average=jax.tree.map(jnp.copy, generator.variables),
        cursor=Cursor.start(),
        readout=Readout.empty(len(game.tags)),
    )


def _create_player(module: Any, example: jax.Array, key: jax.Array, beside: Beside) -> Player:
    variables = module.init({"params": key}, example, train=False, **beside)
    updates = jnp.zeros((), jnp.int32)
    return Player(params=variables["params"], stats=variables.get("batch_stats", {}), optimizer=(), updates=updates)


def update(game: Game, state: State, source: Source, held_out: Source | None = None) -> State:
    """One iteration of Algorithm 1: the whole outer loop body.

    ``held_out`` is what a schedule that watches the discriminator examines it on; None: ``source``.
    """
    key = key_for(state.key, "step", state.step)
    (discriminator, cursor, seen), k = _discriminator(game, state, source, held_out or source, key)
    opponent = state.discriminator if game.schedule.order == "simultaneous" else discriminator
    generator, cursor, felt = _generator(game, state, source, key, opponent, cursor)

    means = {tag(penalty.name): seen[tag(penalty.name)] / k for penalty in lazy(game)}
    reports = seen | means | felt | {"schedule/k": k}
    step = state.step + 1
    return replace(
        state,
        step=step,
        generator=generator,
        discriminator=discriminator,
        average=_follow(state, generator),
        cursor=cursor,
        readout=_record(state, step, jnp.stack([jnp.asarray(reports[name], jnp.float32) for name in game.tags])),
    )


def _discriminator(
    game: Game, state: State, source: Source, held_out: Source, key: jax.Array
) -> tuple[Taken, jax.Array]:
    """Return the discriminator after its turns, and how many they were."""
    schedule, numbers = game.schedule, state.numbers["schedule"]
    most = schedule.discriminator_steps(state.step, share_done(state), numbers)
    turn = partial(discriminator_turn, game, state, source, key, state.generator)
    start = (state.discriminator, state.cursor, silence(game))
    if not schedule.adaptive:
        return jax.lax.fori_loop(0, most, turn, start), most
    exam = Exam.draw(game, state, held_out, key_for(key, "exam"))

    def goes_on(carry: Any) -> jax.Array:
        i, _, progress = carry
        return (i == 0) | ((i < most) & schedule.goes_on(progress, numbers))

    def one_more(carry: Any) -> Any:
        i, taken, progress = carry
        taken = turn(i, taken)
        return i + 1, taken, schedule.after(progress, *exam.of(taken[0]), numbers)

    first = schedule.before(*exam.of(state.discriminator))
    k, taken, _ = jax.lax.while_loop(goes_on, one_more, (jnp.zeros((), jnp.int32), start, first))
    return taken, k


def _generator(game: Game, state: State, source: Source, key: jax.Array, opponent: Player, cursor: Cursor) -> Taken:
    """Return the generator after its turns."""

    def turn(i: int | jax.Array, generator: Player, cursor: Cursor) -> Taken:
        own = key_for(key, "generator update", i)
        return generator_turn(game, state, source, own, opponent, generator, cursor)

    first = turn(0, state.generator, cursor)
    if game.schedule.generator_steps == 1:
        return first
    return jax.lax.fori_loop(1, game.schedule.generator_steps, lambda i, taken: turn(i, *taken[:2]), first)


def _follow(state: State, generator: Player) -> Tree:
    """Exponential moving average of the generator, with a shorter memory at first so that it forgets its start."""
    done = state.step.astype(jnp.float32)
    decay = jnp.minimum(state.numbers["ema"]["decay"], (1.0 + done) / (10.0 + done))
    return jax.tree.map(lambda mean, new: decay * mean + (1.0 - decay) * new, state.average, generator.variables)


def _record(state: State, step: jax.Array, reports: jax.Array) -> Readout:
    """Add one step's reports; start anew after a logging boundary; remember the first that is not finite."""
    old = state.readout
    fresh = state.step % state.numbers["run"]["log_every"] == 0
    bad = ~jnp.isfinite(reports)
    first = (old.bad_step == 0) & jnp.any(bad)
    return Readout(
        sums=jnp.where(fresh, 0.0, old.sums) + reports,
        count=jnp.where(fresh, 0, old.count) + 1,
        bad_step=jnp.where(first, step, old.bad_step),
        bad_tag=jnp.where(first, jnp.argmax(bad), old.bad_tag).astype(jnp.int32),
    )
