"""Losses whose critic compares data with samples; they are invariant to a constant added to all of its outputs."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.nn import softplus

from ganrun.config.registry import register
from ganrun.methods.gan.losses.base import Hparams, Loss


@register("loss", "relativistic")
@dataclass(frozen=True)
class Relativistic(Loss):
    """The critic C classifies which one of a pair (data, sample) is data; the generator has the opposite objective.

    Formula: C minimises -E log sigmoid(C(x) - C(G(z))), G minimises -E log sigmoid(C(G(z)) - C(x)),
    pairs taken row by row

    Paper: Jolicoeur-Martineau 2019, "The relativistic discriminator: a key element missing from standard GAN" (RSGAN);
    Huang et al. 2024, "The GAN is dead; long live the GAN!", eq. 2 with the logistic f (RpGAN)

    The loss is invariant to a constant added to C, so sigmoid(C(x)) by itself is not a probability.
    """

    output_type = "pair"
    generator_sees_data = True

    name: str = "relativistic"

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return jnp.mean(softplus(fake_logits - real_logits))

    def generator(self, real_logits: jax.Array, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return jnp.mean(softplus(real_logits - fake_logits))


@register("loss", "relativistic_average")
@dataclass(frozen=True)
class RelativisticAverage(Loss):
    """The critic C compares each example with the mean of the other distribution, and G has the opposite objective.

    Formula: C minimises -E log sigmoid(C(x) - E C(G(z))) - E log sigmoid(E C(x) - C(G(z))),
    G the same with the roles exchanged

    Paper: Jolicoeur-Martineau 2019, "The relativistic discriminator: a key element missing from standard GAN" (RaSGAN)

    The means are estimated on the minibatch, so the gradient is biased for small batches.
    """

    output_type = "pair"
    generator_sees_data = True

    name: str = "relativistic_average"

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return _above_average(real_logits, fake_logits)

    def generator(self, real_logits: jax.Array, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return _above_average(fake_logits, real_logits)


def _above_average(high: jax.Array, low: jax.Array) -> jax.Array:
    """Return the loss for ``high`` not exceeding the mean of ``low``, and ``low`` exceeding the mean of ``high``."""
    return jnp.mean(softplus(jnp.mean(low) - high)) + jnp.mean(softplus(low - jnp.mean(high)))
