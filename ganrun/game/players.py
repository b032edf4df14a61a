"""The two networks at work: what they are fed, what they are shown of each other, and what comes out.

``beside`` is what a network is told beside its input, by name: the labels ``y`` of a class-conditional game, and the
latents ``z`` that a discriminator judges together with the examples where the game infers.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ganrun.datasets.sampler import Cursor, Source
from ganrun.game.state import Game, Tree

Beside = dict[str, jax.Array]
ANCHORS = 16  # samples that a critic of several outputs measures its distances from


def draw_noise(game: Game, key: jax.Array, n: int) -> jax.Array:
    """Return ``(n, latent_dim)`` draws of the prior: standard normal, or uniform on [-1, 1]."""
    shape = (n, game.latent_dim)
    if game.prior == "uniform":
        return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
    return jax.random.normal(key, shape)


def draw_labels(game: Game, numbers: Tree, key: jax.Array, n: int) -> Beside:
    """Return the labels ``(n,)`` of a class-conditional game, as frequent as in the data; nothing in another game."""
    if not game.classes:
        return {}
    return {"y": jax.random.choice(key, game.classes, (n,), p=numbers["class_probabilities"]).astype(jnp.int32)}


def draw_data(game: Game, source: Source, key: jax.Array, cursor: Cursor, n: int) -> tuple[jax.Array, Beside, Cursor]:
    """Return a minibatch of ``n`` examples, their labels where the game is class-conditional, and the next cursor."""
    if not game.classes:
        x, cursor = source.minibatch(key, cursor, n)
        return x, {}, cursor
    x, y, cursor = source.labelled(key, cursor, n)
    return x, {"y": y}, cursor


def forward(
    module: Any, params: Tree, stats: Tree, x: jax.Array, key: jax.Array, beside: Beside | None = None
) -> tuple[jax.Array, Tree]:
    """Run ``module`` in training mode; return its output and the batch statistics after it."""
    output, new = module.apply(
        {"params": params, "batch_stats": stats},
        x,
        train=True,
        rngs={"dropout": key},
        mutable=["batch_stats"],
        **(beside or {}),
    )
    return output, new.get("batch_stats", stats)


def features(game: Game, params: Tree, stats: Tree, x: jax.Array, beside: Beside, key: jax.Array) -> jax.Array:
    """Return the discriminator's last hidden layer on ``x``, ``(n, features)``, in training mode.

    The batch statistics after it are dropped: the generator looks, and the discriminator is not in training.
    """
    _, new = game.discriminator.apply(
        {"params": params, "batch_stats": stats},
        x,
        train=True,
        rngs={"dropout": key},
        mutable=["batch_stats", "features"],
        **beside,
    )
    (last,) = jax.tree.leaves(new["features"])
    return last


def inferred(game: Game, params: Tree, stats: Tree, x: jax.Array, key: jax.Array) -> tuple[Beside, Tree]:
    """Return the latents that the generator's encoder finds for ``x`` in training mode, where the game infers.

    Also returns the generator's batch statistics after it, which include the encoder's.
    """
    if not game.infers:
        return {}, stats
    latents, new = game.generator.apply(
        {"params": params, "batch_stats": stats},
        x,
        train=True,
        rngs={"dropout": key},
        mutable=["batch_stats"],
        method="encode",
    )
    return {"z": latents}, new.get("batch_stats", stats)


def show(game: Game, numbers: Tree, done: jax.Array, x: jax.Array, key: jax.Array) -> jax.Array:
    """Return ``x`` as the discriminator gets to see it: with noise, and several examples as one.

    The noise falls linearly over the run (instance noise, Sønderby et al. 2017).
    """
    if game.noisy:
        start, end = numbers["inputs"]["noise"], numbers["inputs"]["final_noise"]
        x = x + (start + (end - start) * done) * jax.random.normal(key, x.shape)
    return pack(x, game.packing)


def pack(x: jax.Array, size: int) -> jax.Array:
    """Join every ``size`` rows of ``x`` ``(n, ..., channel)`` along the last axis: ``(n / size, ..., size channel)``.

    PacGAN, Lin et al. 2018, section 3.
    """
    if size == 1:
        return x
    packs = x.reshape(len(x) // size, size, *x.shape[1:])
    return jnp.moveaxis(packs, 1, -2).reshape(len(packs), *x.shape[1:-1], size * x.shape[-1])


def scores(game: Game, real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return one score ``(n,)`` per row for what the discriminator said of data and of samples."""
    if game.loss.outputs == 1:
        return real, fake
    return game.loss.critic(real, fake[:ANCHORS]), game.loss.critic(fake, fake[:ANCHORS])
