"""What each player minimises, as functions of logits.

D(x) = sigmoid(logit) is the probability that the discriminator gives to "x is data". With that,
log D = log_sigmoid(logit) and log(1 - D) = log_sigmoid(-logit), which stay finite where log(sigmoid(x)) does not.

Each loss is a pair: ``discriminator(real_logits, fake_logits, numbers)`` and
``generator(real_logits, fake_logits, numbers)``. Logits have shape ``(batch,)``, the result is a scalar in nats, and
``numbers`` holds the loss's traced parameters by name. The generator's step of Algorithm 1 draws no data, so its
``real_logits`` are None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid

from ganrun.registry import number, register

Numbers = Mapping[str, jax.Array]


def game_value(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """V(D, G) = E log D(x) + E log(1 - D(G(z))), in nats (Goodfellow et al. 2014, eq. 1)."""
    return jnp.mean(log_sigmoid(real_logits)) + jnp.mean(log_sigmoid(-fake_logits))


@dataclass(frozen=True)
class CrossEntropyGame:
    """The discriminator of the original game, a binary classifier.

    It minimises -E[t log D(x) + (1 - t) log(1 - D(x))] - E log(1 - D(G(z))), which is -V for t = 1.
    t = 1 - label_smoothing is the target for data only: smoothing the fake side too would reward the generator for
    what it already does (one-sided label smoothing, Salimans et al. 2016, section 3.4).
    """

    name: str = ""
    label_smoothing: float = number(0.0, low=0.0, below=1.0)

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        smoothing = numbers["label_smoothing"]
        real = (1.0 - smoothing) * log_sigmoid(real_logits) + smoothing * log_sigmoid(-real_logits)
        return -jnp.mean(real) - jnp.mean(log_sigmoid(-fake_logits))


@register("loss", "minimax")
@dataclass(frozen=True)
class Minimax(CrossEntropyGame):
    """The generator minimises E log(1 - D(G(z))): the zero-sum game (Goodfellow et al. 2014, eq. 1).

    Its gradient vanishes where D rejects samples with confidence.
    """

    name: str = "minimax"

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return jnp.mean(log_sigmoid(-fake_logits))


@register("loss", "nonsaturating")
@dataclass(frozen=True)
class NonSaturating(CrossEntropyGame):
    """The generator minimises -E log D(G(z)), which keeps its gradient (Goodfellow et al. 2014, section 3)."""

    name: str = "nonsaturating"

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return -jnp.mean(log_sigmoid(fake_logits))


@register("loss", "maximum_likelihood")
@dataclass(frozen=True)
class MaximumLikelihood(CrossEntropyGame):
    """The generator minimises -E exp(logit D(G(z))), whose gradient at D* is that of KL(data, model).

    Goodfellow 2014b, "On distinguishability criteria for estimating generative models"; the exponential of the logit
    is D / (1 - D), the density ratio at D*. A few samples carry most of it, so its variance is high.
    """

    name: str = "maximum_likelihood"

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return -jnp.mean(jnp.exp(fake_logits))
