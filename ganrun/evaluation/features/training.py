"""The recipe by which a classifier is trained: a fixed network, seed, order of the examples and number of updates.

The weights depend on the examples, their labels and :data:`RECIPE` alone, on one version of JAX and one kind of device:
others round differently.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from ganrun.datasets.images.progress import progress
from ganrun.datasets.sampler import to_unit_range
from ganrun.evaluation.features.network import ClassifierNetwork
from ganrun.methods.precision import with_float32_products

Tree = Any

RECIPE = 1  # raised whenever the same examples would give other weights
SEED = 0
BATCH = 128  # examples per update
EPOCHS = 3
FEWEST, MOST = 600, 3000  # updates
CALL = 50  # updates per call of the compiled program, unless their examples have more than
CALL_BYTES = 1 << 26
RATE, WARM_UP = 2e-3, 0.1  # Adam's largest learning rate, and the share of the updates in which it is reached
ADAM = optax.adam(1.0)  # its updates are multiplied by the scheduled rate


@struct.dataclass
class _Learner:
    params: Tree
    moments: Tree


def updates_for(examples: int) -> int:
    """Return the number of updates for a training set of so many ``examples``."""
    return min(MOST, max(FEWEST, -(-EPOCHS * examples // BATCH)))


def trained(rows: np.ndarray, labels: np.ndarray, shape: tuple[int, ...], classes: int, what: str = "") -> Tree:
    """Return the parameters of a :class:`ClassifierNetwork` trained by cross-entropy.

    Paper: Kingma & Ba 2015, "Adam: a method for stochastic optimization", for the updates. The learning rate rises
    linearly and then falls along half a cosine.

    Args:
        rows: the examples ``(n, prod(shape))``: uint8 or uint16 pixels, or float32 numbers.
        labels: whole numbers ``(n,)`` from 0 to ``classes - 1``.
        shape: of one example.
        classes: number of classes.
        what: title of the progress that is shown; empty for none.
    """
    network, updates = ClassifierNetwork(classes), updates_for(len(rows))
    call = min(CALL, updates, max(1, CALL_BYTES // (BATCH * rows.shape[1] * rows.dtype.itemsize)))
    learner = _init(network, shape)
    with progress(what, updates, "updates of the classifier done") if what else nullcontext(_ignore) as advance:
        # Whole calls only, so that one program is compiled: the last one may end a few updates later.
        for number, chosen in enumerate(_orders(len(rows), call, -(-updates // call))):
            examples = jnp.asarray(rows[chosen]), jnp.asarray(labels[chosen].astype(np.int32))
            learner = _train(network, shape, learner, *examples, jnp.int32(number * call), jnp.int32(updates))
            jax.block_until_ready(learner)
            advance(min(call, updates - number * call))
    return learner.params


def _ignore(count: int) -> None:
    del count


def _orders(examples: int, call: int, calls: int) -> Iterator[np.ndarray]:
    """Yield the rows of each call, ``(call, BATCH)``: every example occurs once before one occurs again."""
    # RandomState and not Generator: NumPy guarantees that its stream never changes (NEP 19).
    random = np.random.RandomState(SEED)
    waiting = np.zeros(0, np.int64)
    for _ in range(calls):
        while len(waiting) < call * BATCH:
            waiting = np.concatenate([waiting, random.permutation(examples)])
        yield waiting[: call * BATCH].reshape(call, BATCH)
        waiting = waiting[call * BATCH :]


@partial(jax.jit, static_argnums=(0, 1))
def _init(network: ClassifierNetwork, shape: tuple[int, ...]) -> _Learner:
    params = network.init(jax.random.key(SEED), jnp.zeros((1, *shape)))
    return _Learner(params=params, moments=ADAM.init(params))


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
@with_float32_products
def _train(
    network: ClassifierNetwork,
    shape: tuple[int, ...],
    learner: _Learner,
    rows: jax.Array,
    labels: jax.Array,
    first: jax.Array,
    updates: jax.Array,
) -> _Learner:
    """Take one update for each of ``rows`` ``(call, batch, d)`` from update ``first`` on."""

    def loss(params: Tree, x: jax.Array, y: jax.Array) -> jax.Array:
        logits: Any = network.apply(params, x)[1]
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    def update(now: _Learner, batch: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[_Learner, None]:
        x, y, i = batch
        gradient = jax.grad(loss)(now.params, to_unit_range(x).reshape(-1, *shape), y)
        change, moments = ADAM.update(gradient, now.moments, now.params)
        done = jnp.minimum(i / updates, 1.0)
        fall = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.maximum(done - WARM_UP, 0.0) / (1.0 - WARM_UP)))
        rate = RATE * jnp.minimum((done + 1.0 / updates) / WARM_UP, 1.0) * fall
        params = jax.tree.map(lambda old, step: old + rate * step, now.params, change)
        return _Learner(params=params, moments=moments), None

    return jax.lax.scan(update, learner, (rows, labels, first + jnp.arange(len(rows))))[0]
