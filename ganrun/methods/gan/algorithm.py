"""Algorithm 1 of Goodfellow et al. 2014 as one pure function.

A step makes k discriminator updates, each on a fresh minibatch of noise and of data, and then one or more generator
updates on fresh noise against the *updated* discriminator. Losses that compare data with samples also draw fresh data
for the generator update. ``state.hparams`` are arrays, so the compiled program does not depend on their values.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ganrun.datasets.sampler import Cursor, Source
from ganrun.keys import key_for
from ganrun.methods.gan.discriminator_eval import DiscriminatorEval
from ganrun.methods.gan.networks import Conditioning, pack
from ganrun.methods.gan.state import GanSpec, MetricAccumulator, Player, State, Tree
from ganrun.methods.gan.updates import (
    Updated,
    discriminator_update,
    fraction_done,
    generator_update,
    lazy,
    optimizer,
    tag,
    zero_metrics,
)


def create(spec: GanSpec, hparams: Tree, seed: jax.Array, example: jax.Array) -> State:
    """Return the state before the first step. Only the shape of ``example`` ``(1, *shape)`` is used."""
    key = key_for(jax.random.key(seed), "run")
    generator_key, discriminator_key = (key_for(key, f"initial {name}") for name in ("generator", "discriminator"))
    labels: Conditioning = {"y": jnp.zeros((1,), jnp.int32)} if spec.classes else {}
    latent = jnp.zeros((1, spec.latent_dim))
    packed = pack(jnp.concatenate([example] * spec.packing), spec.packing)
    generator = _create_player(spec.generator, latent, generator_key, labels)
    conditioning = labels | ({"z": latent} if spec.has_encoder else {})
    discriminator = _create_player(spec.discriminator, packed, discriminator_key, conditioning)
    zero = jnp.zeros((), jnp.int32)
    optimizers = {name: optimizer(spec, hparams, name, zero) for name in ("generator", "discriminator")}
    return State(
        step=zero,
        key=key,
        hparams=hparams,
        generator=replace(generator, optimizer=optimizers["generator"].init(generator.params)),
        discriminator=replace(discriminator, optimizer=optimizers["discriminator"].init(discriminator.params)),
        average=jax.tree.map(jnp.copy, generator.variables),
        cursor=Cursor.start(),
        accumulator=MetricAccumulator.empty(len(spec.tags)),
    )


def _create_player(module: Any, example: jax.Array, key: jax.Array, conditioning: Conditioning) -> Player:
    variables = module.init({"params": key}, example, train=False, **conditioning)
    updates = jnp.zeros((), jnp.int32)
    return Player(params=variables["params"], stats=variables.get("batch_stats", {}), optimizer=(), updates=updates)


def update(spec: GanSpec, state: State, source: Source, held_out: Source | None = None) -> State:
    """Run one iteration of the outer loop of Algorithm 1.

    Adaptive schedules evaluate the discriminator on ``held_out``, or on ``source`` if it is None.
    """
    key = key_for(state.key, "step", state.step)
    (discriminator, cursor, metrics), k = _update_discriminator(spec, state, source, held_out or source, key)
    opponent = state.discriminator if spec.schedule.order == "simultaneous" else discriminator
    generator, cursor, generator_metrics = _update_generator(spec, state, source, key, opponent, cursor)

    means = {tag(penalty.name): metrics[tag(penalty.name)] / k for penalty in lazy(spec)}
    metrics = metrics | means | generator_metrics | {"schedule/k": k}
    step = state.step + 1
    return replace(
        state,
        step=step,
        generator=generator,
        discriminator=discriminator,
        average=_moving_average(state, generator),
        cursor=cursor,
        accumulator=_accumulate(
            state, step, jnp.stack([jnp.asarray(metrics[name], jnp.float32) for name in spec.tags])
        ),
    )


def _update_discriminator(
    spec: GanSpec, state: State, source: Source, held_out: Source, key: jax.Array
) -> tuple[Updated, jax.Array]:
    """Return the discriminator after the updates of this step, and their number k."""
    schedule, hparams = spec.schedule, state.hparams["schedule"]
    maximum = schedule.discriminator_steps(state.step, fraction_done(state), hparams)
    one_update = partial(discriminator_update, spec, state, source, key, state.generator)
    start = (state.discriminator, state.cursor, zero_metrics(spec))
    if not schedule.adaptive:
        return jax.lax.fori_loop(0, maximum, one_update, start), maximum
    evaluation = DiscriminatorEval.draw(spec, state, held_out, key_for(key, "exam"))

    def condition(carry: Any) -> jax.Array:
        i, _, progress = carry
        return (i == 0) | ((i < maximum) & schedule.should_continue(progress, hparams))

    def body(carry: Any) -> Any:
        i, updated, progress = carry
        updated = one_update(i, updated)
        return i + 1, updated, schedule.after(progress, *evaluation.evaluate(updated[0]), hparams)

    before = schedule.before(*evaluation.evaluate(state.discriminator))
    k, updated, _ = jax.lax.while_loop(condition, body, (jnp.zeros((), jnp.int32), start, before))
    return updated, k


def _update_generator(
    spec: GanSpec, state: State, source: Source, key: jax.Array, opponent: Player, cursor: Cursor
) -> Updated:
    """Return the generator after the updates of this step."""

    def one_update(i: int | jax.Array, generator: Player, cursor: Cursor) -> Updated:
        update_key = key_for(key, "generator update", i)
        return generator_update(spec, state, source, update_key, opponent, generator, cursor)

    first = one_update(0, state.generator, cursor)
    if spec.schedule.generator_steps == 1:
        return first
    return jax.lax.fori_loop(1, spec.schedule.generator_steps, lambda i, updated: one_update(i, *updated[:2]), first)


def _moving_average(state: State, generator: Player) -> Tree:
    """Update the exponential moving average of the generator.

    The decay is smaller in the first steps, so that the initial weights are forgotten quickly.
    """
    done = state.step.astype(jnp.float32)
    decay = jnp.minimum(state.hparams["ema"]["decay"], (1.0 + done) / (10.0 + done))
    return jax.tree.map(lambda mean, new: decay * mean + (1.0 - decay) * new, state.average, generator.variables)


def _accumulate(state: State, step: jax.Array, metrics: jax.Array) -> MetricAccumulator:
    """Add the metrics of one step, reset the sums after a logging boundary, and keep the first non-finite metric."""
    old = state.accumulator
    reset = state.step % state.hparams["run"]["log_every"] == 0
    bad = ~jnp.isfinite(metrics)
    first = (old.bad_step == 0) & jnp.any(bad)
    return MetricAccumulator(
        sums=jnp.where(reset, 0.0, old.sums) + metrics,
        count=jnp.where(reset, 0, old.count) + 1,
        bad_step=jnp.where(first, step, old.bad_step),
        bad_tag=jnp.where(first, jnp.argmax(bad), old.bad_tag).astype(jnp.int32),
    )
