"""How many discriminator updates stand before the generator's update at step t (Algorithm 1's k)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax

from ganrun.registry import number, register


@register("schedule", "constant")
@dataclass(frozen=True)
class Constant:
    """The same k at every step (Goodfellow et al. 2014, Algorithm 1, which uses k = 1)."""

    name: str = "constant"
    k: int = number(1, low=1, high=1000, traced=True)

    def discriminator_steps(self, step: jax.Array, numbers: Mapping[str, jax.Array]) -> jax.Array:
        """Return k at generator step ``step``: an int32 scalar, traced."""
        del step
        return numbers["k"].astype("int32")
