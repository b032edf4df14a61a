"""Samples of a trained run: sample i depends only on the seed and i, however many are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.keys import key_for
from ganrun.methods.experiment import Experiment

BATCH = 512  # samples per batch: the same program for any number of samples, and bounded memory


def block_key(seed: int, start: int) -> jax.Array:
    """Return the random key of samples ``start`` to ``start + BATCH`` of those drawn with ``seed``."""
    return key_for(jax.random.key(np.uint32(seed)), "samples", start)


def draw_samples(experiment: Experiment, variables: Any, n: int, seed: int, label: int | None = None) -> np.ndarray:
    """Return ``n`` samples, float32 ``(n, *shape)``: those of ``ganrun sample n=N seed=SEED``.

    Args:
        experiment: of the run.
        variables: of the model.
        n: number of samples, at least 1.
        seed: determines the samples.
        label: their class; None for classes with their frequencies in the data.
    """
    labels = None if label is None else jnp.full(BATCH, label, jnp.int32)
    keys = [block_key(seed, start) for start in range(0, n, BATCH)]
    return np.concatenate([np.asarray(experiment.sample(variables, key, BATCH, labels)) for key in keys])[:n]


def through(network: Callable[[jax.Array], jax.Array], x: np.ndarray) -> np.ndarray:
    """Return ``network`` applied to the rows of ``x`` ``(n, ...)`` in padded batches: compiled once for any n."""
    padded = np.zeros((-(-len(x) // BATCH) * BATCH, *x.shape[1:]), np.float32)
    padded[: len(x)] = x
    outputs = [np.asarray(network(jnp.asarray(padded[i : i + BATCH]))) for i in range(0, len(padded), BATCH)]
    return np.concatenate(outputs)[: len(x)]
