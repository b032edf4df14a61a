"""Losses whose generator looks at what the discriminator sees in an example, not at its verdict."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ganrun.game.losses.base import Numbers
from ganrun.game.losses.cross_entropy import CrossEntropyGame
from ganrun.registry import register


@register("loss", "feature_matching")
@dataclass(frozen=True)
class FeatureMatching(CrossEntropyGame):
    """The original discriminator, and a generator that matches the mean of its last hidden layer f on data.

    Formula: G minimises ||E f(x) - E f(G(z))||^2; D as in the original game

    Paper: Salimans et al. 2016, "Improved techniques for training GANs", section 3.1

    The mean is all that is matched: a generator may fit it and still leave out modes.
    """

    generator_sees_data = True
    uses_features = True

    name: str = "feature_matching"

    def generator(self, real_features: jax.Array, fake_features: jax.Array, numbers: Numbers) -> jax.Array:
        return jnp.sum((jnp.mean(real_features, axis=0) - jnp.mean(fake_features, axis=0)) ** 2)
