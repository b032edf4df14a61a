"""What follows the share of the run that is over, and so jumps where a run goes on with another number of steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp

from ganrun.config import Train
from ganrun.game.penalties.gradients import ZeroCentred
from ganrun.registry import traced

NOTABLE = 0.01  # of a value, below which a change is none


def jumps(before: Train, now: Train, step: int) -> str | None:
    """Return in one line what jumps at ``step`` as a run of ``before.steps`` goes on as one of ``now.steps``.

    None where nothing does, or not by more than 1 %.
    """
    old, new = dict(_annealed(replace(now, steps=before.steps), step)), dict(_annealed(now, step))
    told = [f"{name} {old[name]:.3g} -> {new[name]:.3g}" for name in new if _differ(old[name], new[name])]
    if not told:
        return None
    return f"steps={now.steps} in place of {before.steps} changes at step {step}: {', '.join(told)}."


def _differ(old: float, new: float) -> bool:
    return not math.isclose(old, new, rel_tol=NOTABLE)


def _annealed(config: Train, step: int) -> Iterator[tuple[str, float]]:
    """Yield by setting what has a value of its own at each step of the run of ``config``."""
    at, done = jnp.int32(step), jnp.float32(min(step / config.steps, 1.0))
    for player in ("generator", "discriminator"):
        rule = getattr(config.optimizer, player)
        rate = rule.rate(at, jnp.float32(config.steps), _numbers(rule))
        yield f"optimizer.{player}.learning_rate", float(rate)
    for penalty in config.penalty:
        if isinstance(penalty, ZeroCentred):
            yield f"penalty.{penalty.name}.weight", float(penalty.gamma(done, _numbers(penalty)))
    noise = config.inputs
    yield "inputs.noise", noise.noise + (noise.final_noise - noise.noise) * float(done)
    yield "generator_update.top_k", 1.0 + (config.generator_update.top_k - 1.0) * float(done)
    yield "schedule.k", float(config.schedule.discriminator_steps(at, done, _numbers(config.schedule)))


def _numbers(option: object) -> dict[str, jax.Array]:
    return {name: jnp.asarray(value) for name, value in traced(option).items()}
