"""The GAN as a method: what :mod:`ganrun.run` needs of anything that it can train.

``init(seed)``, ``advance(state, n)``, ``sample(state, key, n)`` and ``snapshot(state)``. All of it is jitted once per
:class:`~ganrun.game.state.Game`: two runs whose games are equal share their programs.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from ganrun.config import Train
from ganrun.datasets import Data
from ganrun.datasets.sampler import Cursor, Source
from ganrun.errors import ConfigError
from ganrun.game.algorithm import create, update
from ganrun.game.players import Beside, draw_data, draw_labels, draw_noise, pack, scores
from ganrun.game.rules import game_of, numbers_of
from ganrun.game.state import Game, Readout, State, Tree
from ganrun.keys import key_for

RUNGS = 41  # arrows from z to x = G(z) in the picture of the line
LOGITS = 512  # examples a side behind the histograms of logits: a picture of DCGAN must cost less than a second


@struct.dataclass
class Report:
    """What a call of ``advance`` tells the host: the means over the logging interval so far, and any failure.

    Attributes:
        means: ``(len(game.tags),)``, in their order.
        bad_step: the first step with a NaN or Inf; 0 while there is none.
        bad_tag: index into ``game.tags`` of the first such number.
    """

    means: jax.Array
    bad_step: jax.Array
    bad_tag: jax.Array


@struct.dataclass
class Snapshot:
    """A look at the players: samples of the averaged generator and the discriminator's opinions.

    Attributes:
        samples: ``(n, *shape)``, from the same noise at every snapshot of a run.
        real_logits: ``(LOGITS,)`` on held-out data (fewer where there are fewer).
        fake_logits: ``(LOGITS,)`` on samples.
        real_labels: of that data, where the game is class-conditional; else empty.
        fake_labels: of those samples.
        field: the discriminator's logits on the points that the picture needs, ``(points,)`` (may be empty).
        ladder: pairs (z, G(z)) ``(rungs, 2)`` at evenly spaced quantiles of the prior, where both are numbers and the
            generator knows of no classes; else empty.
    """

    samples: jax.Array
    real_logits: jax.Array
    fake_logits: jax.Array
    real_labels: jax.Array
    fake_labels: jax.Array
    field: jax.Array
    ladder: jax.Array


class Gan:
    """One GAN experiment: the static game, the traced numbers and the data, with the programs over them."""

    def __init__(self, config: Train, data: Data) -> None:
        rows = getattr(data.train, "flat", None)
        if rows is not None and config.batch_size > len(rows):
            raise ConfigError(f"batch_size must be at most {len(rows)}, the examples in the dataset.")
        self.game = game_of(config, data.shape)
        self.numbers = numbers_of(config, data.train)
        self.data = data
        self.seed = config.seed

    def init(self) -> State:
        """Return the state before the first step."""
        return _create(self.game, self.numbers, jnp.uint32(self.seed), jnp.zeros((1, *self.data.shape)))

    def abstract(self) -> State:
        """Return the state's shapes and types without computing it: the target that a checkpoint is read into."""
        return jax.eval_shape(self.init)

    def advance(self, state: State, n: int) -> tuple[State, Report]:
        """Run ``n`` iterations of Algorithm 1 on the device; ``state`` is consumed. Returns before they are done."""
        return _advance(self.game, state, self.data.train, self.data.held_out, jnp.int32(n))

    def sample(self, variables: Tree, key: jax.Array, n: int) -> jax.Array:
        """Return ``n`` samples ``(n, *shape)`` of the generator with ``variables`` (``state.average``, say).

        The classes of a class-conditional game are as frequent as in the data.
        """
        return _sample(self.game, self.numbers, variables, key, n)

    def push(self, variables: Tree, latents: jax.Array) -> jax.Array:
        """Return G of ``latents`` ``(n, latent_dim)``, one sample ``(*shape)`` each, with ``variables``."""
        return _push(self.game, variables, latents)

    def encode(self, variables: Tree, x: jax.Array) -> jax.Array:
        """Return the latents ``(n, latent_dim)`` that the encoder finds for ``x``, where ``game.infers``."""
        return _encode(self.game, variables, x)

    def snapshot(self, state: State, n: int, points: np.ndarray) -> tuple[Snapshot, Tree]:
        """Look at ``state``: ``n`` samples, and the discriminator on ``points`` ``(points, *shape)``.

        Also returns a copy of the averaged generator's variables, which outlives ``state``.
        """
        return _snapshot(self.game, state, self.data.held_out, jnp.asarray(points, jnp.float32), n)


_create = jax.jit(create, static_argnums=0)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _advance(game: Game, state: State, source: Source, held_out: Source, n: jax.Array) -> tuple[State, Report]:
    def goes_on(carry: tuple[jax.Array, State]) -> jax.Array:
        done, now = carry
        return (done < n) & (now.readout.bad_step == 0)  # what is lost is left as it was when it was seen

    def one_more(carry: tuple[jax.Array, State]) -> tuple[jax.Array, State]:
        done, now = carry
        return done + 1, update(game, now, source, held_out)

    # The trip count is traced, so one program serves every length of call.
    _, state = jax.lax.while_loop(goes_on, one_more, (jnp.zeros((), jnp.int32), state))
    return state, report_of(state.readout)


def report_of(readout: Readout) -> Report:
    """Return what the host is told of ``readout``."""
    return Report(means=readout.sums / readout.count, bad_step=readout.bad_step, bad_tag=readout.bad_tag)


@partial(jax.jit, static_argnums=(0, 4))
def _sample(
    game: Game, numbers: Tree, variables: Tree, key: jax.Array, n: int, labels: Beside | None = None
) -> jax.Array:
    labels = draw_labels(game, numbers, key_for(key, "labels"), n) if labels is None else labels
    return game.generator.apply(variables, sample_noise(game, key, n), train=False, **labels)  # type: ignore[return-value]


def sample_noise(game: Game, key: jax.Array, n: int) -> jax.Array:
    """Return the latents ``(n, latent_dim)`` behind the ``n`` samples that :meth:`Gan.sample` draws with ``key``."""
    return draw_noise(game, key_for(key, "noise"), n)


@partial(jax.jit, static_argnums=0)
def _encode(game: Game, variables: Tree, x: jax.Array) -> jax.Array:
    return game.generator.apply(variables, x, train=False, method="encode")  # type: ignore[return-value]


@partial(jax.jit, static_argnums=0)
def _push(game: Game, variables: Tree, latents: jax.Array) -> jax.Array:
    return game.generator.apply(variables, latents, train=False)  # type: ignore[return-value]


def look_at(game: Game, state: State, held_out: Source, points: jax.Array, n: int) -> tuple[Snapshot, Tree]:
    """Return what :meth:`Gan.snapshot` does; pure."""
    key = key_for(state.key, "look")  # the same at every look
    rows = getattr(held_out, "flat", None)
    # Pictures are shown class by class; samples of a density are as frequent as the data's.
    by_class = {"y": jnp.arange(n) * game.classes // n} if game.classes and rows is not None else None
    samples = _sample(game, state.numbers, state.average, key_for(key, "samples"), n, by_class)
    size = LOGITS if rows is None else min(LOGITS, rows.shape[0])
    size -= size % game.packing
    real, real_labels, _ = draw_data(game, held_out, key_for(key, "data"), Cursor.start(), size)
    fake_key = key_for(key, "samples for the discriminator")
    fake_labels = draw_labels(game, state.numbers, key_for(fake_key, "labels"), size)
    fake = _sample(game, state.numbers, state.average, fake_key, size, fake_labels)
    judge = partial(_judge, game, state)
    said_of_fake = judge(fake, fake_labels)
    empty = jnp.zeros((0,), jnp.float32)

    def scored(said: jax.Array) -> jax.Array:
        return scores(game, said, said_of_fake)[0]

    shown = Snapshot(
        samples=samples,
        real_logits=scored(judge(real, real_labels)),
        fake_logits=scored(said_of_fake),
        real_labels=real_labels.get("y", empty),
        fake_labels=fake_labels.get("y", empty),
        field=scored(judge(points, {})) if points.shape[0] else empty,
        ladder=_ladder(game, state.average) if _is_on_a_line(game, samples) else empty,
    )
    return shown, jax.tree.map(jnp.copy, state.average)


def _judge(game: Game, state: State, x: jax.Array, labels: Beside) -> jax.Array:
    """Return what the discriminator says of ``x``, packed, with the latents that the averaged encoder finds for it."""
    beside = labels
    if game.infers:
        beside = labels | {"z": _encode(game, state.average, x)}
    return game.discriminator.apply(state.discriminator.variables, pack(x, game.packing), train=False, **beside)


_snapshot = jax.jit(look_at, static_argnums=(0, 4))


def _is_on_a_line(game: Game, samples: jax.Array) -> bool:
    """Whether one curve shows the whole generator: of a class-conditional one it takes a curve for each class."""
    return game.latent_dim == 1 and samples.shape[1:] == (1,) and not game.classes


def _ladder(game: Game, variables: Tree) -> jax.Array:
    quantile = (jnp.arange(RUNGS) + 0.5) / RUNGS
    z = 2.0 * quantile - 1.0 if game.prior == "uniform" else jax.scipy.stats.norm.ppf(quantile)
    x = game.generator.apply(variables, z[:, None], train=False)
    return jnp.concatenate([z[:, None], x], axis=1)  # type: ignore[list-item]
