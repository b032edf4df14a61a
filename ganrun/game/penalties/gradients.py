"""Penalties on the slope of the discriminator, and on its height.

``slopes`` are squared norms of the gradient by the input. A root has no derivative at 0: ``FLAT`` is added under it,
which changes a slope of 1 by 5e-9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ganrun.game.penalties.base import Match, Numbers, Penalty, slopes
from ganrun.keys import key_for
from ganrun.registry import choice, number, register

FLAT = 1e-8
DECAYS = ("constant", "cosine", "linear")


@dataclass(frozen=True)
class Lazy(Penalty):
    """A penalty on the gradient at each example, which need not be taken at every update."""

    by_example: ClassVar[bool] = True

    every: int = number(1, low=1, high=10_000)


@dataclass(frozen=True)
class ZeroCentred(Lazy):
    """A weight γ that goes from ``weight`` to ``final_weight`` over the run, where ``decay`` is not constant."""

    weight: float = number(0.1, low=0.0)
    final_weight: float = number(0.0, low=0.0)
    decay: str = choice("constant", DECAYS)

    def gamma(self, done: jax.Array, numbers: Numbers) -> jax.Array:
        """Return γ when a share ``done`` of the run is over."""
        start, end = numbers["weight"], numbers["final_weight"]
        if self.decay == "cosine":
            return end + (start - end) * 0.5 * (1.0 + jnp.cos(jnp.pi * done))
        if self.decay == "linear":
            return end + (start - end) * (1.0 - done)
        return start


@register("penalty", "r1")
@dataclass(frozen=True)
class R1(ZeroCentred):
    """The slope of the discriminator on data is pulled to zero.

    Formula: γ/2 E_data ||∇D(x)||²
    Paper: Mescheder et al. 2018, "Which training methods for GANs do actually converge?", section 4.1.
    """

    name: str = "r1"

    def term(self, match: Match, numbers: Numbers) -> jax.Array:
        return 0.5 * self.gamma(match.done, numbers) * jnp.mean(slopes(match, match.real, match.real_beside))


@register("penalty", "r2")
@dataclass(frozen=True)
class R2(ZeroCentred):
    """The slope of the discriminator on samples is pulled to zero.

    Formula: γ/2 E_samples ||∇D(x)||²
    Paper: Mescheder et al. 2018, "Which training methods for GANs do actually converge?", section 4.1.
    """

    name: str = "r2"

    def term(self, match: Match, numbers: Numbers) -> jax.Array:
        return 0.5 * self.gamma(match.done, numbers) * jnp.mean(slopes(match, match.fake, match.fake_beside))


@dataclass(frozen=True)
class SlopeTarget(Lazy):
    """A slope that is pulled to ``target``, or, where ``one_sided``, pulled down to it."""

    weight: float = number(10.0, low=0.0)
    target: float = number(1.0, low=0.0)
    one_sided: bool = False

    def misses(self, squares: jax.Array, numbers: Numbers) -> jax.Array:
        """Return the weighted mean of the squared distances from the target of slopes, given their ``squares``."""
        distance = jnp.sqrt(squares + FLAT) - numbers["target"]
        distance = jnp.maximum(distance, 0.0) if self.one_sided else distance
        return numbers["weight"] * jnp.mean(distance**2)


@register("penalty", "gradient_penalty")
@dataclass(frozen=True)
class GradientPenalty(SlopeTarget):
    """The slope between data and samples is pulled to 1, that of an optimal Wasserstein critic.

    Formula: λ E (||∇D(αx + (1-α)G(z))|| - 1)², α uniform on [0, 1]
    Paper: Gulrajani et al. 2017, "Improved training of Wasserstein GANs", eq. 3; one-sided: Petzka et al. 2018.
    """

    name: str = "gradient_penalty"

    def term(self, match: Match, numbers: Numbers) -> jax.Array:
        share = jax.random.uniform(key_for(match.key, "shares"), (len(match.real),))

        def between(real: jax.Array, fake: jax.Array) -> jax.Array:
            if not jnp.issubdtype(real.dtype, jnp.floating):
                return real  # both sides carry the same labels
            alpha = share.reshape(-1, *[1] * (real.ndim - 1))
            return alpha * real + (1.0 - alpha) * fake

        beside = {name: between(value, match.fake_beside[name]) for name, value in match.real_beside.items()}
        return self.misses(slopes(match, between(match.real, match.fake), beside), numbers)


@register("penalty", "dragan")
@dataclass(frozen=True)
class Dragan(SlopeTarget):
    """The slope around data is pulled to 1, so that sharp peaks on the data do not form.

    Formula: λ E (||∇D(x + α c std(x) u)|| - 1)², α and every number of u uniform on [0, 1]
    Paper: Kodali et al. 2017, "On convergence and stability of GANs", section 2.4 and the code that came with it.
    """

    name: str = "dragan"
    spread: float = number(0.5, low=0.0)

    def term(self, match: Match, numbers: Numbers) -> jax.Array:
        share = jax.random.uniform(key_for(match.key, "shares"), (len(match.real), *[1] * (match.real.ndim - 1)))
        noise = jax.random.uniform(key_for(match.key, "noise"), match.real.shape)
        near = match.real + share * numbers["spread"] * jnp.std(match.real) * noise
        return self.misses(slopes(match, near, match.real_beside), numbers)


@register("penalty", "drift")
@dataclass(frozen=True)
class Drift(Penalty):
    """A critic whose offset means nothing is kept from drifting away.

    Formula: ε E D(x)²
    Paper: Karras et al. 2018, "Progressive growing of GANs", appendix A.1.
    """

    name: str = "drift"
    weight: float = number(1e-3, low=0.0)

    def term(self, match: Match, numbers: Numbers) -> jax.Array:
        return numbers["weight"] * jnp.mean(match.real_scores**2)
