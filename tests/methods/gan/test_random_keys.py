"""Every random draw of a run has a key of its own: the keys of whole steps are listed and compared."""

import collections
import dataclasses
import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import struct
from flax.core import scope
from test_algorithm import PAPER_GAME, Linear, paper_numbers

from ganrun.config.registry import static, traced
from ganrun.evaluation.samples import BATCH, block_key
from ganrun.methods.experiment import take_snapshot
from ganrun.methods.gan.gan import Gan
from ganrun.methods.gan.penalties.gradients import R2, Dragan, GradientPenalty
from ganrun.methods.gan.schedules import Adaptive, Constant
from ganrun.methods.gan.spec import Bidirectional
from ganrun.methods.run_state import create, update

pytestmark = pytest.mark.retraced  # with random functions that note their keys

DRAWS = ("normal", "uniform", "bernoulli", "randint", "choice", "truncated_normal", "permutation", "categorical")


class Recorder:
    """How every key in a traced program comes from the seed, and what is drawn from which.

    A path is a tuple of what is folded into the seed's key in turn: numbers, and a :class:`Counter` for each number
    that is known only when the program runs. ``split`` counts as what it is in JAX, folding in 0, 1, ...
    """

    def __init__(self, monkeypatch):
        self.paths, self.counters, self.drawn, self.parents = {}, {}, [], set()
        self._kept = []  # so that no other object gets the id of one that is known
        split, fold_in, key = jax.random.split, jax.random.fold_in, jax.random.key

        def drawing(function):
            return lambda key, *given, **named: (self.drawn.append(self._path(key)), function(key, *given, **named))[1]

        def folded(key, data):
            return self._known(fold_in(key, data), (*self._derive(key), self._number(data)))

        def parted(key, num=2):
            path, parts = self._derive(key), split(key, num)
            return [self._known(parts[i], (*path, i)) for i in range(num)]

        for name in DRAWS:
            monkeypatch.setattr(jax.random, name, drawing(getattr(jax.random, name)))
        monkeypatch.setattr(jax.random, "fold_in", folded)
        monkeypatch.setattr(jax.random, "split", parted)
        # Flax hashes the path of a layer into its key: a plain number, which would look like a counter in a program.
        hashed = lambda key, data: jax.random.fold_in(key, zlib.crc32(repr(data).encode())) if data else key  # noqa: E731
        monkeypatch.setattr(scope, "_fold_in_static", hashed)
        monkeypatch.setattr(jax.random, "key", lambda seed: self._known(key(seed), ()))

    def _known(self, key, path):
        self._kept.append(key)
        self.paths[id(key)] = path
        return key

    def _path(self, key):
        return self.paths[id(key)]

    def _derive(self, key):
        self.parents.add(self._path(key))
        return self._path(key)

    def _number(self, data):
        if isinstance(data, jax.core.Tracer):
            self._kept.append(data)
            return self.counters.setdefault(id(data), Counter(len(self.counters)))
        return int(data)


@dataclasses.dataclass(frozen=True)
class Counter:
    """A number that is known only when the program runs; counters are told apart by where they count."""

    name: int


STEPS = 3
folded = jax.jit(jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None)))


def words_of(path, counts, known=frozenset()):
    """The words ``(many, 2)`` of the keys of ``path`` in some steps, where other counters have ``counts`` values.

    A counter, 0 that of the steps, goes on from the plain numbers that are in its place in the ``known`` paths.
    """
    return np.asarray(jax.random.key_data(_keys_of(tuple(path), counts, known)))


@functools.cache
def _keys_of(path, counts, known):
    if not path:
        return jax.random.key(0)[None]
    before, last = _keys_of(path[:-1], counts, known), path[-1]
    hparams = [last]
    if isinstance(last, Counter):
        start = sum((*path[:-1], i) in known for i in range(counts))
        hparams = start + np.arange(counts if last.name else STEPS)
    return folded(before, np.array(hparams, np.uint32)).reshape(-1)


class Dropping(nn.Module):
    """a times the sum of a row of which dropout leaves half, with what stands beside it."""

    @nn.compact
    def __call__(self, x, train, y=None, z=None):
        x = nn.Dropout(0.5, deterministic=not train)(x)
        a = self.param("a", nn.initializers.ones, ())
        conditioning = sum(jnp.sum(one) for one in (y, z) if one is not None)
        return a * (x**2).sum(axis=1) + 0 * conditioning


class Making(nn.Module):
    """b z with dropout, whatever the class."""

    @nn.compact
    def __call__(self, z, train, y=None):
        return nn.Dropout(0.5, deterministic=not train)(z) * self.param("b", nn.initializers.ones, ())


@struct.dataclass
class Drawn:
    """Fresh numbers with labels."""

    def minibatch(self, key, cursor, n):
        return jax.random.normal(key, (n, 1)), cursor

    def labelled(self, key, cursor, n):
        x, cursor = self.minibatch(key, cursor, n)
        return x, jnp.zeros(n, jnp.int32), cursor


@dataclasses.dataclass(frozen=True)
class Sighted(Linear):
    generator_sees_data = True


PENALTIES = (R2(), GradientPenalty(), Dragan(every=2))
NUMBERS = {
    "inputs": {"noise": 1.0, "final_noise": 1.0, "label_flipping": 0.5},
    "penalty": {one.name: traced(one) for one in PENALTIES},
    "generator_update": {"top_k": 0.5},
}
EVERYTHING = dataclasses.replace(
    PAPER_GAME,
    generator=Making(),
    discriminator=Dropping(),
    loss=Sighted(),
    penalties=tuple(map(static, PENALTIES)),
    noisy=True,
    flipping=True,
    top_k=True,
)


def watching(k):
    """An adaptive schedule that takes all of its ``k`` updates, and its numbers."""
    option = Adaptive(until="accuracy")
    return {"k": k, "tolerance": 0.0, "patience": 1, "accuracy": 2.0}, static(option)


def drawn(spec, schedule, monkeypatch, **parts):
    """What is drawn from which key when a run is started, takes a step, and is looked at."""
    hparams = jax.tree.map(jnp.asarray, paper_numbers() | NUMBERS | parts | {"schedule": schedule}, is_leaf=is_list)

    def run(step):
        method = Gan(spec, (1,))
        state = dataclasses.replace(create(method, hparams, jnp.uint32(0), jnp.zeros((1, 1))), step=step)
        update(method, state, Drawn(), Drawn())
        return take_snapshot(method, state, Drawn(), jnp.zeros((0, 1)), 4)

    with monkeypatch.context() as patched:
        recorder = Recorder(patched)
        jax.eval_shape(run, jnp.int32(0))
    return recorder


def is_list(value):
    return isinstance(value, list)


def check(recorder, counts):
    """No key is drawn from twice, or drawn from and derived from; nor are two keys of a run alike by chance."""
    exam, *passes = (zlib.crc32(use) for use in (b"exam", b"dropout on data", b"dropout on samples"))
    for path, times in collections.Counter(recorder.drawn).items():
        # An exam shows every discriminator the same: the one before the first update, and the one after each.
        again = exam in path and not set(passes).isdisjoint(path)
        assert times == 1 + again
    assert not set(recorder.drawn) & recorder.parents
    known = frozenset(path[:end] for path in recorder.drawn for end in range(1, len(path) + 1))
    found = np.concatenate([words_of(path, counts, known) for path in set(recorder.drawn)])
    assert len(np.unique(found, axis=0)) == len(found)
    return len(found)


def test_no_two_draws_share_a_key_with_everything_switched_on(monkeypatch):
    schedule, option = watching(3)
    spec = dataclasses.replace(EVERYTHING, schedule=dataclasses.replace(option, generator_steps=3), unrolled=2)
    # In each of 3 steps, 6 updates and as many ahead of each of 7 updates of the generator, with 12 draws: data, noise,
    # flips, dropout in G and twice in D, noise on both inputs, and four for the three penalties; dropout in those; ...
    assert check(drawn(spec, schedule, monkeypatch), 6) > 3 * (6 * 12 + 7 * 6 * 12)


def test_no_two_draws_share_a_key_between_pairs_with_a_latent(monkeypatch):
    spec = dataclasses.replace(
        EVERYTHING, generator=Bidirectional(Making(), Making()), has_encoder=True, schedule=Constant(generator_steps=2)
    )
    check(drawn(spec, {"k": 2}, monkeypatch), 20)


def test_no_two_draws_share_a_key_in_a_class_conditional_game(monkeypatch):
    spec = dataclasses.replace(EVERYTHING, classes=3)
    check(drawn(spec, {"k": 2}, monkeypatch, class_probabilities=[0.2, 0.3, 0.5]), 20)


def test_no_two_draws_share_a_key_in_200_updates_with_exams(monkeypatch):
    schedule, option = watching(200)
    spec = dataclasses.replace(PAPER_GAME, generator=Making(), schedule=option)
    assert check(drawn(spec, schedule, monkeypatch), 200) > 3 * 200 * 3


def test_samples_drawn_with_a_runs_seed_are_not_from_its_keys():
    # With one seed and counters for both, sample 512 had the key of step 512.
    steps = {tuple(row) for row in words_of((zlib.crc32(b"run"), Counter(0)), 4 * BATCH).tolist()}
    own = [np.asarray(jax.random.key_data(block_key(0, start))).tolist() for start in range(0, 4 * BATCH, BATCH)]
    assert not steps & set(map(tuple, own))
