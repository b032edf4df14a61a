"""The settings of a GAN that change during a run, besides the learning rates."""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp

from ganrun.config.settings import Train
from ganrun.methods.annealing import arrays, describe_jumps, learning_rates
from ganrun.methods.gan.penalties.gradients import ZeroCentred
from ganrun.methods.gan.transport import weight


def jumps(before: Train, now: Train, step: int) -> str | None:
    """Describe what jumps if a GAN is resumed, see :func:`ganrun.methods.annealing.describe_jumps`."""
    return describe_jumps(_annealed, before, now, step)


def _annealed(config: Train, step: int) -> Iterator[tuple[str, float]]:
    """Yield the settings whose value changes during the run of ``config``, with their value at ``step``."""
    at, done = jnp.int32(step), jnp.float32(min(step / config.steps, 1.0))
    yield from learning_rates(config, step)
    for penalty in config.penalty:
        if isinstance(penalty, ZeroCentred):
            yield f"penalty.{penalty.name}.weight", float(penalty.gamma(done, arrays(penalty)))
    inputs = config.inputs
    yield "inputs.noise", inputs.noise + (inputs.final_noise - inputs.noise) * float(done)
    yield "generator_update.top_k", 1.0 + (config.generator_update.top_k - 1.0) * float(done)
    update = config.generator_update
    yield "generator_update.transport", float(weight(update.transport_decay, arrays(update), done))
    yield "schedule.k", float(config.schedule.discriminator_steps(at, done, arrays(config.schedule)))
