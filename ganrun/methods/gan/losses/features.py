"""Losses whose generator uses the discriminator's features instead of its output."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ganrun.config.registry import register
from ganrun.methods.gan.losses.base import Hparams
from ganrun.methods.gan.losses.cross_entropy import CrossEntropyGame


@register("loss", "feature_matching")
@dataclass(frozen=True)
class FeatureMatching(CrossEntropyGame):
    """The original discriminator; the generator matches the mean of its last hidden layer f on data.

    Formula: G minimises ||E f(x) - E f(G(z))||^2; D as in the original game

    Paper: Salimans et al. 2016, "Improved techniques for training GANs", section 3.1

    Only the mean is matched, so a generator that fits it may still miss modes.
    """

    generator_sees_data = True
    uses_features = True

    name: str = "feature_matching"

    def generator(self, real_features: jax.Array, fake_features: jax.Array, hparams: Hparams) -> jax.Array:
        return jnp.sum((jnp.mean(real_features, axis=0) - jnp.mean(fake_features, axis=0)) ** 2)
