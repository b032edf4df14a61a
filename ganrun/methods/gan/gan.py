"""The GAN as a training method, with the interface that :mod:`ganrun.training.loop` trains.

Its functions are ``init``, ``advance``, ``sample`` and ``snapshot``. Each is compiled once per
:class:`~ganrun.methods.gan.state.GanSpec`: runs with equal specs share their compiled programs.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ganrun.config.schema import Train
from ganrun.datasets import Data
from ganrun.datasets.sampler import Cursor, Source
from ganrun.errors import ConfigError
from ganrun.keys import key_for
from ganrun.methods.gan.algorithm import create, update
from ganrun.methods.gan.networks import Conditioning, draw_data, draw_labels, draw_noise, pack, scores
from ganrun.methods.gan.spec import gan_hparams, gan_spec
from ganrun.methods.gan.state import GanSpec, MetricAccumulator, State, Tree

RUNGS = 41  # arrows from z to x = G(z) in the picture of a generator in one dimension
LOGITS = 512  # examples per distribution in the histograms of logits, so that a picture of DCGAN takes under a second


@struct.dataclass
class Report:
    """What ``advance`` returns to the host: means over the logging interval so far, and the first non-finite metric.

    Attributes:
        means: ``(len(spec.tags),)``, in the order of ``spec.tags``.
        bad_step: first step with a NaN or Inf; 0 if there was none.
        bad_tag: index into ``spec.tags`` of the first such metric.
    """

    means: jax.Array
    bad_step: jax.Array
    bad_tag: jax.Array


@struct.dataclass
class SnapshotArrays:
    """A snapshot of both networks: samples of the averaged generator, and logits of the discriminator.

    Attributes:
        samples: ``(n, *shape)``, from the same noise in every snapshot of a run.
        real_logits: ``(LOGITS,)`` on held-out data; fewer if the held-out set is smaller.
        fake_logits: ``(LOGITS,)`` on samples.
        real_labels: labels of that data if the GAN is class-conditional, otherwise empty.
        fake_labels: labels of those samples, likewise.
        field: the discriminator's logits at the given points, ``(points,)``; may be empty.
        ladder: pairs (z, G(z)) ``(rungs, 2)`` at evenly spaced quantiles of the prior, if latents and samples are
            one-dimensional and the GAN is not class-conditional; otherwise empty.
    """

    samples: jax.Array
    real_logits: jax.Array
    fake_logits: jax.Array
    real_labels: jax.Array
    fake_labels: jax.Array
    field: jax.Array
    ladder: jax.Array


class Gan:
    """One GAN experiment: the static spec, the traced hyperparameters and the data, with the compiled programs.

    Raises:
        ConfigError: the batch is larger than the dataset, or parts of the configuration are incompatible.
    """

    def __init__(self, config: Train, data: Data) -> None:
        rows = getattr(data.train, "flat", None)
        if rows is not None and config.batch_size > len(rows):
            raise ConfigError(f"batch_size must be at most {len(rows)}, the examples in the dataset.")
        self.spec = gan_spec(config, data.shape)
        self.hparams = gan_hparams(config, data.train)
        self.data = data
        self.seed = config.seed

    def init(self) -> State:
        """Return the state before the first step."""
        return _create(self.spec, self.hparams, jnp.uint32(self.seed), jnp.zeros((1, *self.data.shape)))

    def abstract(self) -> State:
        """Return the shapes and dtypes of the state without computing it: the target for restoring a checkpoint."""
        return jax.eval_shape(self.init)

    def advance(self, state: State, n: int) -> tuple[State, Report]:
        """Run ``n`` iterations of Algorithm 1 on the device, asynchronously; the buffers of ``state`` are donated."""
        return _advance(self.spec, state, self.data.train, self.data.held_out, jnp.int32(n))

    def sample(self, variables: Tree, key: jax.Array, n: int) -> jax.Array:
        """Return ``n`` samples ``(n, *shape)`` of the generator with ``variables``, for instance ``state.average``.

        A class-conditional GAN draws the classes with their frequencies in the data.
        """
        return _sample(self.spec, self.hparams, variables, key, n)

    def push(self, variables: Tree, latents: jax.Array) -> jax.Array:
        """Return G(z) ``(n, *shape)`` for ``latents`` ``(n, latent_dim)``, with the generator's ``variables``."""
        return _push(self.spec, variables, latents)

    def encode(self, variables: Tree, x: jax.Array) -> jax.Array:
        """Return the encoder's latents ``(n, latent_dim)`` for ``x``; requires ``spec.has_encoder``."""
        return _encode(self.spec, variables, x)

    def snapshot(self, state: State, n: int, points: np.ndarray) -> tuple[SnapshotArrays, Tree]:
        """Return ``n`` samples from ``state``, and the discriminator's logits at ``points`` ``(points, *shape)``.

        Also returns a copy of the averaged generator's variables, which stays valid when ``state`` is donated.
        """
        return _snapshot(self.spec, state, self.data.held_out, jnp.asarray(points, jnp.float32), n)


_create = jax.jit(create, static_argnums=0)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _advance(spec: GanSpec, state: State, source: Source, held_out: Source, n: jax.Array) -> tuple[State, Report]:
    def condition(carry: tuple[jax.Array, State]) -> jax.Array:
        done, current = carry
        return (done < n) & (current.accumulator.bad_step == 0)  # a diverged run stays at the step where it diverged

    def body(carry: tuple[jax.Array, State]) -> tuple[jax.Array, State]:
        done, current = carry
        return done + 1, update(spec, current, source, held_out)

    # The trip count is traced, so that one compiled program serves every n.
    _, state = jax.lax.while_loop(condition, body, (jnp.zeros((), jnp.int32), state))
    return state, report_of(state.accumulator)


def report_of(accumulator: MetricAccumulator) -> Report:
    """Return the :class:`Report` of ``accumulator``."""
    return Report(
        means=accumulator.sums / accumulator.count, bad_step=accumulator.bad_step, bad_tag=accumulator.bad_tag
    )


@partial(jax.jit, static_argnums=(0, 4))
def _sample(
    spec: GanSpec, hparams: Tree, variables: Tree, key: jax.Array, n: int, labels: Conditioning | None = None
) -> jax.Array:
    labels = draw_labels(spec, hparams, key_for(key, "labels"), n) if labels is None else labels
    return spec.generator.apply(variables, sample_noise(spec, key, n), train=False, **labels)  # type: ignore[return-value]


def sample_noise(spec: GanSpec, key: jax.Array, n: int) -> jax.Array:
    """Return the latents ``(n, latent_dim)`` behind the ``n`` samples that :meth:`Gan.sample` draws with ``key``."""
    return draw_noise(spec, key_for(key, "noise"), n)


@partial(jax.jit, static_argnums=0)
def _encode(spec: GanSpec, variables: Tree, x: jax.Array) -> jax.Array:
    return spec.generator.apply(variables, x, train=False, method="encode")  # type: ignore[return-value]


@partial(jax.jit, static_argnums=0)
def _push(spec: GanSpec, variables: Tree, latents: jax.Array) -> jax.Array:
    return spec.generator.apply(variables, latents, train=False)  # type: ignore[return-value]


def take_snapshot(
    spec: GanSpec, state: State, held_out: Source, points: jax.Array, n: int
) -> tuple[SnapshotArrays, Tree]:
    """Return the same as :meth:`Gan.snapshot`, as a pure function."""
    key = key_for(state.key, "look")  # the same in every snapshot
    rows = getattr(held_out, "flat", None)
    # Image samples are sorted by class; for a known density the classes are drawn with their frequencies.
    by_class = {"y": jnp.arange(n) * spec.classes // n} if spec.classes and rows is not None else None
    samples = _sample(spec, state.hparams, state.average, key_for(key, "samples"), n, by_class)
    size = LOGITS if rows is None else min(LOGITS, rows.shape[0])
    size -= size % spec.packing
    real, real_labels, _ = draw_data(spec, held_out, key_for(key, "data"), Cursor.start(), size)
    fake_key = key_for(key, "samples for the discriminator")
    fake_labels = draw_labels(spec, state.hparams, key_for(fake_key, "labels"), size)
    fake = _sample(spec, state.hparams, state.average, fake_key, size, fake_labels)
    discriminator = partial(_discriminator_output, spec, state)
    fake_output = discriminator(fake, fake_labels)
    empty = jnp.zeros((0,), jnp.float32)

    def score(output: jax.Array) -> jax.Array:
        return scores(spec, output, fake_output)[0]

    arrays = SnapshotArrays(
        samples=samples,
        real_logits=score(discriminator(real, real_labels)),
        fake_logits=score(fake_output),
        real_labels=real_labels.get("y", empty),
        fake_labels=fake_labels.get("y", empty),
        field=score(discriminator(points, {})) if points.shape[0] else empty,
        ladder=_ladder(spec, state.average) if _is_one_dimensional(spec, samples) else empty,
    )
    return arrays, jax.tree.map(jnp.copy, state.average)


def _discriminator_output(spec: GanSpec, state: State, x: jax.Array, labels: Conditioning) -> jax.Array:
    """Apply the discriminator to ``x``, packed, and with an encoder also to the averaged encoder's latents for it."""
    conditioning = labels
    if spec.has_encoder:
        conditioning = labels | {"z": _encode(spec, state.average, x)}
    return spec.discriminator.apply(state.discriminator.variables, pack(x, spec.packing), train=False, **conditioning)


_snapshot = jax.jit(take_snapshot, static_argnums=(0, 4))


def _is_one_dimensional(spec: GanSpec, samples: jax.Array) -> bool:
    """Return whether one curve z -> G(z) shows the generator; a class-conditional one has a curve for each class."""
    return spec.latent_dim == 1 and samples.shape[1:] == (1,) and not spec.classes


def _ladder(spec: GanSpec, variables: Tree) -> jax.Array:
    quantile = (jnp.arange(RUNGS) + 0.5) / RUNGS
    z = 2.0 * quantile - 1.0 if spec.prior == "uniform" else jax.scipy.stats.norm.ppf(quantile)
    x = spec.generator.apply(variables, z[:, None], train=False)
    return jnp.concatenate([z[:, None], x], axis=1)  # type: ignore[list-item]
