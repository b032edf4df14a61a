"""The number of Gibbs transitions in a step, which may rise during a run.

Early in training the weights are small and chains mix fast, so that few transitions suffice.

Paper: Salakhutdinov & Murray 2008, "On the quantitative analysis of deep belief networks", which raises the k of CD-k
from 1 to 25 during training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from ganrun.config.settings import Train
from ganrun.methods.annealing import learning_rates
from ganrun.methods.base import Progress, Tree


def at(hparams: Tree, progress: Progress) -> Tree:
    """Return ``hparams`` with the number of transitions of the step in the place of that at the end of the run.

    Formula: k = round(first_gibbs_steps + (gibbs_steps - first_gibbs_steps) step / steps)
    """
    own = hparams["method"]
    first, last = own["first_gibbs_steps"], own["gibbs_steps"]
    rise = (last - first).astype(jnp.float32) * progress.done
    return {**hparams, "method": {**own, "gibbs_steps": first + jnp.round(rise).astype(jnp.int32)}}


def resolved(option: Any) -> Any:
    """Return ``option`` with a number for ``first_gibbs_steps``."""
    first = option.gibbs_steps if option.first_gibbs_steps is None else option.first_gibbs_steps
    return replace(option, first_gibbs_steps=first)


def annealed(config: Train, step: int) -> Iterator[tuple[str, float]]:
    """Yield the settings whose value changes during the run of ``config``, with their value at ``step``."""
    yield from learning_rates(config, step)
    progress = Progress(step=jnp.int32(step), steps=jnp.float32(config.steps))
    yield "method.gibbs_steps", _number(config, progress)


def _number(config: Train, progress: Progress) -> float:
    option = resolved(config.method)
    own = {name: jnp.int32(getattr(option, name)) for name in ("first_gibbs_steps", "gibbs_steps")}
    found: jax.Array = at({"method": own}, progress)["method"]["gibbs_steps"]
    return float(found)
