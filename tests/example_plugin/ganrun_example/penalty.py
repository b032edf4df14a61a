"""A penalty on the critic's offset."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ganrun.config.registry import number, register
from ganrun.methods.gan.penalties import Penalty, PenaltyInputs
from ganrun.methods.gan.penalties.base import Hparams


@register("penalty", "centre")
@dataclass(frozen=True)
class Centre(Penalty):
    """Penalises the squared mean of the critic's output on data, and not the spread around it.

    Formula: w (E C(x))², with w = weight
    """

    name: str = "centre"
    weight: float = number(0.1, low=0.0)

    def term(self, inputs: PenaltyInputs, hparams: Hparams) -> jax.Array:
        return hparams["weight"] * jnp.mean(inputs.real_scores) ** 2
