"""One discriminator update and one generator update: the two inner parts of Algorithm 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ganrun.datasets.sampler import Cursor, Source
from ganrun.keys import key_for
from ganrun.methods.base import Progress
from ganrun.methods.gan.batch import Batch
from ganrun.methods.gan.losses import output_metrics
from ganrun.methods.gan.networks import draw_data, draw_labels, draw_noise, scores
from ganrun.methods.gan.state import OUTPUT_METRICS, GanSpec, Player, Tree
from ganrun.methods.gan.transport import TAGS, normaliser, weight

DISCRIMINATOR_METRICS = ("loss/discriminator", "grad_norm/discriminator")

Updated = tuple[Player, Cursor, dict[str, jax.Array]]  # a network after an update, the data cursor, metrics by tag


@dataclass(frozen=True)
class Context:
    """What all updates of a step share.

    Attributes:
        spec: the static settings of the GAN.
        source: the training data.
        hparams: the traced hyperparameters.
        progress: how far the run is.
    """

    spec: GanSpec
    source: Source
    hparams: Tree
    progress: Progress


def zero_metrics(spec: GanSpec) -> dict[str, jax.Array]:
    """Return the metrics of the discriminator before its first update: all zero."""
    penalties = [tag(penalty.name) for penalty in spec.penalties if penalty.reports]
    return dict.fromkeys((*OUTPUT_METRICS[spec.loss.output_type], *DISCRIMINATOR_METRICS, *penalties), jnp.zeros(()))


def discriminator_update(
    context: Context, key: jax.Array, generator: Player, i: jax.Array, carry: Updated, smooth: bool = False
) -> Updated:
    """Lines 4-8 of Algorithm 1: one ascent step of V in D with G fixed. The metrics are those of D before the update.

    Args:
        context: what all updates of the step share.
        key: from which the key of this update is derived.
        generator: the fixed generator.
        i: index of the update within the step.
        carry: the discriminator, the data cursor and the metrics of the updates before.
        smooth: the update itself will be differentiated.
    """
    spec, hparams = context.spec, context.hparams
    discriminator, cursor, before = carry
    key = key_for(key, "discriminator update", i)
    data, labels, cursor = draw_data(spec, context.source, key_for(key, "data"), cursor, spec.batch_size)
    noise = draw_noise(spec, key_for(key, "noise"), spec.batch_size)
    batch = Batch(spec, hparams, context.progress.done, data, noise, labels, labels, generator.stats, key)
    # The new batch statistics of G are dropped: G is fixed here, and only its own updates change them.
    (real, _), (fake, _) = batch.examples(generator.params), batch.samples(generator.params)
    due = _lazy_due(spec, discriminator)

    def loss(params: Tree) -> tuple[jax.Array, Any]:
        value, outputs = batch.discriminator_loss(params, discriminator.stats, real, fake)
        terms = batch.terms(replace(discriminator, params=params), generator.params, real, fake, outputs, due)
        return sum(terms.values(), start=value), (value, terms, outputs)

    (_, (value, terms, outputs)), gradient = jax.value_and_grad(loss, has_aux=True)(discriminator.params)
    metrics = output_metrics(spec.loss.output_type, *scores(spec, outputs.real, outputs.fake))
    metrics |= dict(zip(DISCRIMINATOR_METRICS, (value, optax.tree.norm(gradient)), strict=True))
    # A lazy penalty is summed over the updates of a step; `algorithm.update` divides the sum by their number.
    metrics |= {tag(name): term + before[tag(name)] if name in due else term for name, term in terms.items()}
    player = descend(context, "discriminator", discriminator, gradient, outputs.stats, smooth)
    for penalty in spec.penalties:
        player = replace(player, params=penalty.project(player.params, hparams["penalty"][penalty.name]))
    return player, cursor, metrics


def lazy(spec: GanSpec) -> list[Any]:
    """Return the penalties that are not computed at every update (lazy regularisation)."""
    return [penalty for penalty in spec.penalties if penalty.every > 1]


def tag(penalty: str) -> str:
    """Return the metric tag of the term that ``penalty`` adds to the loss."""
    return f"penalty/{penalty}"


def _lazy_due(spec: GanSpec, discriminator: Player) -> dict[str, jax.Array]:
    """Return for each lazy penalty whether it is computed in the next update, by the discriminator's update count."""
    return {penalty.name: discriminator.updates % penalty.every == 0 for penalty in lazy(spec)}


def generator_update(context: Context, key: jax.Array, opponent: Player, generator: Player, cursor: Cursor) -> Updated:
    """Lines 12-13 of Algorithm 1: one descent step of the generator's loss against the discriminator ``opponent``.

    As in Algorithm 1, the update draws no data and the loss gets None for its real logits, unless the loss, the encoder
    or a penalty needs data.
    """
    spec, hparams = context.spec, context.hparams
    noise = draw_noise(spec, key_for(key, "noise"), spec.batch_size)
    unroll = partial(_unrolled, context, key_for(key, "look-ahead"), generator, opponent, cursor)
    penalties = [penalty for penalty in spec.penalties if penalty.for_generator]
    data, labels = None, draw_labels(spec, hparams, key_for(key, "labels"), spec.batch_size)
    if spec.loss.generator_sees_data or spec.has_encoder or penalties:
        data, labels, cursor = draw_data(spec, context.source, key_for(key, "data"), cursor, spec.batch_size)
    batch = Batch(spec, hparams, context.progress.done, data, noise, labels, labels, generator.stats, key)

    def loss(params: Tree, shift: jax.Array | None = None) -> tuple[jax.Array, Any]:
        discriminator = unroll(params) if spec.unrolled else opponent
        value, (loss_on_all, stats) = batch.generator_loss(params, discriminator, shift)
        for penalty in penalties:
            value = value + penalty.generator_term(batch.field(opponent, params), hparams["penalty"][penalty.name])
        return value, (loss_on_all, stats)

    if spec.normalised:
        (value, stats), gradient, generator = _normalised_gradient(context, batch, loss, generator)
    else:
        (_, (value, stats)), gradient = jax.value_and_grad(loss, has_aux=True)(generator.params)
    gradient, transport = _with_transport(context, batch, generator.params, gradient)
    player = descend(context, "generator", generator, gradient, stats)
    return player, cursor, {"loss/generator": value, "grad_norm/generator": optax.tree.norm(gradient), **transport}


def _normalised_gradient(
    context: Context, batch: Batch, loss: Callable[..., Any], generator: Player
) -> tuple[Any, Tree, Player]:
    """Return what ``loss`` returns beside its value, its normalised gradient, and the generator with the new average.

    All gradients of a minibatch have the same divisor, so it is enough to know the gradient at the samples.
    """
    params, hparams = generator.params, context.hparams["generator_update"]
    zero = jnp.zeros(jax.eval_shape(batch.generated, params)[0].shape)
    (_, aux), (gradient, at_samples) = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(params, zero)
    decay = hparams["normalisation_decay"]
    divisor, average = normaliser(at_samples, generator.gradient_square, generator.updates, decay)
    return aux, jax.tree.map(lambda part: part / divisor, gradient), replace(generator, gradient_square=average)


def _with_transport(context: Context, batch: Batch, params: Tree, gradient: Tree) -> tuple[Tree, dict[str, jax.Array]]:
    """Return ``gradient`` plus that of the transport term, and the metrics of this term; both as they are without."""
    spec = context.spec
    if not spec.transport:
        return gradient, {}
    cost, of_cost = jax.value_and_grad(batch.transport_cost)(params)
    factor = weight(spec.transport, context.hparams["generator_update"], context.progress.done)
    total = jax.tree.map(lambda one, other: one + factor * other, gradient, of_cost)
    return total, dict(zip(TAGS, (cost, factor), strict=True))


def _unrolled(
    context: Context, key: jax.Array, generator: Player, opponent: Player, cursor: Cursor, params: Tree
) -> Player:
    """Return the discriminator after ``spec.unrolled`` more updates against the generator with ``params``.

    The generator's gradient flows through these updates; their results, batch statistics included, are then discarded
    (Metz et al. 2017, "Unrolled generative adversarial networks", eq. 8-9).
    """
    start = (opponent, cursor, zero_metrics(context.spec))

    def one_update(carry: Updated, i: jax.Array) -> tuple[Updated, None]:
        fixed = replace(generator, params=params)
        return discriminator_update(context, key, fixed, i, carry, smooth=True), None

    (player, _, _), _ = jax.lax.scan(one_update, start, jnp.arange(context.spec.unrolled))
    return player


def optimizer(
    spec: GanSpec, hparams: Tree, player: str, step: jax.Array, smooth: bool = False
) -> optax.GradientTransformation:
    """Return the optimizer of ``player`` (``generator`` or ``discriminator``) at ``step``."""
    rule = getattr(spec, f"{player}_optimizer")
    return rule.transform(step, hparams["run"]["steps"], hparams["optimizer"][player], smooth)


def descend(context: Context, name: str, player: Player, gradient: Tree, stats: Tree, smooth: bool = False) -> Player:
    """Return ``player`` after one optimizer step with ``gradient``."""
    transform = optimizer(context.spec, context.hparams, name, context.progress.step, smooth)
    updates, optimizer_state = transform.update(gradient, player.optimizer, player.params)
    params = optax.apply_updates(player.params, updates)
    return replace(player, params=params, stats=stats, optimizer=optimizer_state, updates=player.updates + 1)
