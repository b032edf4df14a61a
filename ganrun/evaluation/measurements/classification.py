"""Classification accuracy score of class-conditional models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ganrun.evaluation.measurements.base import EQUAL_SIZES, Family, Measurement, Sets, Settings, at_least
from ganrun.evaluation.measurements.specs import CAS
from ganrun.evaluation.sample_metrics.intervals import proportion
from ganrun.keys import key_for

HIDDEN, STEPS, BATCH, RATE = 256, 1500, 128, 1e-3


def missing(sets: Sets) -> str:
    """Return the reason why there is no score; empty if there is."""
    if sets.labelled is None:
        return "the model is not class-conditional"
    return "" if sets.targets is not None else "the data have no labels"


def measure(sets: Sets, settings: Settings) -> Sequence[Measurement]:
    """Train a classifier on labelled samples, and test it on held-out data; the floor has training data instead.

    The classifier is a perceptron with one hidden layer on the pixels, and not the one behind the features: that one
    has seen the data. The interval is for the choice of held-out examples, given the classifier.

    Paper: Ravuri & Vinyals 2019, "Classification accuracy score for conditional generative models", with another
    classifier.
    """
    assert sets.labelled is not None and sets.targets is not None and sets.held_out is not None
    n, seed = len(sets.fake), settings.seed
    samples, labels = sets.labelled(n, seed)
    test, answers = sets.held_out, sets.targets[0]
    value = accuracy(samples, labels, test, answers, sets.classes, seed)
    floor = floor_n = None
    if settings.floor and sets.training is not None:
        chosen = np.random.default_rng([seed, 5]).permutation(len(sets.training))[:n]
        floor, floor_n = (
            accuracy(sets.training[chosen], sets.targets[1][chosen], test, answers, sets.classes, seed),
            len(chosen),
        )
    interval = proportion(value, len(test), settings.level)
    flags = (*at_least(n, 1000), *((EQUAL_SIZES,) if floor_n not in (None, n) else ()))
    return [
        Measurement("cas", value, n, len(test), interval.low, interval.high, "binomial", floor, floor_n or 0, flags)
    ]


def accuracy(
    x: np.ndarray, labels: np.ndarray, test: np.ndarray, answers: np.ndarray, classes: int, seed: int = 0
) -> float:
    """Return the share of the ``test`` examples that a classifier trained on ``x`` assigns to their class.

    Args:
        x: examples ``(n, *shape)``.
        labels: whole numbers ``(n,)`` from 0 to ``classes`` - 1.
        test: examples ``(m, *shape)``.
        answers: of ``test``, ``(m,)``.
        classes: number of classes.
        seed: of the weights and the minibatches.
    """
    import jax
    import jax.numpy as jnp
    import optax

    flat, tested = (np.asarray(rows, np.float32).reshape(len(rows), -1) for rows in (x, test))
    key = jax.random.key(np.uint32(seed))
    d = flat.shape[1]
    weights = {
        "in": jax.random.normal(key_for(key, "hidden layer"), (d, HIDDEN)) * np.sqrt(2 / d),
        "in_bias": jnp.zeros(HIDDEN),
        "out": jax.random.normal(key_for(key, "output layer"), (HIDDEN, classes)) * np.sqrt(1 / HIDDEN),
        "out_bias": jnp.zeros(classes),
    }
    rule = optax.adam(RATE)

    def logits(weights, rows):
        return jax.nn.relu(rows @ weights["in"] + weights["in_bias"]) @ weights["out"] + weights["out_bias"]

    def loss(weights, rows, targets):
        return optax.softmax_cross_entropy_with_integer_labels(logits(weights, rows), targets).mean()

    @jax.jit
    def fit(weights, rows, targets):
        def step(i, carry):
            weights, state = carry
            chosen = jax.random.randint(key_for(key, "minibatch", i), (BATCH,), 0, len(rows))
            gradient = jax.grad(loss)(weights, rows[chosen], targets[chosen])
            change, state = rule.update(gradient, state, weights)
            return optax.apply_updates(weights, change), state

        return jax.lax.fori_loop(0, STEPS, step, (weights, rule.init(weights)))[0]

    fitted = fit(weights, jnp.asarray(flat), jnp.asarray(labels, jnp.int32))
    return float((np.asarray(logits(fitted, tested)).argmax(axis=1) == np.asarray(answers)).mean())


FAMILIES = (Family("cas", CAS, missing, measure),)
