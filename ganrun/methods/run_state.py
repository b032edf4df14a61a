"""The state of a run as one pytree: a run restored from it continues bit for bit."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct

from ganrun.datasets.sampler import Cursor, Source
from ganrun.keys import key_for
from ganrun.methods.base import Batches, Method, Progress, Tree
from ganrun.methods.power_average import initial_averages, power_averages

EXPONENTS = "average_exponents"  # the hyperparameter of a run that keeps power-function averages


@struct.dataclass
class MetricAccumulator:
    """Sums of the metrics since the last logging boundary, and the first metric that was not finite.

    Attributes:
        sums: float32 ``(len(method.tags),)``.
        count: number of steps summed, int32.
        bad_step: first step (counted from 1) with a NaN or Inf; 0 if there was none.
        bad_tag: index into ``method.tags`` of the first such metric.
    """

    sums: jax.Array
    count: jax.Array
    bad_step: jax.Array
    bad_tag: jax.Array

    @classmethod
    def empty(cls, size: int) -> MetricAccumulator:
        zero = jnp.zeros((), jnp.int32)
        return cls(sums=jnp.zeros((size,), jnp.float32), count=zero, bad_step=zero, bad_tag=zero)


@struct.dataclass
class RunState:
    """The complete state of a run: an envelope that is the same for all methods, and the method's model.

    Attributes:
        step: number of steps so far, int32.
        key: the random key from which all others of the run are derived.
        hparams: the traced hyperparameters, by part and name.
        cursor: position in the training data.
        accumulator: accumulated metrics.
        model: the method's networks and their optimizers.
        averages: power-function averages of the variables that samples are drawn from, one for each exponent in
            ``hparams["run"]["average_exponents"]``; none without them.
    """

    step: jax.Array
    key: jax.Array
    hparams: Tree
    cursor: Cursor
    accumulator: MetricAccumulator
    model: Tree
    averages: tuple[Tree, ...] = ()


@struct.dataclass
class Report:
    """What a call of several steps returns to the host.

    Attributes:
        means: means of the metrics over the logging interval so far, ``(len(method.tags),)``.
        bad_step: first step with a NaN or Inf; 0 if there was none.
        bad_tag: index into ``method.tags`` of the first such metric.
    """

    means: jax.Array
    bad_step: jax.Array
    bad_tag: jax.Array

    @classmethod
    def of(cls, accumulator: MetricAccumulator) -> Report:
        """Return the report of ``accumulator``."""
        means = accumulator.sums / accumulator.count
        return cls(means=means, bad_step=accumulator.bad_step, bad_tag=accumulator.bad_tag)


def create(method: Method, hparams: Tree, seed: jax.Array, example: jax.Array) -> RunState:
    """Return the state before the first step. Only the shape of ``example`` ``(1, *shape)`` is used."""
    key = key_for(jax.random.key(seed), "run")
    model, exponents = method.init(key, hparams, example), hparams["run"].get(EXPONENTS)
    averages = () if exponents is None else initial_averages(method.variables(model, average=False), exponents)
    return RunState(
        step=jnp.zeros((), jnp.int32),
        key=key,
        hparams=hparams,
        cursor=Cursor.start(),
        accumulator=MetricAccumulator.empty(len(method.tags)),
        model=model,
        averages=averages,
    )


def update(method: Method, state: RunState, source: Source, held_out: Source | None = None) -> RunState:
    """Take one step of ``method``: a pure function, compiled by the executors.

    Args:
        method: the method.
        state: the state before the step.
        source: the training data, or a window of them that contains the minibatches of this step.
        held_out: the held-out data; ``source`` if None.
    """
    key = key_for(state.key, "step", state.step)
    batches = Batches(train=source, held_out=held_out or source, cursor=state.cursor)
    progress = Progress(step=state.step, steps=state.hparams["run"]["steps"])
    model, cursor, metrics = method.step(state.model, batches, key, state.hparams, progress)
    values = jnp.stack([jnp.asarray(metrics[name], jnp.float32) for name in method.tags])
    step, averages = state.step + 1, state.averages
    if averages:
        variables = method.variables(model, average=False)
        averages = power_averages(averages, variables, state.hparams["run"][EXPONENTS], state.step)
    accumulator = _accumulate(state, step, values)
    return replace(state, step=step, model=model, cursor=cursor, accumulator=accumulator, averages=averages)


def _accumulate(state: RunState, step: jax.Array, metrics: jax.Array) -> MetricAccumulator:
    """Add the metrics of one step, reset the sums after a logging boundary, and keep the first non-finite metric."""
    old = state.accumulator
    reset = state.step % state.hparams["run"]["log_every"] == 0
    bad = ~jnp.isfinite(metrics)
    first = (old.bad_step == 0) & jnp.any(bad)
    return MetricAccumulator(
        sums=jnp.where(reset, 0.0, old.sums) + metrics,
        count=jnp.where(reset, 0, old.count) + 1,
        bad_step=jnp.where(first, step, old.bad_step),
        bad_tag=jnp.where(first, jnp.argmax(bad), old.bad_tag).astype(jnp.int32),
    )
