"""Finds annealed hyperparameters that jump when a run is resumed with another number of steps.

They depend on the fraction of the run that is done, which changes with the number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp

from ganrun.config.registry import traced
from ganrun.config.schema import Train
from ganrun.methods.gan.penalties.gradients import ZeroCentred

TOLERANCE = 0.01  # relative change below which a value counts as unchanged


def jumps(before: Train, now: Train, step: int) -> str | None:
    """Describe the jumps at ``step`` if a run of ``before.steps`` steps is resumed with ``now.steps``, in one line.

    Returns None if no value changes by more than 1 %.
    """
    old, new = dict(_annealed(replace(now, steps=before.steps), step)), dict(_annealed(now, step))
    changes = [f"{name} {old[name]:.3g} -> {new[name]:.3g}" for name in new if _differ(old[name], new[name])]
    if not changes:
        return None
    return f"steps={now.steps} in place of {before.steps} changes at step {step}: {', '.join(changes)}."


def _differ(old: float, new: float) -> bool:
    return not math.isclose(old, new, rel_tol=TOLERANCE)


def _annealed(config: Train, step: int) -> Iterator[tuple[str, float]]:
    """Yield the settings whose value changes during the run of ``config``, with their value at ``step``."""
    at, done = jnp.int32(step), jnp.float32(min(step / config.steps, 1.0))
    for player in ("generator", "discriminator"):
        optimizer = getattr(config.optimizer, player)
        rate = optimizer.rate(at, jnp.float32(config.steps), _hparams(optimizer))
        yield f"optimizer.{player}.learning_rate", float(rate)
    for penalty in config.penalty:
        if isinstance(penalty, ZeroCentred):
            yield f"penalty.{penalty.name}.weight", float(penalty.gamma(done, _hparams(penalty)))
    inputs = config.inputs
    yield "inputs.noise", inputs.noise + (inputs.final_noise - inputs.noise) * float(done)
    yield "generator_update.top_k", 1.0 + (config.generator_update.top_k - 1.0) * float(done)
    yield "schedule.k", float(config.schedule.discriminator_steps(at, done, _hparams(config.schedule)))


def _hparams(option: object) -> dict[str, jax.Array]:
    return {name: jnp.asarray(value) for name, value in traced(option).items()}
