"""What each player minimises, as functions of logits.

D(x) = sigmoid(logit) is the probability that the discriminator gives to "x is data". With that,
log D = log_sigmoid(logit) and log(1 - D) = log_sigmoid(-logit), which stay finite where log(sigmoid(x)) does not.

Each loss is a pair: ``discriminator(real_logits, fake_logits, numbers)`` and
``generator(real_logits, fake_logits, numbers)``. Logits have shape ``(batch,)``, the result is a scalar in nats, and
``numbers`` holds the loss's traced parameters by name. The generator's step of Algorithm 1 draws no data, so its
``real_logits`` are None, unless the loss says ``generator_sees_data``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, relu, softplus

from ganrun.registry import number, register

Numbers = Mapping[str, jax.Array]

LOG_2 = 0.6931471805599453
LOG_4 = 1.3862943611198906


def game_value(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """V(D, G) = E log D(x) + E log(1 - D(G(z))), in nats (Goodfellow et al. 2014, eq. 1)."""
    return jnp.mean(log_sigmoid(real_logits)) + jnp.mean(log_sigmoid(-fake_logits))


def pair_value(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """E log sigmoid(C(x) - C(y)) + log 2 over the pairs of rows, in nats: 0 for a critic C that cannot tell x from y.

    The classifier sigmoid(C(x) - C(y)) says which of the two is data. At the best C = log(p/q), this is the
    Jensen-Shannon divergence between p⊗q and q⊗p; for any other C less. That is not the divergence of p and q.
    """
    return jnp.mean(log_sigmoid(real_logits - fake_logits)) + LOG_2


def readings(reads: str, real_logits: jax.Array, fake_logits: jax.Array) -> dict[str, jax.Array]:
    """Return by tag what may be said of logits ``(batch,)`` that a loss reads as ``reads`` (see :class:`Loss`)."""
    if reads == "probability":
        value = game_value(real_logits, fake_logits)
        return {
            "D(x)": jnp.mean(jax.nn.sigmoid(real_logits)),
            "D(G(z))": jnp.mean(jax.nn.sigmoid(fake_logits)),
            "value": value,
            "jsd/online": (value + LOG_4) / 2,
        }
    seen = {"critic/real": jnp.mean(real_logits), "critic/fake": jnp.mean(fake_logits)}
    if reads == "pair":
        seen["value/pair"] = pair_value(real_logits, fake_logits)
    return seen


class Loss:
    """What every loss says of itself beside its two functions. Not fields: no configuration can change them.

    Attributes:
        reads: what the discriminator's output means at its optimum. ``probability``: its sigmoid is the probability of
            "data". ``critic``: a score, higher for data; its scale and offset mean nothing. ``pair``: only
            differences between two outputs mean something, as the logit of "the first is data, not the second".
        generator_sees_data: the generator's loss needs the discriminator's output on a minibatch of data too.
    """

    reads: ClassVar[str] = "critic"
    generator_sees_data: ClassVar[bool] = False


@dataclass(frozen=True)
class CrossEntropyGame(Loss):
    """The discriminator of the original game, a binary classifier.

    It minimises -E[t log D(x) + (1 - t) log(1 - D(x))] - E log(1 - D(G(z))), which is -V for t = 1.
    t = 1 - label_smoothing is the target for data only: smoothing the fake side too would reward the generator for
    what it already does (one-sided label smoothing, Salimans et al. 2016, section 3.4).
    """

    reads = "probability"

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


@register("loss", "relativistic")
@dataclass(frozen=True)
class Relativistic(Loss):
    """The critic C tells which one of a pair is data: -E log sigmoid(C(x) - C(G(z))), pairs taken row by row.

    The generator minimises the same with the roles exchanged, -E log sigmoid(C(G(z)) - C(x)) (RSGAN of
    Jolicoeur-Martineau 2019, "The relativistic discriminator"; RpGAN of Huang et al. 2024, eq. 2 with the logistic f).
    A constant added to C changes nothing, so sigmoid(C(x)) by itself is no probability.
    """

    reads = "pair"
    generator_sees_data = True

    name: str = "relativistic"

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return jnp.mean(softplus(fake_logits - real_logits))

    def generator(self, real_logits: jax.Array, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return jnp.mean(softplus(real_logits - fake_logits))


@register("loss", "hinge")
@dataclass(frozen=True)
class Hinge(Loss):
    """The critic C minimises E max(0, 1 - C(x)) + E max(0, 1 + C(G(z))), and the generator -E C(G(z)).

    Lim & Ye 2017, "Geometric GAN"; Miyato et al. 2018, eq. 16 and 17. Beyond the margins ±1 the critic has no gradient.
    """

    reads = "critic"

    name: str = "hinge"

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return jnp.mean(relu(1.0 - real_logits)) + jnp.mean(relu(1.0 + fake_logits))

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, numbers: Numbers) -> jax.Array:
        return -jnp.mean(fake_logits)
