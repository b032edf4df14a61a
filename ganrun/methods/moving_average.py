"""The exponential moving average of a model's variables, from which samples are drawn."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ganrun.methods.base import Tree


def moving_average(average: Tree, variables: Tree, decay: jax.Array, step: jax.Array) -> Tree:
    """Return the moving average after a step.

    The decay is smaller in the first steps, so that the initial weights are forgotten quickly.

    Formula: average <- d average + (1 - d) variables, d = min(decay, (1 + step) / (10 + step))

    Args:
        average: the average before the step.
        variables: the variables after the step.
        decay: the decay d after many steps.
        step: number of steps before this one, int32.
    """
    done = step.astype(jnp.float32)
    decay = jnp.minimum(decay, (1.0 + done) / (10.0 + done))
    return jax.tree.map(lambda mean, new: decay * mean + (1.0 - decay) * new, average, variables)
