"""Applies the networks: draws noise, labels and data, and runs generator, discriminator and encoder.

``conditioning`` holds the further inputs of a network by name: the labels ``y`` of a class-conditional GAN, and the
latents ``z`` that the discriminator of a GAN with an encoder (BiGAN) receives together with the examples.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ganrun.datasets.sampler import Cursor, Source
from ganrun.keys import key_for
from ganrun.methods import class_labels
from ganrun.methods.gan.augmentation import augmented
from ganrun.methods.gan.state import GanSpec, Tree
from ganrun.priors import Prior

Conditioning = dict[str, jax.Array]
ANCHORS = 16  # samples that a critic of several outputs measures its distances from


def draw_noise(spec: GanSpec, key: jax.Array, n: int) -> jax.Array:
    """Return ``(n, latent_dim)`` draws of the prior."""
    return Prior(spec.prior, spec.latent_dim).draw(key, n)


def draw_labels(spec: GanSpec, hparams: Tree, key: jax.Array, n: int) -> Conditioning:
    """Return ``n`` labels with the class frequencies of the data; empty unless the GAN is class-conditional."""
    if not spec.classes:
        return {}
    return {"y": class_labels.draw_labels(hparams["class_probabilities"], key, n)}


def draw_data(
    spec: GanSpec, source: Source, key: jax.Array, cursor: Cursor, n: int
) -> tuple[jax.Array, Conditioning, Cursor]:
    """Return ``n`` examples, their labels (empty unless the GAN is class-conditional), and the next cursor."""
    if not spec.classes:
        x, cursor = source.minibatch(key, cursor, n)
        return x, {}, cursor
    x, y, cursor = source.labelled(key, cursor, n)
    return x, {"y": y}, cursor


def forward(
    module: Any, params: Tree, stats: Tree, x: jax.Array, key: jax.Array, conditioning: Conditioning | None = None
) -> tuple[jax.Array, Tree]:
    """Apply ``module`` in training mode; return its output and the updated batch statistics."""
    output, new = module.apply(
        {"params": params, "batch_stats": stats},
        x,
        train=True,
        rngs={"dropout": key},
        mutable=["batch_stats"],
        **(conditioning or {}),
    )
    return output, new.get("batch_stats", stats)


def features(
    spec: GanSpec, params: Tree, stats: Tree, x: jax.Array, conditioning: Conditioning, key: jax.Array
) -> jax.Array:
    """Return the activations of the discriminator's last hidden layer on ``x``, ``(n, features)``, in training mode.

    The new batch statistics are dropped: this is called in the generator's update, where the discriminator is fixed.
    """
    _, new = spec.discriminator.apply(
        {"params": params, "batch_stats": stats},
        x,
        train=True,
        rngs={"dropout": key},
        mutable=["batch_stats", "features"],
        **conditioning,
    )
    (last,) = jax.tree.leaves(new["features"])
    return last


def encode_data(spec: GanSpec, params: Tree, stats: Tree, x: jax.Array, key: jax.Array) -> tuple[Conditioning, Tree]:
    """Return the encoder's latents ``{"z": ...}`` for ``x`` in training mode; empty if the GAN has no encoder.

    Also returns the generator's updated batch statistics, which include the encoder's.
    """
    if not spec.has_encoder:
        return {}, stats
    latents, new = spec.generator.apply(
        {"params": params, "batch_stats": stats},
        x,
        train=True,
        rngs={"dropout": key},
        mutable=["batch_stats"],
        method="encode",
    )
    return {"z": latents}, new.get("batch_stats", stats)


def discriminator_input(spec: GanSpec, hparams: Tree, done: jax.Array, x: jax.Array, key: jax.Array) -> jax.Array:
    """Return ``x`` as the discriminator's input: augmented, with instance noise, and with examples packed together.

    The noise's standard deviation changes linearly over the run (instance noise, Sønderby et al. 2017).
    """
    x = augmented(x, spec.augmentation, key_for(key, "augmentation")) if spec.augmentation else x
    if spec.noisy:
        start, end = hparams["inputs"]["noise"], hparams["inputs"]["final_noise"]
        x = x + (start + (end - start) * done) * jax.random.normal(key, x.shape)
    return pack(x, spec.packing)


def pack(x: jax.Array, size: int) -> jax.Array:
    """Join every ``size`` rows of ``x`` ``(n, ..., channel)`` along the last axis: ``(n / size, ..., size channel)``.

    PacGAN, Lin et al. 2018, section 3.
    """
    if size == 1:
        return x
    packs = x.reshape(len(x) // size, size, *x.shape[1:])
    return jnp.moveaxis(packs, 1, -2).reshape(len(packs), *x.shape[1:-1], size * x.shape[-1])


def scores(spec: GanSpec, real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return one score ``(n,)`` per row, given the discriminator's outputs on data and on samples."""
    if spec.loss.outputs == 1:
        return real, fake
    return spec.loss.critic(real, fake[:ANCHORS]), spec.loss.critic(fake, fake[:ANCHORS])
