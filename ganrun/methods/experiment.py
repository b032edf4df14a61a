"""An experiment: a method with its hyperparameters and data, and its compiled programs.

Each function is compiled once per :class:`~ganrun.methods.base.Method`: experiments with equal methods share their
compiled programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ganrun.config.settings import Train
from ganrun.datasets import Data
from ganrun.datasets.feed import Demand, feed_of
from ganrun.datasets.sampler import Cursor, Source
from ganrun.datasets.streaming import HostPixels, Streamed
from ganrun.errors import ConfigError
from ganrun.keys import key_for
from ganrun.mesh import ONE_DEVICE, Mesh
from ganrun.methods.base import Method, Metrics, Tree
from ganrun.methods.precision import with_float32_products
from ganrun.methods.run_state import Report, RunState, create, update

RUNGS = 41  # arrows from z to x = G(z) in the picture of a generator in one dimension


@struct.dataclass
class SnapshotArrays:
    """A snapshot of a run: samples, and what the method shows of its networks.

    Attributes:
        samples: ``(n, *shape)``, from the same noise in every snapshot of a run.
        inspected: the arrays of :meth:`ganrun.methods.base.Method.inspect`, by name.
        ladder: pairs (z, x) ``(rungs, 2)`` at evenly spaced quantiles of the prior, if latents and samples are
            one-dimensional and the method is not class-conditional; otherwise empty.
    """

    samples: jax.Array
    inspected: dict[str, jax.Array]
    ladder: jax.Array


class Experiment:
    """One run's method, traced hyperparameters and data, with the compiled programs.

    Args:
        config: of the run.
        data: its data.
        mesh: the devices that it trains on by itself.

    Raises:
        ConfigError: the batch is larger than the dataset, or parts of the configuration are incompatible.
    """

    def __init__(self, config: Train, data: Data, mesh: Mesh = ONE_DEVICE) -> None:
        rows = getattr(data.train, "flat", None)
        if rows is not None and config.batch_size > len(rows):
            raise ConfigError(f"batch_size must be at most {len(rows)}, the examples in the dataset.")
        self.method: Method = config.method.build(config, data.shape)
        self.hparams = config.method.hparams(config, data.train)
        self.mesh = mesh
        train = data.train if isinstance(data.train, HostPixels) else mesh.source(data.train)
        self.data = replace(data, train=train, held_out=mesh.source(data.held_out))
        self.seed = config.seed
        self.demand = Demand(config.method.examples_per_step(config), config.steps_per_call, config.batch_size)
        self._feed = None if train is None else feed_of(train, self.demand, mesh)

    def init(self) -> RunState:
        """Return the state before the first step."""
        return self.mesh.placed(self._created())

    def _created(self) -> RunState:
        return _create(self.method, self.hparams, jnp.uint32(self.seed), jnp.zeros((1, *self.data.shape)))

    def abstract(self) -> RunState:
        """Return the shapes and dtypes of the state without computing it: the target for restoring a checkpoint."""
        return jax.eval_shape(self._created)

    @property
    def streams(self) -> bool:
        """Whether the training data stay on the host, so that each call gets a window of them."""
        return self._feed is not None and self._feed.capacity is not None

    def divide_windows(self, members: int) -> None:
        """Make windows so small that those of ``members`` runs together are as large as that of one run by itself."""
        if self.streams and self.data.train is not None:
            self._feed = feed_of(self.data.train, self.demand, self.mesh, members)

    def feed_for(self, members: Sequence[Experiment], mesh: Mesh) -> Streamed | None:
        """Return the feed of a population of ``members`` on ``mesh``, of which this is one; None if no data stream."""
        sources = [member.data.train for member in members]
        streamed = [source for source in sources if isinstance(source, HostPixels)]
        if not streamed or self._feed is None or self._feed.capacity is None:
            return None
        return Streamed(streamed, self._feed.capacity, self.demand.minibatch, mesh)

    @property
    def most_steps(self) -> int | None:
        """The maximum number of steps of one call; None if the feed does not limit it."""
        capacity = None if self._feed is None else self._feed.capacity
        return None if capacity is None else capacity // self.demand.per_step

    def window(self, cursor: Cursor, n: int) -> Source:
        """Return the training data of the next ``n`` steps of a run that is at ``cursor``."""
        assert self._feed is not None
        return self._feed.window(cursor, n * self.demand.per_step)

    def advance(self, state: RunState, n: int) -> tuple[RunState, Report]:
        """Take ``n`` steps on the device, asynchronously; the buffers of ``state`` are donated."""
        assert self.data.held_out is not None
        window = self.window(state.cursor, n)
        with self.mesh.context():
            result = _advance(self.method, state, window, self.data.held_out, jnp.int32(n), mesh=self.mesh)
        self.prefetch()
        return result

    def compiled(self) -> Any:
        """Return the program of :meth:`advance`, compiled; its arguments are ``state, window, held_out, n``."""
        window = self.window(Cursor.start(), 0)
        state = self.mesh.abstract(self.abstract())
        with self.mesh.context():
            lowered = _advance.lower(self.method, state, window, self.data.held_out, jnp.int32(0), mesh=self.mesh)
        return lowered.compile()

    def compiled_snapshot(self, n: int, points: np.ndarray) -> Any:
        """Return the program of :meth:`snapshot`, compiled."""
        shown = jax.ShapeDtypeStruct(points.shape, jnp.float32)
        state = self.mesh.abstract(self.abstract())
        with self.mesh.context():
            lowered = _snapshot.lower(self.method, state, self.data.held_out, shown, n)
        return lowered.compile()

    def prefetch(self) -> None:
        """Begin to gather the training data of the next call; call while the device works on this one."""
        assert self._feed is not None
        self._feed.prefetch()

    def variables(self, state: RunState, average: bool = True) -> Tree:
        """Return the variables that samples are drawn from, see :meth:`ganrun.methods.base.Method.variables`."""
        return self.method.variables(state.model, average)

    def sample(self, variables: Tree, key: jax.Array, n: int, labels: jax.Array | None = None) -> jax.Array:
        """Return ``n`` samples ``(n, *shape)`` of the model with ``variables``.

        Without ``labels`` ``(n,)``, a class-conditional method draws the classes with their frequencies in the data.
        """
        return _sample(self.method, self.hparams, variables, key, n, labels)

    def decode(self, variables: Tree, latents: jax.Array, labels: jax.Array | None = None) -> jax.Array:
        """Return the samples ``(n, *shape)`` of ``latents`` ``(n, latent_dim)``; requires ``decode``."""
        return _decode(self.method, variables, latents, labels)

    def push(self, variables: Tree, latents: jax.Array) -> jax.Array:
        """Return :meth:`decode` of ``latents`` in float32, whatever the precision of the run; requires ``push``.

        Exact divergences integrate it. Rounded to bfloat16, a generator is constant between steps, so that no model on
        the line would have a density.
        """
        return _decode(self.method.in_float32(), variables, latents, None)

    def encode(self, variables: Tree, x: jax.Array) -> jax.Array:
        """Return the latents ``(n, latent_dim)`` of ``x``; requires ``encode``."""
        return _encode(self.method, variables, x)

    def with_normaliser(self, variables: Tree, key: jax.Array) -> Tree:
        """Return ``variables`` with ``normaliser``, what all examples share in :meth:`log_density`.

        They are returned unchanged if the method has none, or they have it already.
        """
        if not self.method.normaliser_specs or "normaliser" in variables:
            return variables
        return {**variables, "normaliser": _normaliser(self.method, variables, key)}

    def log_density(self, variables: Tree, key: jax.Array, x: jax.Array) -> Metrics:
        """Return estimates of log p(x) in nats, each ``(n,)``; requires ``log_density``."""
        return _log_density(self.method, variables, key, x)

    def snapshot(self, state: RunState, n: int, points: np.ndarray) -> tuple[SnapshotArrays, Tree]:
        """Return ``n`` samples of ``state``, and what the method shows of its networks at ``points``.

        Also returns a copy of the variables that samples are drawn from, which stays valid when ``state`` is donated.
        """
        with self.mesh.context():
            return _snapshot(self.method, state, self.data.held_out, jnp.asarray(points, jnp.float32), n)


@partial(jax.jit, static_argnums=0)
@with_float32_products
def _create(method: Method, hparams: Tree, seed: jax.Array, example: jax.Array) -> RunState:
    return create(method, hparams, seed, example)


@partial(jax.jit, static_argnums=0, static_argnames="mesh", donate_argnums=1)
@with_float32_products
def _advance(
    method: Method, state: RunState, source: Source, held_out: Source, n: jax.Array, mesh: Mesh = ONE_DEVICE
) -> tuple[RunState, Report]:
    def condition(carry: tuple[jax.Array, RunState]) -> jax.Array:
        done, current = carry
        return (done < n) & (current.accumulator.bad_step == 0)  # a diverged run stays at the step where it diverged

    def body(carry: tuple[jax.Array, RunState]) -> tuple[jax.Array, RunState]:
        done, current = carry
        return done + 1, mesh.constrained(update(method, current, source, held_out))

    # The trip count is traced, so that one compiled program serves every n.
    _, state = jax.lax.while_loop(condition, body, (jnp.zeros((), jnp.int32), state))
    return state, mesh.everywhere(Report.of(state.accumulator))


@partial(jax.jit, static_argnums=(0, 4))
@with_float32_products
def _sample(
    method: Method, hparams: Tree, variables: Tree, key: jax.Array, n: int, labels: jax.Array | None
) -> jax.Array:
    return method.sample(variables, hparams, key, n, labels)


@partial(jax.jit, static_argnums=0)
@with_float32_products
def _decode(method: Method, variables: Tree, latents: jax.Array, labels: jax.Array | None) -> jax.Array:
    return method.decode(variables, latents, labels)


@partial(jax.jit, static_argnums=0)
@with_float32_products
def _encode(method: Method, variables: Tree, x: jax.Array) -> jax.Array:
    return method.encode(variables, x)


@partial(jax.jit, static_argnums=0)
@with_float32_products
def _normaliser(method: Method, variables: Tree, key: jax.Array) -> Metrics:
    return method.normaliser(variables, key)


@partial(jax.jit, static_argnums=0)
@with_float32_products
def _log_density(method: Method, variables: Tree, key: jax.Array, x: jax.Array) -> Metrics:
    return method.log_density(variables, key, x)


def take_snapshot(
    method: Method, state: RunState, held_out: Source, points: jax.Array, n: int
) -> tuple[SnapshotArrays, Tree]:
    """Return the same as :meth:`Experiment.snapshot`, as a pure function."""
    key = key_for(state.key, "look")  # the same in every snapshot
    finite = hasattr(held_out, "flat")
    # Image samples are sorted by class; for a known density the classes are drawn with their frequencies.
    by_class = jnp.arange(n) * method.classes // n if method.classes and finite else None
    variables = method.variables(state.model)
    samples = method.sample(variables, state.hparams, key_for(key, "samples"), n, by_class)
    arrays = SnapshotArrays(
        samples=samples,
        inspected=method.inspect(state.model, state.hparams, held_out, key, points),
        ladder=_ladder(method, variables, samples),
    )
    return arrays, jax.tree.map(jnp.copy, variables)


_snapshot = jax.jit(with_float32_products(take_snapshot), static_argnums=(0, 4))


def _ladder(method: Method, variables: Tree, samples: jax.Array) -> jax.Array:
    """Return the curve z -> x if one curve shows the model; a class-conditional model has a curve for each class."""
    prior = method.prior
    drawn = prior is not None and prior.dim == 1 and samples.shape[1:] == (1,) and not method.classes
    if prior is None or not drawn or "push" not in method.capabilities:
        return jnp.zeros((0,), jnp.float32)
    z = prior.quantiles(RUNGS)
    return jnp.concatenate([z[:, None], method.decode(variables, z[:, None])], axis=1)
