"""Consensus optimisation: both players are drawn to where neither wants to move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from ganrun.game.penalties.base import Match, Numbers, Penalty, Tree
from ganrun.registry import number, register


@register("penalty", "consensus")
@dataclass(frozen=True)
class Consensus(Penalty):
    """The squared gradients of both losses are added to both losses, which turns rotation into contraction.

    Formula: γ/2 (||∇_D L_D||² + ||∇_G L_G||²)
    Paper: Mescheder et al. 2017, "The numerics of GANs", section 4.
    """

    for_generator: ClassVar[bool] = True

    name: str = "consensus"
    weight: float = number(0.1, low=0.0)

    def term(self, match: Match, numbers: Numbers) -> jax.Array:
        return self.weighed(match.field(), numbers)

    def weighed(self, field: tuple[Tree, Tree], numbers: Numbers) -> jax.Array:
        squares = [jnp.sum(part**2) for part in jax.tree.leaves(field)]
        return 0.5 * numbers["weight"] * sum(squares, start=jnp.zeros(()))
