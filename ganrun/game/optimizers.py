"""Gradient descent rules with every number traced: a new learning rate does not compile again.

``transform(step, steps, numbers, smooth)`` builds the optax transformation inside the compiled update, where ``step``
is the generator step, ``steps`` the length of the run and ``numbers`` the option's traced parameters. A ``smooth`` one
can be differentiated where a gradient is 0, as an unrolled discriminator's is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

from ganrun.registry import choice, number, register

Numbers = Mapping[str, jax.Array]
SMOOTHING = 1e-16  # beside a squared gradient, under a root
DECAYS = ("constant", "cosine", "linear", "exponential")


@dataclass(frozen=True)
class Decaying:
    """A learning rate that decays over the run from ``learning_rate`` to ``minimum_rate``.

    ``constant`` stays; ``linear`` and ``cosine`` (half a period; Loshchilov & Hutter 2017, eq. 5) arrive at the last
    step; ``exponential`` divides by 1 + ``decay_rate`` at every step (the 2014 settings: 1.000004, whose last digits
    single precision would lose, so the small part is what is kept).
    """

    name: str = ""
    learning_rate: float = number(1e-3, low=0.0, high=10.0)
    decay: str = choice("constant", DECAYS)
    decay_rate: float = number(4e-6, low=0.0, high=10.0)
    minimum_rate: float = number(0.0, low=0.0, high=10.0)

    def rate(self, step: jax.Array, steps: jax.Array, numbers: Numbers) -> jax.Array:
        """Return the learning rate at ``step`` of ``steps``."""
        start, floor = numbers["learning_rate"], jnp.minimum(numbers["minimum_rate"], numbers["learning_rate"])
        done = jnp.clip(step / steps, 0.0, 1.0)
        if self.decay == "cosine":
            return floor + (start - floor) * 0.5 * (1.0 + jnp.cos(jnp.pi * done))
        if self.decay == "linear":
            return floor + (start - floor) * (1.0 - done)
        if self.decay == "exponential":
            return jnp.maximum(floor, start * jnp.exp(-step * jnp.log1p(numbers["decay_rate"])))
        return start


@register("optimizer", "adam")
@dataclass(frozen=True)
class Adam(Decaying):
    """Adam: steps along the mean gradient m of late, shorter where its mean square v is large.

    Formula: m ← b1 m + (1 - b1) g, v ← b2 v + (1 - b2) g², w ← w - rate m' / (√v' + eps), with m' = m / (1 - b1^t) and
    v' = v / (1 - b2^t) at step t
    Paper: Kingma & Ba 2015, "Adam: a method for stochastic optimization", Algorithm 1.
    """

    name: str = "adam"
    decay: str = choice("cosine", DECAYS)
    b1: float = number(0.5, low=0.0, below=1.0)
    b2: float = number(0.99, low=0.0, below=1.0)
    eps: float = number(1e-8, above=0.0, high=1.0)

    def transform(
        self, step: jax.Array, steps: jax.Array, numbers: Numbers, smooth: bool = False
    ) -> optax.GradientTransformation:
        under_root = SMOOTHING if smooth else 0.0
        adam = optax.scale_by_adam(numbers["b1"], numbers["b2"], numbers["eps"], under_root)
        return optax.chain(adam, optax.scale(-self.rate(step, steps, numbers)))


@register("optimizer", "rmsprop")
@dataclass(frozen=True)
class RmsProp(Decaying):
    """Steps divided by the root of a moving average of squared gradients, as Wasserstein GANs were first trained.

    Formula: s <- ρ s + (1 - ρ) g²,  w <- w - rate g / √(s + ε)
    Paper: Tieleman & Hinton 2012, "Lecture 6.5: RMSProp".
    """

    name: str = "rmsprop"
    learning_rate: float = number(5e-5, low=0.0, high=10.0)
    smoothing: float = number(0.99, low=0.0, below=1.0)
    eps: float = number(1e-8, above=0.0, high=1.0)

    def transform(
        self, step: jax.Array, steps: jax.Array, numbers: Numbers, smooth: bool = False
    ) -> optax.GradientTransformation:
        del smooth  # it is as it is: ε is under the root
        squares = optax.scale_by_rms(numbers["smoothing"], numbers["eps"])
        return optax.chain(squares, optax.scale(-self.rate(step, steps, numbers)))


@register("optimizer", "sgd")
@dataclass(frozen=True)
class Sgd(Decaying):
    """Stochastic gradient descent with momentum, as Goodfellow et al. 2014 trained (pylearn2's settings).

    Formula: v ← momentum v + g, w ← w - rate v
    Paper: Goodfellow et al. 2014, "Generative adversarial nets", section 5 and the code that came with it.

    The momentum rises linearly from ``momentum`` to ``final_momentum`` over ``momentum_steps`` steps and stays.
    """

    name: str = "sgd"
    learning_rate: float = number(0.1, low=0.0, high=10.0)
    decay: str = choice("exponential", DECAYS)
    minimum_rate: float = number(1e-6, low=0.0, high=10.0)
    momentum: float = number(0.5, low=0.0, below=1.0)
    final_momentum: float = number(0.7, low=0.0, below=1.0)
    momentum_steps: float = number(125_000.0, above=0.0)

    def transform(
        self, step: jax.Array, steps: jax.Array, numbers: Numbers, smooth: bool = False
    ) -> optax.GradientTransformation:
        del smooth  # it is as it is
        done = jnp.clip(step / numbers["momentum_steps"], 0.0, 1.0)
        momentum = numbers["momentum"] + (numbers["final_momentum"] - numbers["momentum"]) * done
        return optax.chain(optax.trace(momentum), optax.scale(-self.rate(step, steps, numbers)))
