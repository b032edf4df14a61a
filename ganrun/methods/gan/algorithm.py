"""Algorithm 1 of Goodfellow et al. 2014 as one pure function.

A step makes k discriminator updates, each on a fresh minibatch of noise and of data, and then one or more generator
updates on fresh noise against the *updated* discriminator. Losses that compare data with samples also draw fresh data
for the generator update. The hyperparameters are arrays, so the compiled program does not depend on their values.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ganrun.datasets.sampler import Cursor
from ganrun.keys import key_for
from ganrun.methods.base import Batches, Metrics, Progress
from ganrun.methods.gan.discriminator_eval import DiscriminatorEval
from ganrun.methods.gan.networks import Conditioning, pack
from ganrun.methods.gan.state import GanModel, GanSpec, Player, Tree
from ganrun.methods.gan.updates import (
    Context,
    Updated,
    discriminator_update,
    generator_update,
    lazy,
    optimizer,
    tag,
    zero_metrics,
)
from ganrun.methods.moving_average import moving_average


def create(spec: GanSpec, hparams: Tree, key: jax.Array, example: jax.Array) -> GanModel:
    """Return the networks before the first step. Only the shape of ``example`` ``(1, *shape)`` is used."""
    generator_key, discriminator_key = (key_for(key, f"initial {name}") for name in ("generator", "discriminator"))
    labels: Conditioning = {"y": jnp.zeros((1,), jnp.int32)} if spec.classes else {}
    latent = jnp.zeros((1, spec.latent_dim))
    packed = pack(jnp.concatenate([example] * spec.packing), spec.packing)
    generator = _create_player(spec.generator, latent, generator_key, labels)
    conditioning = labels | ({"z": latent} if spec.has_encoder else {})
    discriminator = _create_player(spec.discriminator, packed, discriminator_key, conditioning)
    zero = jnp.zeros((), jnp.int32)
    optimizers = {name: optimizer(spec, hparams, name, zero) for name in ("generator", "discriminator")}
    generator = replace(generator, gradient_square=jnp.zeros(())) if spec.normalised else generator
    return GanModel(
        generator=replace(generator, optimizer=optimizers["generator"].init(generator.params)),
        discriminator=replace(discriminator, optimizer=optimizers["discriminator"].init(discriminator.params)),
        average=jax.tree.map(jnp.copy, generator.variables),
    )


def _create_player(module: Any, example: jax.Array, key: jax.Array, conditioning: Conditioning) -> Player:
    variables = module.init({"params": key}, example, train=False, **conditioning)
    updates = jnp.zeros((), jnp.int32)
    return Player(params=variables["params"], stats=variables.get("batch_stats", {}), optimizer=(), updates=updates)


def step(
    spec: GanSpec, model: GanModel, batches: Batches, key: jax.Array, hparams: Tree, progress: Progress
) -> tuple[GanModel, Cursor, Metrics]:
    """Run one iteration of the outer loop of Algorithm 1; see :meth:`ganrun.methods.base.Method.step`.

    Adaptive schedules evaluate the discriminator on the held-out data.
    """
    context = Context(spec, batches.train, hparams, progress)
    (discriminator, cursor, metrics), k = _update_discriminator(context, model, batches, key)
    opponent = model.discriminator if spec.schedule.order == "simultaneous" else discriminator
    generator, cursor, generator_metrics = _update_generator(context, model.generator, key, opponent, cursor)
    means = {tag(penalty.name): metrics[tag(penalty.name)] / k for penalty in lazy(spec)}
    average = moving_average(model.average, generator.variables, hparams["ema"]["decay"], progress.step)
    after = GanModel(generator=generator, discriminator=discriminator, average=average)
    return after, cursor, metrics | means | generator_metrics | {"schedule/k": k}


def _update_discriminator(
    context: Context, model: GanModel, batches: Batches, key: jax.Array
) -> tuple[Updated, jax.Array]:
    """Return the discriminator after the updates of this step, and their number k."""
    schedule, hparams, progress = context.spec.schedule, context.hparams["schedule"], context.progress
    maximum = schedule.discriminator_steps(progress.step, progress.done, hparams)
    one_update = partial(discriminator_update, context, key, model.generator)
    start = (model.discriminator, batches.cursor, zero_metrics(context.spec))
    if not schedule.adaptive:
        return jax.lax.fori_loop(0, maximum, one_update, start), maximum
    evaluation = DiscriminatorEval.draw(context, model, batches.held_out, key_for(key, "exam"))

    def condition(carry: Any) -> jax.Array:
        i, _, best = carry
        return (i == 0) | ((i < maximum) & schedule.should_continue(best, hparams))

    def body(carry: Any) -> Any:
        i, updated, best = carry
        updated = one_update(i, updated)
        return i + 1, updated, schedule.after(best, *evaluation.evaluate(updated[0]), hparams)

    before = schedule.before(*evaluation.evaluate(model.discriminator))
    k, updated, _ = jax.lax.while_loop(condition, body, (jnp.zeros((), jnp.int32), start, before))
    return updated, k


def _update_generator(context: Context, generator: Player, key: jax.Array, opponent: Player, cursor: Cursor) -> Updated:
    """Return the generator after the updates of this step."""

    def one_update(i: int | jax.Array, generator: Player, cursor: Cursor) -> Updated:
        return generator_update(context, key_for(key, "generator update", i), opponent, generator, cursor)

    first = one_update(0, generator, cursor)
    count = context.spec.schedule.generator_steps
    if count == 1:
        return first
    return jax.lax.fori_loop(1, count, lambda i, updated: one_update(i, *updated[:2]), first)
