"""Samples of a trained run: sample i depends only on the seed and i, however many are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.keys import key_for
from ganrun.methods.class_labels import draw_labels
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
    return draw_labelled(experiment, variables, n, seed, label)[0]


def draw_labelled(
    experiment: Experiment, variables: Any, n: int, seed: int, label: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the samples of :func:`draw_samples` and their classes, int32 ``(n,)``; None if the run has no classes."""
    samples, labels = [], []
    for key in (block_key(seed, start) for start in range(0, n, BATCH)):
        of_block = _labels(experiment, key, label)
        samples.append(np.asarray(experiment.sample(variables, key, BATCH, of_block)))
        labels.append(of_block)
    return np.concatenate(samples)[:n], None if labels[0] is None else np.concatenate(labels)[:n]


def _labels(experiment: Experiment, key: jax.Array, label: int | None) -> jax.Array | None:
    """Return the classes of a block: ``label``, or those that a class-conditional method itself draws with ``key``."""
    if label is not None:
        return jnp.full(BATCH, label, jnp.int32)
    if not experiment.method.classes or "class_probabilities" not in experiment.hparams:
        return None
    return draw_labels(experiment.hparams["class_probabilities"], key_for(key, "labels"), BATCH)


def through(network: Callable[[jax.Array], jax.Array], x: np.ndarray) -> np.ndarray:
    """Return ``network`` applied to the rows of ``x`` ``(n, ...)`` in padded batches: compiled once for any n."""
    padded = np.zeros((-(-len(x) // BATCH) * BATCH, *x.shape[1:]), np.float32)
    padded[: len(x)] = x
    outputs = [np.asarray(network(jnp.asarray(padded[i : i + BATCH]))) for i in range(0, len(padded), BATCH)]
    return np.concatenate(outputs)[: len(x)]
