"""A neural network as one of a probe's base learners, trained on a fixed set of examples or on an endless stream."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from ganrun.architectures.mlp import MlpDiscriminator
from ganrun.evaluation.divergence.classifier.classifier import LOGIT, Classifier

# Draws labelled examples: count of examples -> (coordinates (n, d), is_real (n,)).
Stream = Callable[[int], tuple[np.ndarray, np.ndarray]]

NETWORK = MlpDiscriminator(hidden=(128, 128, 128))
BATCH = 512  # examples, both classes together
CALL = 100  # updates per call of the jitted function
RATE, DECAY = 2e-3, 1e-3  # AdamW's initial learning rate (cosine decay to 0) and weight decay
CHUNK = 8192  # examples classified per call
UPDATE = optax.adamw(1.0, weight_decay=DECAY)  # its updates are multiplied by the scheduled rate


@struct.dataclass
class _Learner:
    params: Any
    moments: Any


def learn(stream: Stream, held: tuple[np.ndarray, np.ndarray], seed: int, updates: int) -> Classifier:
    """Train on ``stream`` for about ``updates`` updates and return the network with the lowest loss on ``held``.

    The loss on ``held`` ``(x, is_real)`` is evaluated every hundred updates, as early stopping against overfitting a
    fixed set of examples. ``held`` is a part of the training examples, so the selection biases no held-out estimate.
    """
    learner = _init(jax.random.key(seed), jnp.asarray(held[0][:1], jnp.float32))
    calls = max(1, round(updates / CALL))
    best = jax.tree.map(jnp.zeros_like, learner.params)  # all logits 0: kept if no network improves on it
    best_loss = np.log(2.0)
    for call in range(calls):
        rows, labels = stream(CALL * BATCH)
        batches = jnp.asarray(rows, jnp.float32).reshape(CALL, BATCH, -1)
        learner = _train(learner, batches, jnp.asarray(labels, jnp.float32).reshape(CALL, BATCH), call, calls)
        loss = _loss(learner.params, *held)
        if loss < best_loss:
            best, best_loss = learner.params, loss
    return partial(_classify, best)


def on_examples(x: np.ndarray, is_real: np.ndarray, seed: int, updates: int = 1500) -> Classifier:
    """Train on the fixed examples ``x`` ``(n, d)``, with a tenth of them held out for early stopping."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    kept, used = order[: len(x) // 10], order[len(x) // 10 :]

    def stream(n: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = used[rng.integers(0, len(used), n)]
        return x[chosen], is_real[chosen]

    return learn(stream, (x[kept], is_real[kept]), seed, updates)


def _classify(params: Any, rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, np.float32)
    padded = np.zeros((-(-len(rows) // CHUNK) * CHUNK, rows.shape[1]), np.float32)  # one shape: compiled once
    padded[: len(rows)] = rows
    parts = [np.asarray(_logits(params, padded[i : i + CHUNK])) for i in range(0, len(padded), CHUNK)]
    return np.clip(np.concatenate(parts)[: len(rows)].astype(np.float64), -LOGIT, LOGIT)


def _loss(params: Any, x: np.ndarray, is_real: np.ndarray) -> float:
    """Return the mean cross-entropy on the host, so that only programs of one shape are compiled."""
    logits = _classify(params, x)
    return float(np.mean(np.logaddexp(0.0, logits) - is_real * logits))


def _cross_entropy(params: Any, x: jax.Array, is_real: jax.Array) -> jax.Array:
    logits = NETWORK.apply(params, x, train=False)
    return optax.sigmoid_binary_cross_entropy(logits, is_real).mean()  # type: ignore[arg-type]


@jax.jit
def _init(key: jax.Array, x: jax.Array) -> _Learner:
    params = NETWORK.init(key, x, train=False)
    return _Learner(params=params, moments=UPDATE.init(params))


@jax.jit
def _logits(params: Any, x: jax.Array) -> jax.Array:
    return NETWORK.apply(params, x, train=False)  # type: ignore[return-value]


@jax.jit
def _train(learner: _Learner, x: jax.Array, is_real: jax.Array, call: Any, calls: Any) -> _Learner:
    def update(now: _Learner, batch: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[_Learner, None]:
        rows, labels, i = batch
        slope = jax.grad(_cross_entropy)(now.params, rows, labels)
        change, moments = UPDATE.update(slope, now.moments, now.params)
        rate = RATE * 0.5 * (1.0 + jnp.cos(jnp.pi * (call * CALL + i) / (calls * CALL)))
        params = jax.tree.map(lambda old, step: old + rate * step, now.params, change)
        return _Learner(params=params, moments=moments), None

    return jax.lax.scan(update, learner, (x, is_real, jnp.arange(CALL)))[0]
