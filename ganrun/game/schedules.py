"""How many discriminator updates stand before the generator's update at step t (Algorithm 1's k)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from ganrun.errors import ConfigError
from ganrun.registry import choice, number, register

Numbers = Mapping[str, jax.Array]
ORDERS = ("alternating", "simultaneous")
MOST = 100_000  # discriminator updates in one step


@dataclass(frozen=True)
class Schedule(ABC):
    """What all schedules have in common.

    Attributes:
        adaptive: the number of updates depends on how they go; ``discriminator_steps`` is then the most.
        generator_steps: generator updates in one step, each on fresh noise.
        order: ``alternating``, as in Algorithm 1: the generator answers the new discriminator. ``simultaneous``: it
            answers the one from before the step, as the theory of gradient play assumes.
    """

    adaptive: ClassVar[bool] = False

    name: str = ""
    generator_steps: int = number(1, low=1, high=10_000)
    order: str = choice("alternating", ORDERS)

    @abstractmethod
    def discriminator_steps(self, step: jax.Array, done: jax.Array, numbers: Numbers) -> jax.Array:
        """Return k at ``step``, a share ``done`` of the run: an int32 scalar, traced."""


@register("schedule", "constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """The same k at every step.

    Formula: k(t) = k
    Paper: Goodfellow et al. 2014, "Generative adversarial nets", Algorithm 1, with k = 1.
    """

    name: str = "constant"
    k: int = number(1, low=1, high=1000, traced=True)

    def discriminator_steps(self, step: jax.Array, done: jax.Array, numbers: Numbers) -> jax.Array:
        del step, done
        return numbers["k"].astype("int32")


@register("schedule", "piecewise")
@dataclass(frozen=True)
class Piecewise(Schedule):
    """From step ``at[i]`` on k is ``k[i]``; every ``burst_every`` steps it is ``burst_k`` for once.

    The defaults are those of the authors' WGAN code: 100 updates in the first 25 steps and at every 500th, else 5.

    Formula: k(t) = k[i] for at[i] <= t < at[i + 1], burst_k where burst_every divides t
    Paper: Arjovsky et al. 2017, "Wasserstein GAN", Algorithm 1 and the code that came with it.
    """

    name: str = "piecewise"
    at: tuple[int, ...] = number((0, 25), low=0, high=2**31 - 1, traced=True)
    k: tuple[int, ...] = number((100, 5), low=1, high=MOST, traced=True)
    burst_every: int = number(500, low=0, high=2**31 - 1, traced=True)
    burst_k: int = number(100, low=1, high=MOST, traced=True)

    def __post_init__(self) -> None:
        if len(self.at) != len(self.k) or not self.at:
            raise ConfigError(
                f"schedule.at and schedule.k need one entry per piece each, but have {len(self.at)} and {len(self.k)}."
            )
        if self.at[0] != 0 or any(later <= sooner for sooner, later in zip(self.at, self.at[1:], strict=False)):
            raise ConfigError(f"schedule.at must begin with 0 and rise, not {list(self.at)}.")

    def discriminator_steps(self, step: jax.Array, done: jax.Array, numbers: Numbers) -> jax.Array:
        del done
        k = numbers["k"][jnp.sum(step >= numbers["at"]) - 1]
        every = numbers["burst_every"]
        burst = (every > 0) & (step % jnp.maximum(every, 1) == 0)
        return jnp.where(burst, numbers["burst_k"], k).astype("int32")


@register("schedule", "ramp")
@dataclass(frozen=True)
class Ramp(Schedule):
    """k goes from ``k`` to ``final_k`` over the first ``share`` of the run, then stays; rounded to whole updates.

    Formula: k(t) = k + (final_k - k) w(t), with w = t for ``linear`` and w = (1 - cos(pi t)) / 2 for ``cosine``
    """

    name: str = "ramp"
    k: int = number(1, low=1, high=MOST, traced=True)
    final_k: int = number(5, low=1, high=MOST, traced=True)
    share: float = number(1.0, above=0.0, high=1.0)
    shape: str = choice("linear", ("linear", "cosine"))

    def discriminator_steps(self, step: jax.Array, done: jax.Array, numbers: Numbers) -> jax.Array:
        del step
        t = jnp.clip(done / numbers["share"], 0.0, 1.0)
        if self.shape == "cosine":
            t = 0.5 * (1.0 - jnp.cos(jnp.pi * t))
        k, final = numbers["k"].astype("float32"), numbers["final_k"].astype("float32")
        return jnp.round(k + (final - k) * t).astype("int32")


@struct.dataclass
class Progress:
    """How the discriminator's updates of one step have gone, on a held-out minibatch that is the same for all of them.

    Attributes:
        best: the best game value so far: minus the discriminator's loss.
        stale: updates since it rose.
        accuracy: the share of held-out examples and samples told apart.
    """

    best: jax.Array
    stale: jax.Array
    accuracy: jax.Array


@register("schedule", "adaptive")
@dataclass(frozen=True)
class Adaptive(Schedule):
    """Discriminator updates until it is good enough on held-out data, at least one and at most ``k``.

    ``until=value``: until the game value has not risen by ``tolerance`` in ``patience`` updates. ``until=accuracy``:
    until it tells ``accuracy`` of the examples and samples apart.

    Formula: update j+1 follows if j < k and V_i > V_best + tolerance for some of the last patience i <= j (value), or
    if j < k and the share told apart < accuracy (accuracy)
    """

    adaptive = True

    name: str = "adaptive"
    k: int = number(20, low=1, high=MOST, traced=True)
    until: str = choice("value", ("value", "accuracy"))
    tolerance: float = number(0.0, low=0.0)
    patience: int = number(1, low=1, high=MOST, traced=True)
    accuracy: float = number(0.7, low=0.0, high=1.0)

    def discriminator_steps(self, step: jax.Array, done: jax.Array, numbers: Numbers) -> jax.Array:
        del step, done
        return numbers["k"].astype("int32")

    def before(self, value: jax.Array, accuracy: jax.Array) -> Progress:
        """Return where a step begins, with the held-out ``value`` and ``accuracy`` of the discriminator then."""
        return Progress(best=value, stale=jnp.zeros((), jnp.int32), accuracy=accuracy)

    def after(self, progress: Progress, value: jax.Array, accuracy: jax.Array, numbers: Numbers) -> Progress:
        """Return ``progress`` after one more update, with the held-out ``value`` and ``accuracy`` that it led to."""
        risen = value > progress.best + numbers["tolerance"]
        return Progress(
            best=jnp.where(risen, value, progress.best),
            stale=jnp.where(risen, 0, progress.stale + 1),
            accuracy=accuracy,
        )

    def goes_on(self, progress: Progress, numbers: Numbers) -> jax.Array:
        """Return whether another update is worth it."""
        if self.until == "accuracy":
            return progress.accuracy < numbers["accuracy"]
        return progress.stale < numbers["patience"]


@register("schedule", "to_optimum")
@dataclass(frozen=True)
class ToOptimum(Adaptive):
    """The discriminator is trained to convergence before every generator update, in at most ``k`` updates.

    Converged: the held-out game value has not risen by ``tolerance`` in ``patience`` updates. Proposition 2 supposes
    this; with finite data it overfits.

    Formula: update j+1 follows if j < k and V_i > V_best + tolerance for some of the last patience i <= j
    Paper: Goodfellow et al. 2014, "Generative adversarial nets", section 4.2.
    """

    name: str = "to_optimum"
    k: int = number(1000, low=1, high=MOST, traced=True)
    tolerance: float = number(1e-4, low=0.0)
    patience: int = number(20, low=1, high=MOST, traced=True)
