"""Schedules of the number of discriminator updates before the generator update of step t (Algorithm 1's k)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from ganrun.config.registry import choice, number, register
from ganrun.errors import ConfigError

Hparams = Mapping[str, jax.Array]
ORDERS = ("alternating", "simultaneous")
MAX = 100_000  # largest number of discriminator updates in one step


@dataclass(frozen=True)
class Schedule(ABC):
    """Base class of all schedules.

    Attributes:
        adaptive: the number of updates depends on held-out performance; ``discriminator_steps`` is then its maximum.
        name: the option's name.
        generator_steps: generator updates per step, each on fresh noise.
        order: ``alternating``, as in Algorithm 1: the generator update uses the updated discriminator.
            ``simultaneous``: it uses the discriminator from before the step, as the theory of gradient play assumes.
    """

    adaptive: ClassVar[bool] = False

    name: str = ""
    generator_steps: int = number(1, low=1, high=10_000)
    order: str = choice("alternating", ORDERS)

    @abstractmethod
    def discriminator_steps(self, step: jax.Array, done: jax.Array, hparams: Hparams) -> jax.Array:
        """Return k as a traced int32 scalar, at ``step`` and when a fraction ``done`` of the run is done."""

    def most_discriminator_steps(self) -> int:
        """Return the maximum of k over all steps."""
        values = [getattr(self, name, 1) for name in ("k", "final_k", "burst_k")]
        return max(max(value) if isinstance(value, tuple) else value for value in values)


@register("schedule", "constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """The same k at every step.

    Formula: k(t) = k
    Paper: Goodfellow et al. 2014, "Generative adversarial nets", Algorithm 1, with k = 1.
    """

    name: str = "constant"
    k: int = number(1, low=1, high=1000, traced=True)

    def discriminator_steps(self, step: jax.Array, done: jax.Array, hparams: Hparams) -> jax.Array:
        del step, done
        return hparams["k"].astype("int32")


@register("schedule", "piecewise")
@dataclass(frozen=True)
class Piecewise(Schedule):
    """k is ``k[i]`` from step ``at[i]`` on, and ``burst_k`` at every ``burst_every``-th step.

    The defaults are those of the authors' WGAN code: 100 updates in the first 25 steps and at every 500th, otherwise 5.

    Formula: k(t) = k[i] for at[i] <= t < at[i + 1], burst_k if burst_every divides t
    Paper: Arjovsky et al. 2017, "Wasserstein GAN", Algorithm 1 and the code that came with it.
    """

    name: str = "piecewise"
    at: tuple[int, ...] = number((0, 25), low=0, high=2**31 - 1, traced=True)
    k: tuple[int, ...] = number((100, 5), low=1, high=MAX, traced=True)
    burst_every: int = number(500, low=0, high=2**31 - 1, traced=True)
    burst_k: int = number(100, low=1, high=MAX, traced=True)

    def __post_init__(self) -> None:
        if len(self.at) != len(self.k) or not self.at:
            raise ConfigError(
                f"schedule.at and schedule.k need one entry per piece each, but have {len(self.at)} and {len(self.k)}."
            )
        if self.at[0] != 0 or any(later <= sooner for sooner, later in zip(self.at, self.at[1:], strict=False)):
            raise ConfigError(f"schedule.at must begin with 0 and rise, not {list(self.at)}.")

    def discriminator_steps(self, step: jax.Array, done: jax.Array, hparams: Hparams) -> jax.Array:
        del done
        k = hparams["k"][jnp.sum(step >= hparams["at"]) - 1]
        every = hparams["burst_every"]
        burst = (every > 0) & (step % jnp.maximum(every, 1) == 0)
        return jnp.where(burst, hparams["burst_k"], k).astype("int32")


@register("schedule", "ramp")
@dataclass(frozen=True)
class Ramp(Schedule):
    """k changes linearly or along half a cosine from ``k`` to ``final_k`` over the first ``share`` of the run.

    After that it is constant. It is rounded to a whole number of updates.

    Formula: k(t) = k + (final_k - k) w(t), with w = t for ``linear`` and w = (1 - cos(pi t)) / 2 for ``cosine``
    """

    name: str = "ramp"
    k: int = number(1, low=1, high=MAX, traced=True)
    final_k: int = number(5, low=1, high=MAX, traced=True)
    share: float = number(1.0, above=0.0, high=1.0)
    shape: str = choice("linear", ("linear", "cosine"))

    def discriminator_steps(self, step: jax.Array, done: jax.Array, hparams: Hparams) -> jax.Array:
        del step
        t = jnp.clip(done / hparams["share"], 0.0, 1.0)
        if self.shape == "cosine":
            t = 0.5 * (1.0 - jnp.cos(jnp.pi * t))
        k, final = hparams["k"].astype("float32"), hparams["final_k"].astype("float32")
        return jnp.round(k + (final - k) * t).astype("int32")


@struct.dataclass
class Stopping:
    """Held-out performance of the discriminator during one step, measured on one fixed minibatch.

    Attributes:
        best: highest value (minus the discriminator's loss) so far.
        stale: number of updates since it rose.
        accuracy: fraction of held-out examples and samples that are classified correctly.
    """

    best: jax.Array
    stale: jax.Array
    accuracy: jax.Array


@register("schedule", "adaptive")
@dataclass(frozen=True)
class Adaptive(Schedule):
    """The discriminator is updated until it does well enough on held-out data: at least once, at most ``k`` times.

    ``until=value``: until the held-out value has not risen by more than ``tolerance`` for ``patience`` updates.
    ``until=accuracy``: until the held-out accuracy reaches ``accuracy``.

    Formula: update j+1 follows if j < k and V_i > V_best + tolerance for some of the last patience i <= j (value), or
    if j < k and the held-out accuracy < accuracy (accuracy)
    """

    adaptive = True

    name: str = "adaptive"
    k: int = number(20, low=1, high=MAX, traced=True)
    until: str = choice("value", ("value", "accuracy"))
    tolerance: float = number(0.0, low=0.0)
    patience: int = number(1, low=1, high=MAX, traced=True)
    accuracy: float = number(0.7, low=0.0, high=1.0)

    def discriminator_steps(self, step: jax.Array, done: jax.Array, hparams: Hparams) -> jax.Array:
        del step, done
        return hparams["k"].astype("int32")

    def before(self, value: jax.Array, accuracy: jax.Array) -> Stopping:
        """Return the progress before the first update, given the held-out ``value`` and ``accuracy`` before it."""
        return Stopping(best=value, stale=jnp.zeros((), jnp.int32), accuracy=accuracy)

    def after(self, progress: Stopping, value: jax.Array, accuracy: jax.Array, hparams: Hparams) -> Stopping:
        """Return the progress after one more update, given the held-out ``value`` and ``accuracy`` after it."""
        risen = value > progress.best + hparams["tolerance"]
        return Stopping(
            best=jnp.where(risen, value, progress.best),
            stale=jnp.where(risen, 0, progress.stale + 1),
            accuracy=accuracy,
        )

    def should_continue(self, progress: Stopping, hparams: Hparams) -> jax.Array:
        """Return whether to make another update."""
        if self.until == "accuracy":
            return progress.accuracy < hparams["accuracy"]
        return progress.stale < hparams["patience"]


@register("schedule", "to_optimum")
@dataclass(frozen=True)
class ToOptimum(Adaptive):
    """The discriminator is trained to convergence before every generator update, in at most ``k`` updates.

    Converged means that the held-out value has not risen by more than ``tolerance`` for ``patience`` updates.
    Proposition 2 assumes an optimal discriminator; with finite data it overfits.

    Formula: update j+1 follows if j < k and V_i > V_best + tolerance for some of the last patience i <= j
    Paper: Goodfellow et al. 2014, "Generative adversarial nets", section 4.2.
    """

    name: str = "to_optimum"
    k: int = number(1000, low=1, high=MAX, traced=True)
    tolerance: float = number(1e-4, low=0.0)
    patience: int = number(20, low=1, high=MAX, traced=True)
