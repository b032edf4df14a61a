"""Builds a GAN's spec and hyperparameters from a configuration, and checks that its parts are compatible."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax

from ganrun.architectures import Networks
from ganrun.architectures.networks import builder
from ganrun.config.registry import static, traced
from ganrun.config.settings import Train
from ganrun.datasets.sampler import Source
from ganrun.datasets.streaming import HostPixels
from ganrun.errors import ConfigError
from ganrun.methods.class_labels import class_probabilities, require_classes
from ganrun.methods.gan.penalties.constraints import STATE
from ganrun.methods.gan.state import GanSpec
from ganrun.methods.method_option import as_arrays, run_hparams
from ganrun.methods.precision import in_precision
from ganrun.optimizers import optimizer_hparams

if TYPE_CHECKING:
    from ganrun.methods.experiment import Experiment

SYMMETRIC = ("probability", "pair")  # outputs whose sign flips when data and samples swap, as an encoder's loss needs
CONSTRAINTS = ("spectral_normalisation", "weight_clipping")  # penalties that constrain the stored weights


class Bidirectional(nn.Module):
    """A generator and an encoder, trained as one network (BiGAN).

    Attributes:
        generator: latents to samples.
        encoder: examples to latents ``(n, latent_dim)``.
    """

    generator: nn.Module
    encoder: nn.Module

    def __call__(self, z: jax.Array, train: bool) -> jax.Array:
        """Map latents ``(n, latent_dim)`` to samples."""
        x = self.generator(z, train=train)  # type: ignore[operator]
        if self.is_initializing():
            self.encode(x, train=train)
        return x

    def encode(self, x: jax.Array, train: bool) -> jax.Array:
        """Map examples ``(n, *shape)`` to latents ``(n, latent_dim)``."""
        return self.encoder(x, train=train)  # type: ignore[operator]


def gan_spec(config: Train, shape: tuple[int, ...]) -> GanSpec:
    """Return the static part of the run that ``config`` describes, for examples of ``shape``.

    Runs with equal specs share their compiled programs.

    Raises:
        ConfigError: parts of the configuration are incompatible.
    """
    _check(config)
    _check_transport(config, shape)
    classes = config.dataset.classes if config.conditional else 0
    build = builder(config.architecture, "build", config.method.name)
    networks: Networks = build(shape, config.latent.size, classes, config.loss.outputs)
    generator, discriminator = networks.generator, networks.discriminator
    has_encoder = config.inference == "bigan"
    if has_encoder:
        if networks.encoder is None:
            name = config.architecture.name
            raise ConfigError(
                f"inference=bigan needs an encoder, and architecture={name} has none. Use architecture=mlp or dcgan."
            )
        generator = Bidirectional(generator, networks.encoder)
    if config.inputs.packing > 1 and not networks.packs:
        raise ConfigError(
            f"inputs.packing must be 1 with architecture={config.architecture.name}, whose discriminator takes one "
            "example at a time."
        )
    constraint = next((penalty.name for penalty in config.penalty if penalty.name in CONSTRAINTS), None)
    if networks.unit_weights and constraint is not None:
        raise ConfigError(
            f"penalty={constraint} has no effect on architecture={config.architecture.name}, whose weights are divided "
            "by their norms: leave it out."
        )
    # Inside the wrappers of penalties, so that spectral normalisation computes in float32.
    generator, discriminator = (in_precision(network, config.precision) for network in (generator, discriminator))
    alone = discriminator
    for penalty in config.penalty:
        discriminator = penalty.bind(discriminator)
    by_example = networks.by_example and discriminator is alone
    penalties = _with_gradients(config, by_example, networks.piecewise_linear)
    return GanSpec(
        generator=generator,
        discriminator=discriminator,
        loss=static(config.loss),
        schedule=static(config.schedule),
        generator_optimizer=static(config.optimizer.generator),
        discriminator_optimizer=static(config.optimizer.discriminator),
        prior=config.latent.prior,
        latent_dim=config.latent.size,
        batch_size=config.batch_size,
        penalties=tuple(map(static, penalties)),
        packing=config.inputs.packing,
        augmentation=tuple(sorted(set(config.inputs.augmentation))),
        noisy=max(config.inputs.noise, config.inputs.final_noise) > 0,
        flipping=config.inputs.label_flipping > 0,
        unrolled=config.generator_update.unrolled,
        top_k=config.generator_update.top_k < 1,
        transport=config.generator_update.transport_decay if config.generator_update.transports else "",
        normalised=config.generator_update.normalised,
        classes=classes,
        has_encoder=has_encoder,
        by_example=by_example,
    )


def _with_gradients(config: Train, by_example: bool, piecewise_linear: bool) -> list[Any]:
    """Return the penalties with ``gradient=auto`` resolved: ``fused`` where that is possible, ``exact`` elsewhere.

    Updates that are differentiated again, as those of an unrolled discriminator, are exact.

    Raises:
        ConfigError: a gradient is not possible with this discriminator.
    """
    alone = by_example and config.loss.outputs == 1
    once = config.generator_update.unrolled == 0 and not any(penalty.for_generator for penalty in config.penalty)
    able = {"exact": True, "fused": alone and piecewise_linear and once, "approximate": alone}
    for penalty in config.penalty:
        if not able.get(penalty.gradient, True):
            fused = " It must also be piecewise linear (no attention), and neither unrolled nor with consensus."
            raise ConfigError(
                f"penalty.{penalty.name}.gradient={penalty.gradient} needs a discriminator whose output, a single one, "
                "depends on one example alone: without batch norm, dropout, minibatch features and spectral "
                f"normalisation.{fused if penalty.gradient == 'fused' else ''} Use gradient=exact."
            )
    chosen = "fused" if able["fused"] else "exact"
    return [
        dataclasses.replace(penalty, gradient=chosen) if penalty.gradient == "auto" else penalty
        for penalty in config.penalty
    ]


def _check(config: Train) -> None:
    """Raise :class:`ConfigError` for settings that are valid by themselves but not in combination."""
    loss, packing = config.loss, config.inputs.packing
    if config.batch_size % packing:
        raise ConfigError(
            f"batch_size must be a multiple of inputs.packing, but {config.batch_size} is not a multiple of {packing}."
        )
    if packing > 1 and config.conditional:
        raise ConfigError(
            "inputs.packing > 1 cannot be combined with conditional=true: packed examples may differ in class."
        )
    if packing > 1 and config.inference != "none":
        raise ConfigError("inputs.packing > 1 cannot be combined with inference=bigan.")
    if config.inputs.augmentation and len(config.dataset.shape) != 3:
        raise ConfigError(
            f"inputs.augmentation changes images, and the examples of dataset={config.dataset.name} are none."
        )
    if config.conditional and config.inference != "none":
        raise ConfigError("conditional=true cannot be combined with inference=bigan.")
    require_classes(config)
    if config.generator_update.top_k < 1 and (loss.uses_features or loss.outputs > 1):
        raise ConfigError(
            f"generator_update.top_k ranks samples by their logits and cannot be combined with loss={loss.name}, "
            "whose generator does not use one logit per sample."
        )
    if config.inference != "none" and (loss.output_type not in SYMMETRIC or loss.uses_features):
        raise ConfigError(
            f"inference=bigan cannot be combined with loss={loss.name}. Use loss=nonsaturating, for instance."
        )


def _check_transport(config: Train, shape: tuple[int, ...]) -> None:
    """Raise :class:`ConfigError` if a transport term cannot compare latents with samples of ``shape``."""
    if config.generator_update.transports and config.latent.size != math.prod(shape):
        raise ConfigError(
            "generator_update.transport compares samples with their latents: latent.dim must be the dimension of an "
            f"example, {math.prod(shape)}, not {config.latent.size}."
        )


def cautions(experiment: Experiment) -> list[str]:
    """Return a line for each combination of settings that is allowed but defeats the purpose of one of them."""
    spec: GanSpec = experiment.method.spec  # type: ignore[attr-defined]
    named = [penalty.name for penalty in spec.penalties if penalty.by_example]
    if not named or not set(experiment.abstract().model.discriminator.stats) - {STATE}:
        return []
    return [
        f"penalty={named[0]} assumes that D's output on an example depends on that example alone, but batch norm in D "
        "mixes the examples of a batch (Gulrajani et al. 2017, section 4). Set architecture.batch_norm=false, or use "
        "architecture=resnet, whose discriminator has no batch norm."
    ]


def gan_hparams(config: Train, train: Source | HostPixels | None = None) -> dict[str, Any]:
    """Return the traced hyperparameters of the run that ``config`` describes, by part and name.

    ``train`` is the training data, from which the class frequencies are computed; None if it has not been loaded.
    """
    hparams: dict[str, Any] = {
        "run": run_hparams(config),
        "loss": traced(config.loss),
        "schedule": traced(config.schedule),
        "optimizer": {
            "generator": optimizer_hparams(config.optimizer.generator),
            "discriminator": optimizer_hparams(config.optimizer.discriminator),
        },
        "ema": traced(config.ema),
    }
    # Hyperparameters that the GAN does not use are left out of its state.
    if config.penalty:
        hparams["penalty"] = {penalty.name: traced(penalty) for penalty in config.penalty}
    if any(traced(config.inputs).values()):
        hparams["inputs"] = traced(config.inputs)
    if used := _of_generator_update(config):
        hparams["generator_update"] = used
    if config.conditional:
        hparams["class_probabilities"] = class_probabilities(config, train)
    return as_arrays(hparams)


def _of_generator_update(config: Train) -> dict[str, float]:
    """Return the traced hyperparameters of the generator's update that the run uses."""
    update = config.generator_update
    used = {
        "top_k": update.top_k < 1,
        "transport": update.transports,
        "final_transport": update.transports,
        "normalisation_decay": update.normalised,
    }
    return {name: value for name, value in traced(update).items() if used[name]}
