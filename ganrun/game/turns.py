"""One update of the discriminator and one of the generator: the two inner boxes of Algorithm 1."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ganrun.datasets.sampler import Cursor, Source
from ganrun.game.losses import readings
from ganrun.game.players import draw_data, draw_labels, draw_noise, scores
from ganrun.game.scene import Scene
from ganrun.game.state import READINGS, Game, Player, State, Tree
from ganrun.keys import key_for

DISCRIMINATOR_REPORTS = ("loss/discriminator", "grad_norm/discriminator")

Taken = tuple[Player, Cursor, dict[str, jax.Array]]  # a player after its turn, the cursor, and reports by tag


def share_done(state: State) -> jax.Array:
    """Return which share of the run is over, 0 to 1."""
    return jnp.clip(state.step / state.numbers["run"]["steps"], 0.0, 1.0)


def silence(game: Game) -> dict[str, jax.Array]:
    """Return what no turn of the discriminator at all reports."""
    penalties = [tag(penalty.name) for penalty in game.penalties if penalty.reports]
    return dict.fromkeys((*READINGS[game.loss.reads], *DISCRIMINATOR_REPORTS, *penalties), jnp.zeros(()))


def discriminator_turn(
    game: Game,
    state: State,
    source: Source,
    key: jax.Array,
    generator: Player,
    i: jax.Array,
    carry: Taken,
    smooth: bool = False,
) -> Taken:
    """Lines 4-8 of Algorithm 1: ascend V in D, G held fixed. Reports are taken at D before its update.

    ``i`` counts the turns of this step; ``smooth``: the turn itself is going to be differentiated.
    """
    discriminator, cursor, before = carry
    key = key_for(key, "discriminator update", i)
    data, labels, cursor = draw_data(game, source, key_for(key, "data"), cursor, game.batch_size)
    noise = draw_noise(game, key_for(key, "noise"), game.batch_size)
    scene = Scene(game, state.numbers, share_done(state), data, noise, labels, labels, generator.stats, key)
    # The generator's batch statistics after this are dropped: G is held fixed, and only its own updates move them.
    (real, _), (fake, _) = scene.examples(generator.params), scene.samples(generator.params)
    wanted = _wanted(game, discriminator)

    def loss(params: Tree) -> tuple[jax.Array, Any]:
        value, (*said, stats) = scene.discriminator_loss(params, discriminator.stats, real, fake)
        terms = scene.terms(replace(discriminator, params=params), generator.params, real, fake, tuple(said), wanted)
        return sum(terms.values(), start=value), (value, terms, said, stats)

    (_, (value, terms, said, stats)), gradient = jax.value_and_grad(loss, has_aux=True)(discriminator.params)
    seen = readings(game.loss.reads, *scores(game, *said))
    seen |= dict(zip(DISCRIMINATOR_REPORTS, (value, optax.tree.norm(gradient)), strict=True))
    # A lazy penalty is reported as its sum over the updates of a step, of which the step makes the mean.
    seen |= {tag(name): term + before[tag(name)] if name in wanted else term for name, term in terms.items()}
    player = descend(game, state, "discriminator", discriminator, gradient, stats, smooth)
    for penalty in game.penalties:
        player = replace(player, params=penalty.project(player.params, state.numbers["penalty"][penalty.name]))
    return player, cursor, seen


def lazy(game: Game) -> list[Any]:
    """Return the penalties that are not taken at every update."""
    return [penalty for penalty in game.penalties if penalty.every > 1]


def tag(penalty: str) -> str:
    """Return the tag that what the ``penalty`` adds is reported under."""
    return f"penalty/{penalty}"


def _wanted(game: Game, discriminator: Player) -> dict[str, jax.Array]:
    """Return which of the lazy penalties are due in the next update of ``discriminator``, by its count of updates."""
    return {penalty.name: discriminator.updates % penalty.every == 0 for penalty in lazy(game)}


def generator_turn(
    game: Game, state: State, source: Source, key: jax.Array, opponent: Player, generator: Player, cursor: Cursor
) -> Taken:
    """Lines 12-13 of Algorithm 1: descend the generator's loss against the discriminator ``opponent``.

    As in Algorithm 1 this turn draws no data and the loss gets None for its real logits, unless somebody needs them.
    """
    noise = draw_noise(game, key_for(key, "noise"), game.batch_size)
    ahead = partial(_ahead, game, state, source, key_for(key, "look-ahead"), generator, opponent, cursor)
    joining = [penalty for penalty in game.penalties if penalty.for_generator]
    data, labels = None, draw_labels(game, state.numbers, key_for(key, "labels"), game.batch_size)
    if game.loss.generator_sees_data or game.infers or joining:
        data, labels, cursor = draw_data(game, source, key_for(key, "data"), cursor, game.batch_size)
    scene = Scene(game, state.numbers, share_done(state), data, noise, labels, labels, generator.stats, key)

    def loss(params: Tree) -> tuple[jax.Array, Any]:
        foe = ahead(params) if game.unrolled else opponent
        value, (over_all, stats) = scene.generator_loss(params, foe)
        for penalty in joining:
            value = value + penalty.weighed(scene.field(opponent, params), state.numbers["penalty"][penalty.name])
        return value, (over_all, stats)

    (_, (value, stats)), gradient = jax.value_and_grad(loss, has_aux=True)(generator.params)
    player = descend(game, state, "generator", generator, gradient, stats)
    return player, cursor, {"loss/generator": value, "grad_norm/generator": optax.tree.norm(gradient)}


def _ahead(
    game: Game,
    state: State,
    source: Source,
    key: jax.Array,
    generator: Player,
    opponent: Player,
    cursor: Cursor,
    params: Tree,
) -> Player:
    """Return the discriminator after ``game.unrolled`` more turns against the generator with ``params``.

    The generator's gradient goes through those turns, and they are then forgotten with their batch statistics (Metz et
    al. 2017, "Unrolled generative adversarial networks", eq. 8-9).
    """
    start = (opponent, cursor, silence(game))

    def one(carry: Taken, i: jax.Array) -> tuple[Taken, None]:
        met = replace(generator, params=params)
        return discriminator_turn(game, state, source, key, met, i, carry, smooth=True), None

    (player, _, _), _ = jax.lax.scan(one, start, jnp.arange(game.unrolled))
    return player


def optimizer(
    game: Game, numbers: Tree, player: str, step: jax.Array, smooth: bool = False
) -> optax.GradientTransformation:
    """Return the descent rule of ``player`` at ``step``."""
    rule = getattr(game, f"{player}_optimizer")
    return rule.transform(step, numbers["run"]["steps"], numbers["optimizer"][player], smooth)


def descend(
    game: Game, state: State, name: str, player: Player, gradient: Tree, stats: Tree, smooth: bool = False
) -> Player:
    """Return ``player`` after one step of its rule along ``gradient``."""
    rule = optimizer(game, state.numbers, name, state.step, smooth)
    change, moments = rule.update(gradient, player.optimizer, player.params)
    params = optax.apply_updates(player.params, change)
    return Player(params=params, stats=stats, optimizer=moments, updates=player.updates + 1)
