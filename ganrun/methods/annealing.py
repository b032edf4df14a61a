"""Settings that are annealed, and those of them that jump when a run is resumed with another number of steps.

They depend on the fraction of the run that is done, which changes with the number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from ganrun.config.registry import traced
from ganrun.optimizers import Adam

if TYPE_CHECKING:
    from ganrun.config.settings import Train

TOLERANCE = 0.01  # relative change below which a value counts as unchanged

# A function of a run's config and a step; returns its annealed settings with their value at that step.
Annealed = Callable[["Train", int], Iterable[tuple[str, float]]]


def describe_jumps(annealed: Annealed, before: Train, now: Train, step: int) -> str | None:
    """Describe in one line what jumps at ``step`` if a run of ``before.steps`` is resumed with ``now.steps``.

    Returns None if no value changes by more than 1 %.
    """
    old, new = dict(annealed(replace(now, steps=before.steps), step)), dict(annealed(now, step))
    changes = [f"{name} {old[name]:.3g} -> {new[name]:.3g}" for name in new if _differ(old[name], new[name])]
    if not changes:
        return None
    return f"steps={now.steps} in place of {before.steps} changes at step {step}: {', '.join(changes)}."


def learning_rates(config: Train, step: int) -> Iterator[tuple[str, float]]:
    """Yield the learning rate of each optimizer of the run of ``config`` at ``step``, and its b2 if that changes."""
    for network in ("generator", "discriminator"):
        optimizer = getattr(config.optimizer, network)
        if optimizer is not None:
            at = jnp.int32(step), jnp.float32(config.steps), arrays(optimizer)
            yield f"optimizer.{network}.learning_rate", float(optimizer.rate(*at))
            if isinstance(optimizer, Adam):
                yield f"optimizer.{network}.b2", float(optimizer.second_decay(*at))


def arrays(option: object) -> dict[str, jax.Array]:
    """Return the traced hyperparameters of ``option`` as arrays."""
    return {name: jnp.asarray(value) for name, value in traced(option).items()}


def _differ(old: float, new: float) -> bool:
    return not math.isclose(old, new, rel_tol=TOLERANCE)
