"""Penalties on the norm of the discriminator's gradient with respect to its input, and on its output.

The square root of a squared norm has no derivative at 0, so ``FLAT`` is added to its argument, which changes a norm of
1 by 5e-9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ganrun.config.registry import choice, number, register
from ganrun.config.settings import DECAYS
from ganrun.keys import key_for
from ganrun.methods.gan.penalties.base import (
    Hparams,
    Penalty,
    PenaltyInputs,
    squared_directional_derivatives,
    squared_gradient_norms,
)
from ganrun.optimizers import between

FLAT = 1e-8
GRADIENTS = ("auto", "exact", "fused", "approximate")


@dataclass(frozen=True)
class Lazy(Penalty):
    """Base class of gradient penalties, which may be computed only once per ``every`` discriminator updates."""

    by_example: ClassVar[bool] = True

    every: int = number(1, low=1, high=10_000)


@dataclass(frozen=True)
class ZeroCentred(Lazy):
    """A penalty on squared gradient norms, whose weight γ goes to ``final_weight`` unless ``decay`` is constant.

    Attributes:
        weight: γ at the start of the run.
        final_weight: γ at its end.
        decay: how γ changes.
        gradient: ``exact`` differentiates D by itself, then the penalty. ``fused`` computes the gradients of loss and
            penalty together (:mod:`ganrun.methods.gan.fused`), with the same result; with ``every`` > 1 the penalty is
            computed by itself. ``approximate`` takes a finite difference in a random direction, so that training needs
            first derivatives only. ``auto`` is ``fused`` where that is possible, and ``exact`` elsewhere.
        step: size of the finite difference.
    """

    weight: float = number(0.1, low=0.0)
    final_weight: float = number(0.0, low=0.0)
    decay: str = choice("constant", DECAYS)
    gradient: str = choice("auto", GRADIENTS)
    step: float = number(0.01, above=0.0, high=10.0)

    def gamma(self, done: jax.Array, hparams: Hparams) -> jax.Array:
        """Return γ when a fraction ``done`` of the run is done."""
        return between(hparams["weight"], hparams["final_weight"], done, self.decay)

    def term(self, inputs: PenaltyInputs, hparams: Hparams) -> jax.Array:
        return 0.5 * self.gamma(inputs.done, hparams) * jnp.mean(self._squared_norms(inputs, hparams))

    def _squared_norms(self, inputs: PenaltyInputs, hparams: Hparams) -> jax.Array:
        if self.on in inputs.squared_norms:
            return inputs.squared_norms[self.on]
        x, conditioning, scores = (
            (inputs.real, inputs.real_conditioning, inputs.real_scores)
            if self.on == "real"
            else (inputs.fake, inputs.fake_conditioning, inputs.fake_scores)
        )
        if self.gradient == "approximate":
            return squared_directional_derivatives(inputs, x, conditioning, scores, hparams["step"])
        return squared_gradient_norms(inputs, x, conditioning)


@register("penalty", "r1")
@dataclass(frozen=True)
class R1(ZeroCentred):
    """Penalises the squared gradient norm of the discriminator on data.

    Formula: γ/2 E_data ||∇D(x)||²
    Paper: Mescheder et al. 2018, "Which training methods for GANs do actually converge?", section 4.1.
    """

    on: ClassVar[str] = "real"

    name: str = "r1"


@register("penalty", "r2")
@dataclass(frozen=True)
class R2(ZeroCentred):
    """Penalises the squared gradient norm of the discriminator on samples.

    Formula: γ/2 E_samples ||∇D(x)||²
    Paper: Mescheder et al. 2018, "Which training methods for GANs do actually converge?", section 4.1.
    """

    on: ClassVar[str] = "fake"

    name: str = "r2"


@dataclass(frozen=True)
class GradientNormTarget(Lazy):
    """Base class of penalties on the gradient norm's deviation from ``target``; ``one_sided``: only if it is larger."""

    weight: float = number(10.0, low=0.0)
    target: float = number(1.0, low=0.0)
    one_sided: bool = False

    def weighted_deviation(self, squares: jax.Array, hparams: Hparams) -> jax.Array:
        """Return the weighted mean squared deviation from the target, given the squared gradient norms ``squares``."""
        deviation = jnp.sqrt(squares + FLAT) - hparams["target"]
        deviation = jnp.maximum(deviation, 0.0) if self.one_sided else deviation
        return hparams["weight"] * jnp.mean(deviation**2)


@register("penalty", "gradient_penalty")
@dataclass(frozen=True)
class GradientPenalty(GradientNormTarget):
    """Penalises the gradient norm's deviation from 1 at random points between data and samples.

    An optimal Wasserstein critic has gradient norm 1 there.

    Formula: λ E (||∇D(αx + (1-α)G(z))|| - 1)², α uniform on [0, 1]
    Paper: Gulrajani et al. 2017, "Improved training of Wasserstein GANs", eq. 3; one-sided: Petzka et al. 2018.
    """

    name: str = "gradient_penalty"

    def term(self, inputs: PenaltyInputs, hparams: Hparams) -> jax.Array:
        share = jax.random.uniform(key_for(inputs.key, "shares"), (len(inputs.real),))

        def interpolate(real: jax.Array, fake: jax.Array) -> jax.Array:
            if not jnp.issubdtype(real.dtype, jnp.floating):
                return real  # data and samples have the same labels
            alpha = share.reshape(-1, *[1] * (real.ndim - 1))
            return alpha * real + (1.0 - alpha) * fake

        conditioning = {
            name: interpolate(value, inputs.fake_conditioning[name]) for name, value in inputs.real_conditioning.items()
        }
        between = interpolate(inputs.real, inputs.fake)
        return self.weighted_deviation(squared_gradient_norms(inputs, between, conditioning), hparams)


@register("penalty", "dragan")
@dataclass(frozen=True)
class Dragan(GradientNormTarget):
    """Penalises the gradient norm's deviation from 1 around data, which prevents sharp peaks at the examples.

    Formula: λ E (||∇D(x + α c std(x) u)|| - 1)², α and every number of u uniform on [0, 1]
    Paper: Kodali et al. 2017, "On convergence and stability of GANs", section 2.4 and the code that came with it.
    """

    name: str = "dragan"
    spread: float = number(0.5, low=0.0)

    def term(self, inputs: PenaltyInputs, hparams: Hparams) -> jax.Array:
        share = jax.random.uniform(key_for(inputs.key, "shares"), (len(inputs.real), *[1] * (inputs.real.ndim - 1)))
        noise = jax.random.uniform(key_for(inputs.key, "noise"), inputs.real.shape)
        near = inputs.real + share * hparams["spread"] * jnp.std(inputs.real) * noise
        return self.weighted_deviation(squared_gradient_norms(inputs, near, inputs.real_conditioning), hparams)


@register("penalty", "drift")
@dataclass(frozen=True)
class Drift(Penalty):
    """Penalises the squared output on data, so that a critic whose offset is arbitrary does not drift away from zero.

    Formula: ε E D(x)²
    Paper: Karras et al. 2018, "Progressive growing of GANs", appendix A.1.
    """

    name: str = "drift"
    weight: float = number(1e-3, low=0.0)

    def term(self, inputs: PenaltyInputs, hparams: Hparams) -> jax.Array:
        return hparams["weight"] * jnp.mean(inputs.real_scores**2)
