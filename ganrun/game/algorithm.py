"""Algorithm 1 of Goodfellow et al. 2014 as one pure function.

k discriminator updates, each on a fresh minibatch of noise and of data, then one generator update on fresh noise
against the *new* discriminator (and on fresh data, for the losses that compare the two). ``state.numbers`` are arrays,
so nothing here depends on their values.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ganrun.datasets.sampler import Cursor, Source
from ganrun.game.losses import readings
from ganrun.game.state import READINGS, Game, Player, Readout, State, Tree

DISCRIMINATOR_REPORTS = ("loss/discriminator", "grad_norm/discriminator")
DATA = 3  # name of the generator's data key beside the three that its step splits off


def draw_noise(game: Game, key: jax.Array, n: int) -> jax.Array:
    """Return ``(n, latent_dim)`` draws of the prior: standard normal, or uniform on [-1, 1]."""
    shape = (n, game.latent_dim)
    if game.prior == "uniform":
        return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
    return jax.random.normal(key, shape)


def forward(module: Any, params: Tree, stats: Tree, x: jax.Array, key: jax.Array) -> tuple[jax.Array, Tree]:
    """Run ``module`` in training mode; return its output and the batch statistics after it."""
    output, new = module.apply(
        {"params": params, "batch_stats": stats}, x, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
    )
    return output, new.get("batch_stats", stats)


def create(game: Game, numbers: Tree, seed: jax.Array, example: jax.Array) -> State:
    """Return the state before the first step. ``example`` is ``(1, *shape)`` and gives only the shape of the data."""
    key = jax.random.key(seed)
    generator_key, discriminator_key = jax.random.split(jax.random.fold_in(key, 0))
    generator = _create_player(game.generator, jnp.zeros((1, game.latent_dim)), generator_key)
    discriminator = _create_player(game.discriminator, example, discriminator_key)
    zero = jnp.zeros((), jnp.int32)
    start = {name: _optimizer(game, numbers, name, zero) for name in ("generator", "discriminator")}
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


def _create_player(module: Any, example: jax.Array, key: jax.Array) -> Player:
    variables = module.init({"params": key}, example, train=False)
    return Player(params=variables["params"], stats=variables.get("batch_stats", {}), optimizer=())


def _optimizer(game: Game, numbers: Tree, player: str, step: jax.Array) -> optax.GradientTransformation:
    rule = getattr(game, f"{player}_optimizer")
    return rule.transform(step, numbers["run"]["steps"], numbers["optimizer"][player])


def update(game: Game, state: State, source: Source) -> State:
    """One iteration of Algorithm 1: the whole outer loop body."""
    step_key = jax.random.fold_in(state.key, state.step + 1)  # 0 went to the initial parameters
    discriminator_key, generator_key = jax.random.split(step_key)
    k = game.schedule.discriminator_steps(state.step, state.numbers["schedule"])

    discriminator_step = partial(_discriminator_step, game, state, source, discriminator_key)
    silent = dict.fromkeys((*READINGS[game.loss.reads], *DISCRIMINATOR_REPORTS), jnp.zeros(()))
    discriminator, cursor, seen = jax.lax.fori_loop(
        0, k, discriminator_step, (state.discriminator, state.cursor, silent)
    )
    generator, cursor, felt = _generator_step(game, state, source, generator_key, discriminator, cursor)

    reports = seen | felt | {"schedule/k": k}
    step = state.step + 1
    return replace(
        state,
        step=step,
        generator=generator,
        discriminator=discriminator,
        average=_follow(state, generator),
        cursor=cursor,
        readout=_record(state, step, jnp.stack([jnp.asarray(reports[tag], jnp.float32) for tag in game.tags])),
    )


def _discriminator_step(game: Game, state: State, source: Source, key: jax.Array, i: jax.Array, carry: Any) -> Any:
    """Lines 4-8 of Algorithm 1: ascend V in D, G held fixed. Reports are taken at D before its update."""
    discriminator, cursor, _ = carry
    data_key, noise_key, fixed_key, real_key, fake_key = jax.random.split(jax.random.fold_in(key, i), 5)
    real, cursor = source.minibatch(data_key, cursor, game.batch_size)
    noise = draw_noise(game, noise_key, game.batch_size)
    fake, _ = forward(game.generator, state.generator.params, state.generator.stats, noise, fixed_key)

    def loss(params: Tree) -> tuple[jax.Array, Any]:
        real_logits, stats = forward(game.discriminator, params, discriminator.stats, real, real_key)
        fake_logits, stats = forward(game.discriminator, params, stats, fake, fake_key)
        return game.loss.discriminator(real_logits, fake_logits, state.numbers["loss"]), (
            real_logits,
            fake_logits,
            stats,
        )

    (value, (real_logits, fake_logits, stats)), gradient = jax.value_and_grad(loss, has_aux=True)(discriminator.params)
    seen = readings(game.loss.reads, real_logits, fake_logits)
    seen |= dict(zip(DISCRIMINATOR_REPORTS, (value, optax.tree.norm(gradient)), strict=True))
    return _descend(game, state, "discriminator", discriminator, gradient, stats), cursor, seen


def _generator_step(
    game: Game, state: State, source: Source, key: jax.Array, discriminator: Player, cursor: Cursor
) -> tuple[Player, Cursor, dict[str, jax.Array]]:
    """Lines 12-13 of Algorithm 1: descend the generator's loss against the discriminator as it is now.

    As in Algorithm 1 this step draws no data and the loss gets None for its real logits, unless it asks for them.
    """
    noise_key, fake_key, judge_key = jax.random.split(key, 3)
    noise = draw_noise(game, noise_key, game.batch_size)
    real_logits = None
    if game.loss.generator_sees_data:
        # Split off by a name of its own: the losses that see no data draw what they always drew.
        data_key, real_key = jax.random.split(jax.random.fold_in(key, DATA))
        real, cursor = source.minibatch(data_key, cursor, game.batch_size)
        real_logits, _ = forward(game.discriminator, discriminator.params, discriminator.stats, real, real_key)

    def loss(params: Tree) -> tuple[jax.Array, Tree]:
        fake, stats = forward(game.generator, params, state.generator.stats, noise, fake_key)
        logits, _ = forward(game.discriminator, discriminator.params, discriminator.stats, fake, judge_key)
        return game.loss.generator(real_logits, logits, state.numbers["loss"]), stats

    (value, stats), gradient = jax.value_and_grad(loss, has_aux=True)(state.generator.params)
    player = _descend(game, state, "generator", state.generator, gradient, stats)
    return player, cursor, {"loss/generator": value, "grad_norm/generator": optax.tree.norm(gradient)}


def _descend(game: Game, state: State, name: str, player: Player, gradient: Tree, stats: Tree) -> Player:
    rule = _optimizer(game, state.numbers, name, state.step)
    change, optimizer = rule.update(gradient, player.optimizer, player.params)
    return Player(params=optax.apply_updates(player.params, change), stats=stats, optimizer=optimizer)


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
