"""Losses whose discriminator is a binary classifier: the sigmoid of its output is the probability of "data"."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, softplus

from ganrun.config.registry import choice, number, register
from ganrun.methods.gan.losses.base import SATURATIONS, Hparams, Loss, mean_exp


@dataclass(frozen=True)
class CrossEntropyGame(Loss):
    """The discriminator of the original GAN, a binary classifier.

    It minimises -E[t log D(x) + (1 - t) log(1 - D(x))] - E log(1 - D(G(z))), which is -V for t = 1.
    The target t = 1 - label_smoothing applies to data only: smoothing the target of samples as well would reinforce
    the generator's current samples (one-sided label smoothing, Salimans et al. 2016, section 3.4).
    """

    output_type = "probability"

    name: str = ""
    label_smoothing: float = number(0.0, low=0.0, below=1.0)

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        smoothing = hparams["label_smoothing"]
        real = (1.0 - smoothing) * log_sigmoid(real_logits) + smoothing * log_sigmoid(-real_logits)
        return -jnp.mean(real) - jnp.mean(log_sigmoid(-fake_logits))


@register("loss", "minimax")
@dataclass(frozen=True)
class Minimax(CrossEntropyGame):
    """The original zero-sum game. The generator's gradient vanishes where D rejects samples with confidence.

    Formula: D maximises E log D(x) + E log(1 - D(G(z))), G minimises E log(1 - D(G(z)))

    Paper: Goodfellow et al. 2014, "Generative adversarial nets", eq. 1
    """

    name: str = "minimax"

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return jnp.mean(log_sigmoid(-fake_logits))


@register("loss", "nonsaturating")
@dataclass(frozen=True)
class NonSaturating(CrossEntropyGame):
    """The original game with a generator loss whose gradient does not vanish where D rejects samples.

    Formula: D maximises E log D(x) + E log(1 - D(G(z))), G minimises -E log D(G(z))

    Paper: Goodfellow et al. 2014, "Generative adversarial nets", section 3

    With D frozen at its optimum the generator's gradient is that of KL(model, data) - 2 JSD (Arjovsky & Bottou 2017,
    "Towards principled methods for training generative adversarial networks").
    """

    name: str = "nonsaturating"

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return -jnp.mean(log_sigmoid(fake_logits))


@register("loss", "maximum_likelihood")
@dataclass(frozen=True)
class MaximumLikelihood(CrossEntropyGame):
    """The original game with a generator loss whose gradient at the optimal D is that of KL(data, model).

    Formula: G minimises -E exp(logit D(G(z))) = -E D(G(z)) / (1 - D(G(z))), the density ratio at the optimal D

    Paper: Goodfellow 2014, "On distinguishability criteria for estimating generative models"

    The mean is dominated by a few samples, so its variance is high. Where it would overflow, it is kept at a very large
    finite number with a consistent gradient (:func:`ganrun.methods.gan.losses.mean_exp`).
    """

    name: str = "maximum_likelihood"

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return -mean_exp(fake_logits)


@register("loss", "logistic")
@dataclass(frozen=True)
class Logistic(Loss):
    """The original game written with one function f, as used with the zero-centred penalties R1 and R2.

    Formula: D maximises E f(C(x)) + E f(-C(G(z))), G minimises E f(-C(G(z))) (saturating) or -E f(C(G(z)))
    (nonsaturating), with f(t) = -log(1 + exp(-t)) and C the logit

    Paper: Mescheder et al. 2018, "Which training methods for GANs do actually converge?", section 2

    The paper's discriminator has the opposite sign: its output is high on samples. The values equal those of
    ``minimax`` and ``nonsaturating`` without label smoothing, which a gradient penalty makes unnecessary.
    """

    output_type = "probability"

    name: str = "logistic"
    generator_objective: str = choice("nonsaturating", SATURATIONS)

    def discriminator(self, real_logits: jax.Array, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        return jnp.mean(softplus(-real_logits)) + jnp.mean(softplus(fake_logits))

    def generator(self, real_logits: jax.Array | None, fake_logits: jax.Array, hparams: Hparams) -> jax.Array:
        if self.generator_objective == "saturating":
            return -jnp.mean(softplus(fake_logits))
        return jnp.mean(softplus(-fake_logits))
