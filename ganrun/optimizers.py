"""Optimizers with traced hyperparameters: a new learning rate needs no recompilation.

``transform(step, steps, hparams, smooth)`` builds the Optax transformation inside the compiled update. ``step`` is the
generator step, ``steps`` the length of the run and ``hparams`` the option's traced hyperparameters. With ``smooth`` the
update is differentiable even where a gradient is 0, as an unrolled discriminator requires.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ganrun.config.registry import choice, number, register, traced

Hparams = Mapping[str, jax.Array]
SMOOTHING = 1e-16  # added to Adam's second moment under the square root if the update is differentiated
DECAYS = ("constant", "cosine", "linear", "exponential")


@dataclass(frozen=True)
class Decaying:
    """Base class of optimizers whose learning rate decays from ``learning_rate`` to ``minimum_rate`` over the run.

    ``constant`` does not decay. ``linear`` and ``cosine`` (half a period; Loshchilov & Hutter 2017, eq. 5) reach the
    minimum at the last step. ``exponential`` divides the rate by 1 + ``decay_rate`` at every step; the 2014 settings
    have 1.000004, whose last digits single precision would lose, so the setting is the difference from 1.
    """

    name: str = ""
    learning_rate: float = number(1e-3, low=0.0, high=10.0)
    decay: str = choice("constant", DECAYS)
    decay_rate: float = number(4e-6, low=0.0, high=10.0)
    minimum_rate: float = number(0.0, low=0.0, high=10.0)

    def rate(self, step: jax.Array, steps: jax.Array, hparams: Hparams) -> jax.Array:
        """Return the learning rate at ``step`` of a run of ``steps``."""
        start, floor = hparams["learning_rate"], jnp.minimum(hparams["minimum_rate"], hparams["learning_rate"])
        done = jnp.clip(step / steps, 0.0, 1.0)
        if self.decay == "cosine":
            return floor + (start - floor) * 0.5 * (1.0 + jnp.cos(jnp.pi * done))
        if self.decay == "linear":
            return floor + (start - floor) * (1.0 - done)
        if self.decay == "exponential":
            return jnp.maximum(floor, start * jnp.exp(-step * jnp.log1p(hparams["decay_rate"])))
        return start


def between(start: jax.Array, end: jax.Array, done: jax.Array, decay: str) -> jax.Array:
    """Return a setting that goes from ``start`` to ``end``, when a fraction ``done`` of the run is done.

    ``decay`` is ``cosine`` (half a cosine), ``linear``, or ``constant``, which stays at ``start``.
    """
    if decay == "cosine":
        return end + (start - end) * 0.5 * (1.0 + jnp.cos(jnp.pi * done))
    if decay == "linear":
        return end + (start - end) * (1.0 - done)
    return start


def optimizer_hparams(option: Decaying) -> dict[str, Any]:
    """Return the traced hyperparameters of ``option``, without ``final_b2`` where b2 is constant.

    What a run does not use is left out of its state.
    """
    unused = {"final_b2"} if getattr(option, "b2_schedule", "") == "constant" else set()
    return {name: value for name, value in traced(option).items() if name not in unused}


@register("optimizer", "adam")
@dataclass(frozen=True)
class Adam(Decaying):
    """Adam: steps along a moving average m of the gradient, divided by the root of a moving average v of its square.

    Formula: m ← b1 m + (1 - b1) g, v ← b2 v + (1 - b2) g², w ← w - rate m' / (√v' + eps), with m' = m / (1 - b1^t) and
    v' = v / (1 - b2^t) at step t
    Paper: Kingma & Ba 2015, "Adam: a method for stochastic optimization", Algorithm 1.

    Attributes:
        b1: decay of the average of the gradient.
        b2: decay of the average of its square, at the start of the run.
        final_b2: this decay at the end of the run, unless ``b2_schedule`` is constant.
        b2_schedule: how it changes in between: linearly, or along half a period of a cosine.
        eps: added to the root.
    """

    name: str = "adam"
    decay: str = choice("cosine", DECAYS)
    b1: float = number(0.5, low=0.0, below=1.0)
    b2: float = number(0.99, low=0.0, below=1.0)
    final_b2: float = number(0.99, low=0.0, below=1.0)
    b2_schedule: str = choice("constant", ("constant", "cosine", "linear"))
    eps: float = number(1e-8, above=0.0, high=1.0)

    def second_decay(self, step: jax.Array, steps: jax.Array, hparams: Hparams) -> jax.Array:
        """Return b2 at ``step`` of a run of ``steps``."""
        if self.b2_schedule == "constant":
            return hparams["b2"]
        return between(hparams["b2"], hparams["final_b2"], jnp.clip(step / steps, 0.0, 1.0), self.b2_schedule)

    def transform(
        self, step: jax.Array, steps: jax.Array, hparams: Hparams, smooth: bool = False
    ) -> optax.GradientTransformation:
        eps_root = SMOOTHING if smooth else 0.0
        rule = optax.scale_by_adam if self.b2_schedule == "constant" else scale_by_scheduled_adam
        adam = rule(hparams["b1"], self.second_decay(step, steps, hparams), hparams["eps"], eps_root)
        return optax.chain(adam, optax.scale(-self.rate(step, steps, hparams)))


class ScheduledAdamState(NamedTuple):
    """The state of :func:`scale_by_scheduled_adam`.

    Attributes:
        adam: the state of :func:`optax.scale_by_adam`.
        weight: sum of the weights of all squared gradients in their moving average, 1 minus the product of all b2.
    """

    adam: Any
    weight: jax.Array


def scale_by_scheduled_adam(
    b1: jax.Array, b2: jax.Array, eps: jax.Array, eps_root: float = 0.0
) -> optax.GradientTransformation:
    """Return Adam's rescaling of gradients for a ``b2`` that may differ from update to update.

    The average of the squares is divided by the sum of its weights, which is 1 - b2^t only if b2 is constant.

    Formula: v' = v / (1 - b2_1 b2_2 ... b2_t)

    Args:
        b1: decay of the moving average of the gradient, the same at all updates.
        b2: decay of the moving average of its square at this update.
        eps: added to the root of that average.
        eps_root: added under the root.
    """

    def init(params: Any) -> ScheduledAdamState:
        adam = optax.scale_by_adam(b1, b2, eps, eps_root).init(params)
        return ScheduledAdamState(adam, jnp.zeros((), jnp.float32))

    def update(gradients: Any, state: ScheduledAdamState, params: Any = None) -> tuple[Any, ScheduledAdamState]:
        del params
        count = optax.safe_increment(state.adam.count)
        mu = optax.tree.update_moment(gradients, state.adam.mu, b1, 1)
        nu = optax.tree.update_moment_per_elem_norm(gradients, state.adam.nu, b2, 2)
        # Averages like the squares do, but the number 1: exact where 1 minus the product would cancel.
        weight = b2 * state.weight + (1.0 - b2)
        corrected = optax.tree.bias_correction(mu, b1, count)
        steps = jax.tree.map(lambda m, v: m / (jnp.sqrt(v / weight + eps_root) + eps), corrected, nu)
        return steps, ScheduledAdamState(optax.ScaleByAdamState(count, mu, nu), weight)

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]


@register("optimizer", "rmsprop")
@dataclass(frozen=True)
class RmsProp(Decaying):
    """RMSProp: gradients divided by the root of a moving average of their squares, as in the first Wasserstein GAN.

    Formula: s <- ρ s + (1 - ρ) g²,  w <- w - rate g / √(s + ε)
    Paper: Tieleman & Hinton 2012, "Lecture 6.5: RMSProp".
    """

    name: str = "rmsprop"
    learning_rate: float = number(5e-5, low=0.0, high=10.0)
    smoothing: float = number(0.99, low=0.0, below=1.0)
    eps: float = number(1e-8, above=0.0, high=1.0)

    def transform(
        self, step: jax.Array, steps: jax.Array, hparams: Hparams, smooth: bool = False
    ) -> optax.GradientTransformation:
        del smooth  # it always is: ε is under the root
        rms = optax.scale_by_rms(hparams["smoothing"], hparams["eps"])
        return optax.chain(rms, optax.scale(-self.rate(step, steps, hparams)))


@register("optimizer", "sgd")
@dataclass(frozen=True)
class Sgd(Decaying):
    """Stochastic gradient descent with momentum, as in Goodfellow et al. 2014 (pylearn2's settings).

    Formula: v ← momentum v + g, w ← w - rate v
    Paper: Goodfellow et al. 2014, "Generative adversarial nets", section 5 and the code that came with it.

    The momentum changes linearly from ``momentum`` to ``final_momentum`` over ``momentum_steps`` steps, then stays.
    """

    name: str = "sgd"
    learning_rate: float = number(0.1, low=0.0, high=10.0)
    decay: str = choice("exponential", DECAYS)
    minimum_rate: float = number(1e-6, low=0.0, high=10.0)
    momentum: float = number(0.5, low=0.0, below=1.0)
    final_momentum: float = number(0.7, low=0.0, below=1.0)
    momentum_steps: float = number(125_000.0, above=0.0)

    def transform(
        self, step: jax.Array, steps: jax.Array, hparams: Hparams, smooth: bool = False
    ) -> optax.GradientTransformation:
        del smooth  # it always is
        done = jnp.clip(step / hparams["momentum_steps"], 0.0, 1.0)
        momentum = hparams["momentum"] + (hparams["final_momentum"] - hparams["momentum"]) * done
        return optax.chain(optax.trace(momentum), optax.scale(-self.rate(step, steps, hparams)))
