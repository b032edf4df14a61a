"""Consensus optimisation, which drives both networks to a stationary point of both losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ganrun.config.registry import number, register
from ganrun.methods.gan.penalties.base import Hparams, Penalty, PenaltyInputs, Tree


@register("penalty", "consensus")
@dataclass(frozen=True)
class Consensus(Penalty):
    """Adds the squared gradient norms of both losses to both losses, which damps the rotation around an equilibrium.

    Formula: γ/2 (||∇_D L_D||² + ||∇_G L_G||²)
    Paper: Mescheder et al. 2017, "The numerics of GANs", section 4.
    """

    for_generator: ClassVar[bool] = True

    name: str = "consensus"
    weight: float = number(0.1, low=0.0)

    def term(self, inputs: PenaltyInputs, hparams: Hparams) -> jax.Array:
        return self.generator_term(inputs.field(), hparams)

    def generator_term(self, field: tuple[Tree, Tree], hparams: Hparams) -> jax.Array:
        squares = [jnp.sum(gradient**2) for gradient in jax.tree.leaves(field)]
        return 0.5 * hparams["weight"] * sum(squares, start=jnp.zeros(()))
