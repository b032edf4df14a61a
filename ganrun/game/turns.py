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
from ganrun.game.scene import Keys, Scene
from ganrun.game.state import READINGS, Game, Player, State, Tree

DISCRIMINATOR_REPORTS = ("loss/discriminator", "grad_norm/discriminator")
DATA, LABELS, AHEAD = 3, 4, 5  # names of the generator's further keys beside the three that its turn splits off

Taken = tuple[Player, Cursor, dict[str, jax.Array]]  # a player after its turn, the cursor, and reports by tag


def share_done(state: State) -> jax.Array:
    """Return which share of the run is over, 0 to 1."""
    return jnp.clip(state.step / state.numbers["run"]["steps"], 0.0, 1.0)


def silence(game: Game) -> dict[str, jax.Array]:
    """Return what no turn of the discriminator at all reports."""
    penalties = [tag for tag in game.tags if tag.startswith("penalty/")]
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
    discriminator, cursor, _ = carry
    key = jax.random.fold_in(key, i)
    data_key, noise_key, made_key, real_key, fake_key = jax.random.split(key, 5)
    data, labels, cursor = draw_data(game, source, data_key, cursor, game.batch_size)
    noise = draw_noise(game, noise_key, game.batch_size)
    keys = Keys(made_key, real_key, fake_key, key)
    scene = Scene(game, state.numbers, share_done(state), data, noise, labels, labels, generator.stats, keys)
    real, (fake, _) = scene.examples(generator.params), scene.samples(generator.params)
    wanted = _wanted(game, state, i)

    def loss(params: Tree) -> tuple[jax.Array, Any]:
        value, (*said, stats) = scene.discriminator_loss(params, discriminator.stats, real, fake)
        terms = scene.terms(replace(discriminator, params=params), generator.params, real, fake, tuple(said), wanted)
        return sum(terms.values(), start=value), (value, terms, said, stats)

    (_, (value, terms, said, stats)), gradient = jax.value_and_grad(loss, has_aux=True)(discriminator.params)
    seen = readings(game.loss.reads, *scores(game, *said))
    seen |= dict(zip(DISCRIMINATOR_REPORTS, (value, optax.tree.norm(gradient)), strict=True))
    seen |= {f"penalty/{name}": term for name, term in terms.items()}
    player = descend(game, state, "discriminator", discriminator, gradient, stats, smooth)
    for penalty in game.penalties:
        player = replace(player, params=penalty.project(player.params, state.numbers["penalty"][penalty.name]))
    return player, cursor, seen


def _wanted(game: Game, state: State, i: jax.Array) -> dict[str, jax.Array]:
    """Return which of the lazy penalties are due in turn ``i`` of this step."""
    if all(penalty.every == 1 for penalty in game.penalties):
        return {}
    turn = state.step * game.schedule.discriminator_steps(state.step, share_done(state), state.numbers["schedule"]) + i
    return {penalty.name: turn % penalty.every == 0 for penalty in game.penalties if penalty.every > 1}


def generator_turn(
    game: Game, state: State, source: Source, key: jax.Array, opponent: Player, generator: Player, cursor: Cursor
) -> Taken:
    """Lines 12-13 of Algorithm 1: descend the generator's loss against the discriminator ``opponent``.

    As in Algorithm 1 this turn draws no data and the loss gets None for its real logits, unless somebody needs them.
    """
    noise_key, made_key, fake_key = jax.random.split(key, 3)
    noise = draw_noise(game, noise_key, game.batch_size)
    data_key, real_key = jax.random.split(jax.random.fold_in(key, DATA))
    ahead = partial(_ahead, game, state, source, jax.random.fold_in(key, AHEAD), generator, opponent, cursor)
    joining = [penalty for penalty in game.penalties if penalty.for_generator]
    data, labels = None, draw_labels(game, jax.random.fold_in(key, LABELS), game.batch_size)
    if game.loss.generator_sees_data or game.infers or joining:
        data, labels, cursor = draw_data(game, source, data_key, cursor, game.batch_size)
    keys = Keys(made_key, real_key, fake_key, key)
    scene = Scene(game, state.numbers, share_done(state), data, noise, labels, labels, generator.stats, keys)

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

    The generator's gradient goes through those turns, and they are then forgotten (Metz et al. 2017, "Unrolled
    generative adversarial networks", eq. 8-9).
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
    return Player(params=optax.apply_updates(player.params, change), stats=stats, optimizer=moments)
