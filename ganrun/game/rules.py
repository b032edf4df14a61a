"""From a configuration to a game: what is static about it, what is traced, and which parts do not go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ganrun.architectures import Networks
from ganrun.config import Train
from ganrun.datasets.sampler import Source
from ganrun.errors import ConfigError
from ganrun.game.penalties.constraints import STATE
from ganrun.game.state import Game
from ganrun.registry import static, traced

if TYPE_CHECKING:
    from ganrun.game.method import Gan

MIRRORED = ("probability", "pair")  # losses that look the same from the other side, which an encoder's loss needs


class Bidirectional(nn.Module):
    """A generator, and an encoder that goes the other way, as one player.

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


def game_of(config: Train, shape: tuple[int, ...]) -> Game:
    """Return the static half of the run that ``config`` describes, for examples of ``shape``.

    Equal games share their programs.

    Raises:
        ConfigError: parts do not go together.
    """
    _check(config)
    classes = config.dataset.classes if config.conditional else 0
    networks: Networks = config.architecture.build(shape, config.latent.dim, classes, config.loss.outputs)
    generator, discriminator = networks.generator, networks.discriminator
    infers = config.inference == "bigan"
    if infers:
        if networks.encoder is None:
            name = config.architecture.name
            raise ConfigError(f"inference=bigan needs an encoder, and architecture={name} has none: take mlp or dcgan.")
        generator = Bidirectional(generator, networks.encoder)
    if config.inputs.packing > 1 and not networks.packs:
        raise ConfigError(f"inputs.packing: architecture={config.architecture.name} judges one example at a time.")
    for penalty in config.penalty:
        discriminator = penalty.bind(discriminator)
    return Game(
        generator=generator,
        discriminator=discriminator,
        loss=static(config.loss),
        schedule=static(config.schedule),
        generator_optimizer=static(config.optimizer.generator),
        discriminator_optimizer=static(config.optimizer.discriminator),
        prior=config.latent.prior,
        latent_dim=config.latent.dim,
        batch_size=config.batch_size,
        penalties=tuple(map(static, config.penalty)),
        packing=config.inputs.packing,
        noisy=max(config.inputs.noise, config.inputs.final_noise) > 0,
        flipping=config.inputs.label_flipping > 0,
        unrolled=config.generator_update.unrolled,
        top_k=config.generator_update.top_k < 1,
        classes=classes,
        infers=infers,
    )


def _check(config: Train) -> None:
    """Raise :class:`ConfigError` for settings that are fine by themselves and not together."""
    loss, packing = config.loss, config.inputs.packing
    if config.batch_size % packing:
        raise ConfigError(f"batch_size must be a multiple of inputs.packing: {config.batch_size} is none of {packing}.")
    if packing > 1 and config.conditional:
        raise ConfigError("inputs.packing joins examples of any class: it does not go with conditional=true.")
    if packing > 1 and config.inference != "none":
        raise ConfigError("inputs.packing does not go with inference=bigan.")
    if config.conditional and config.inference != "none":
        raise ConfigError("conditional=true does not go with inference=bigan.")
    if config.conditional and not getattr(config.dataset, "classes", 0):
        raise ConfigError(f"conditional=true needs a dataset with classes, and {config.dataset.name} has none.")
    if config.generator_update.top_k < 1 and (loss.uses_features or loss.outputs > 1):
        raise ConfigError(f"generator_update.top_k ranks samples by their logits, which loss={loss.name} has not.")
    if config.inference != "none" and (loss.reads not in MIRRORED or loss.uses_features):
        raise ConfigError(f"inference=bigan does not go with loss={loss.name}: take nonsaturating, say.")


def cautions(method: Gan) -> list[str]:
    """Return a line for each pair of parts of the game that go together and still do not do what they are for."""
    game = method.game
    named = [penalty.name for penalty in game.penalties if penalty.by_example]
    if not named or not set(method.abstract().discriminator.stats) - {STATE}:
        return []
    return [
        f"penalty={named[0]} supposes that D judges each example by itself, and batch norm in D mixes those of a batch "
        "(Gulrajani et al. 2017, section 4): take architecture.batch_norm=false, or resnet, whose D has none."
    ]


def numbers_of(config: Train, train: Source | None = None) -> dict[str, Any]:
    """Return the traced half of the run that ``config`` describes: every number by part and name.

    ``train`` are the data of the run, where they are there: they say how frequent each class is.
    """

    def array(value: Any) -> jax.Array:
        whole = all(isinstance(one, int) for one in value) if isinstance(value, tuple) else isinstance(value, int)
        return jnp.asarray(value, jnp.int32 if whole else jnp.float32)

    numbers: dict[str, Any] = {
        "run": {"steps": float(config.steps), "log_every": config.log.every},
        "loss": traced(config.loss),
        "schedule": traced(config.schedule),
        "optimizer": {
            "generator": traced(config.optimizer.generator),
            "discriminator": traced(config.optimizer.discriminator),
        },
        "ema": traced(config.ema),
    }
    # What a game does not use is no part of its state.
    if config.penalty:
        numbers["penalty"] = {one.name: traced(one) for one in config.penalty}
    if any(traced(config.inputs).values()):
        numbers["inputs"] = traced(config.inputs)
    if config.generator_update.top_k < 1:
        numbers["generator_update"] = traced(config.generator_update)
    if config.conditional:
        numbers["class_probabilities"] = class_probabilities(config, train)
    return jax.tree.map(array, numbers, is_leaf=lambda value: isinstance(value, tuple))


def class_probabilities(config: Train, train: Source | None) -> tuple[float, ...]:
    """Return how frequent each class is in the data of a class-conditional game, as numbers that add up to 1.

    Without the data all are taken to be alike: a run that is only read has the true ones in its state.
    """
    source = config.dataset.density() if hasattr(config.dataset, "density") else train
    if source is None:
        return (1.0 / config.dataset.classes,) * config.dataset.classes
    return tuple(float(share) for share in source.class_probabilities)
