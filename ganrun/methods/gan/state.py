"""The static settings of a GAN, and its networks as one pytree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
from flax import struct

from ganrun.methods.gan.transport import TAGS

Tree = Any

# Metrics of the discriminator's output, by the meaning of that output (see :class:`ganrun.methods.gan.losses.Loss`).
OUTPUT_METRICS = {
    "probability": ("D(x)", "D(G(z))", "value", "jsd/online"),
    "critic": ("critic/real", "critic/fake"),
    "pair": ("critic/real", "critic/fake", "value/pair"),
}
UPDATE_METRICS = (
    "loss/discriminator",
    "loss/generator",
    "grad_norm/discriminator",
    "grad_norm/generator",
    "schedule/k",
)


def tags(output_type: str) -> tuple[str, ...]:
    """Return the tags of the metrics of a step, for a loss of this ``output_type``.

    metrics.jsonl and TensorBoard hold their means over a logging interval under these tags.
    """
    return OUTPUT_METRICS[output_type] + UPDATE_METRICS


@dataclass(frozen=True)
class GanSpec:
    """The static settings of a GAN, which determine the compiled program. Runs with equal specs share one program.

    Attributes:
        generator: a linen module that maps latents to samples, or a wrapper of one with the same ``init`` and ``apply``
            (:mod:`ganrun.methods.precision`); with an encoder it also has a method ``encode``.
        discriminator: a linen module, or wrappers of one: by the precision, then by penalties.
        loss: the loss of both networks.
        schedule: how many updates of each network a step makes.
        generator_optimizer: the generator's optimizer.
        discriminator_optimizer: the discriminator's optimizer.
        prior: distribution of the latents, ``normal`` or ``uniform``.
        latent_dim: dimension of the latents.
        batch_size: examples per minibatch.
        penalties: penalties on the discriminator's loss and constraints of its weights, in order.
        packing: examples per discriminator input (PacGAN).
        augmentation: names of the differentiable augmentations of the discriminator's inputs.
        noisy: noise is added to the discriminator's inputs (instance noise).
        flipping: the labels "data" and "sample" of some rows are swapped in the discriminator's loss.
        unrolled: discriminator updates that the generator's gradient is taken through (unrolled GAN).
        top_k: the generator learns from its highest-scored samples only.
        transport: how the weight of the generator's transport term changes; empty without this term.
        normalised: the gradient of the generator's adversarial loss is normalised.
        classes: number of classes that both networks are conditioned on; 0 if the GAN is not class-conditional.
        has_encoder: the discriminator classifies pairs of an example and a latent (BiGAN).
        by_example: the discriminator's output on an example in training depends on that example alone.
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
    augmentation: tuple[str, ...] = ()
    noisy: bool = False
    flipping: bool = False
    unrolled: int = 0
    top_k: bool = False
    transport: str = ""
    normalised: bool = False
    classes: int = 0
    has_encoder: bool = False
    by_example: bool = False

    @property
    def fused(self) -> tuple[str, ...]:
        """``real``, ``fake`` or both: the inputs whose squared gradient norms are computed together with the loss."""
        fused = {penalty.on for penalty in self.penalties if penalty.gradient == "fused" and penalty.every == 1}
        return tuple(name for name in ("real", "fake") if name in fused)

    @property
    def joined(self) -> bool:
        """Whether data and samples pass through the discriminator together, as one batch.

        A penalty that differentiates D on one of them shares its forward pass with the loss only if that is a separate
        batch.
        """
        alone = any(penalty.on and penalty.gradient in ("auto", "exact") for penalty in self.penalties)
        return self.by_example and not alone and not self.fused

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags of the metrics of a step, in order."""
        penalties = tuple(f"penalty/{penalty.name}" for penalty in self.penalties if penalty.reports)
        return tags(self.loss.output_type) + penalties + (TAGS if self.transport else ())


@struct.dataclass
class Player:
    """One network in training: the generator or the discriminator.

    Attributes:
        params: parameters.
        stats: batch statistics; may be empty.
        optimizer: optimizer state.
        updates: number of updates so far, int32.
        gradient_square: moving average by which the generator's adversarial gradient is normalised; () if it is not.
    """

    params: Tree
    stats: Tree
    optimizer: Tree
    updates: jax.Array
    gradient_square: Tree = ()

    @property
    def variables(self) -> Tree:
        """The variable collections to pass to a linen module's ``apply``."""
        return {"params": self.params, "batch_stats": self.stats}


@struct.dataclass
class GanModel:
    """Both networks of a GAN, and the moving average of the generator.

    Attributes:
        generator: the generator.
        discriminator: the discriminator.
        average: the variables of the generator's exponential moving average.
    """

    generator: Player
    discriminator: Player
    average: Tree
