"""Losses whose critic compares data with samples: a constant added to all of its outputs changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.nn import softplus

from ganrun.game.losses.base import Loss, Numbers
from ganrun.registry import register


@register("loss", "relativistic")
@dataclass(frozen=True)
class Relativistic(Loss):
    """The critic C tells which one of a pair (data, sample) is data, and the generator wants the reverse.

    Formula: C minimises -E log sigmoid(C(x) - C(G(z))), G minimises -E log sigmoid(C(G(z)) - C(x)),
    pairs taken row by row

    Paper: Jolicoeur-Martineau 2019, "The relativistic discriminator: a key element missing from standard GAN" (RSGAN);
    Huang et al. 2024, "The GAN is dead; long live the GAN!", eq. 2 with the logistic f (RpGAN)

    A constant added to C changes nothing, so sigmoid(C(x)) by itself is no probability.
    """

    reads = "pair"
    generator_sees_data = True

    name: str = "relativistic"

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return jnp.mean(softplus(fake_logits - real_logits))

    def generator(self, real_logits: jax.Array, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return jnp.mean(softplus(real_logits - fake_logits))


@register("loss", "relativistic_average")
@dataclass(frozen=True)
class RelativisticAverage(Loss):
    """The critic C compares each example with the mean of the other side, and the generator wants the reverse.

    Formula: C minimises -E log sigmoid(C(x) - E C(G(z))) - E log sigmoid(E C(x) - C(G(z))),
    G the same with the roles exchanged

    Paper: Jolicoeur-Martineau 2019, "The relativistic discriminator: a key element missing from standard GAN" (RaSGAN)

    The means are those of the minibatch, so the gradient of a small batch is biased.
    """

    reads = "pair"
    generator_sees_data = True

    name: str = "relativistic_average"

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return _above_average(real_logits, fake_logits)

    def generator(self, real_logits: jax.Array, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return _above_average(fake_logits, real_logits)


def _above_average(high: jax.Array, low: jax.Array) -> jax.Array:
    """How far ``high`` fails to lie above the mean of ``low``, and ``low`` below the mean of ``high``."""
    return jnp.mean(softplus(jnp.mean(low) - high)) + jnp.mean(softplus(low - jnp.mean(high)))
