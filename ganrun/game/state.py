"""The run as one pytree: saving it saves the run, restoring it continues to the same bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from ganrun.datasets.sampler import Cursor

Tree = Any

# What a step can say of the discriminator depends on what its output means (:class:`ganrun.game.losses.Loss`).
READINGS = {
    "probability": ("D(x)", "D(G(z))", "value", "jsd/online"),
    "critic": ("critic/real", "critic/fake"),
    "pair": ("critic/real", "critic/fake", "value/pair"),
}
REPORTS = (
    "loss/discriminator",
    "loss/generator",
    "grad_norm/discriminator",
    "grad_norm/generator",
    "schedule/k",
)


def tags(reads: str) -> tuple[str, ...]:
    """Return the tags of what a step reports, where the loss ``reads`` the discriminator's output so.

    metrics.jsonl and TensorBoard carry the means over a logging interval under these tags.
    """
    return READINGS[reads] + REPORTS


@dataclass(frozen=True)
class Game:
    """The static half of a run: what shapes the compiled program. Equal games share one program.

    Attributes:
        generator: a linen module, latents to samples; of a game with inference it can ``encode`` too.
        discriminator: a linen module, or what a penalty made of it: something with its ``init`` and ``apply``.
        penalties: what is added to the discriminator's loss, or done to its weights, in order.
        packing: examples that the discriminator judges together.
        noisy: data and samples reach the discriminator with noise on them.
        flipping: some rows reach the discriminator's loss under each other's label.
        unrolled: discriminator updates that the generator's gradient is taken through.
        top_k: the generator learns from its best samples only.
        classes: of labels that both players are told, of a class-conditional game; else 0.
        infers: the discriminator judges pairs of an example and a latent (BiGAN).
    """

    generator: Any
    discriminator: Any
    loss: Any
    schedule: Any
    generator_optimizer: Any
    discriminator_optimizer: Any
    prior: str
    latent_dim: int
    batch_size: int
    penalties: tuple[Any, ...] = ()
    packing: int = 1
    noisy: bool = False
    flipping: bool = False
    unrolled: int = 0
    top_k: bool = False
    classes: int = 0
    infers: bool = False

    @property
    def tags(self) -> tuple[str, ...]:
        """What a step of this game reports, in order."""
        return tags(self.loss.reads) + tuple(f"penalty/{one.name}" for one in self.penalties if one.reports)


@struct.dataclass
class Player:
    """One network in training.

    Attributes:
        params: its parameters.
        stats: its batch statistics; may be empty.
        optimizer: the optimizer's state.
        updates: how many updates it has taken, int32.
    """

    params: Tree
    stats: Tree
    optimizer: Tree
    updates: jax.Array

    @property
    def variables(self) -> Tree:
        """The collections that a linen module's ``apply`` takes."""
        return {"params": self.params, "batch_stats": self.stats}


@struct.dataclass
class Readout:
    """Sums of what the steps reported since the last logging boundary, and the first number that was not finite.

    Attributes:
        sums: float32 ``(len(game.tags),)``.
        count: steps summed, int32.
        bad_step: first step (counted from 1) with a NaN or Inf; 0 while there is none.
        bad_tag: index into ``game.tags`` of the first such number.
    """

    sums: jax.Array
    count: jax.Array
    bad_step: jax.Array
    bad_tag: jax.Array

    @classmethod
    def empty(cls, size: int) -> Readout:
        zero = jnp.zeros((), jnp.int32)
        return cls(sums=jnp.zeros((size,), jnp.float32), count=zero, bad_step=zero, bad_tag=zero)


@struct.dataclass
class State:
    """Everything that a run is. ``numbers`` holds every traced hyperparameter by part and name."""

    step: jax.Array
    key: jax.Array
    numbers: Tree
    generator: Player
    discriminator: Player
    average: Tree
    cursor: Cursor
    readout: Readout
