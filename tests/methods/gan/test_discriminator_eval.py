"""The exam of schedules that watch the discriminator, in the paper game of test_algorithm.py."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import struct
from test_algorithm import PAPER_GAME, Counting, Linear, create, mean, one_step, paper_numbers

from ganrun.methods.base import Progress
from ganrun.methods.gan.discriminator_eval import DiscriminatorEval
from ganrun.methods.gan.schedules import Adaptive
from ganrun.methods.gan.updates import Context


@struct.dataclass
class Falling(Counting):
    """0, -1, -2, ..."""

    def minibatch(self, key, cursor, n):
        x, cursor = super().minibatch(key, cursor, n)
        return -x, cursor


class Curved(nn.Module):
    """a times the mean square of the normalised row, from a = 1."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, use_scale=False, use_bias=False)(x)
        return jnp.mean(x**2, axis=1) * self.param("a", nn.initializers.ones, ())


class Masked(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return nn.Dropout(0.5, deterministic=not train)(x)[:, 0] * self.param("a", nn.initializers.ones, ())


def exam(spec, source, step=0):
    state = create(spec, paper_numbers(k=1), jnp.uint32(0), jnp.zeros((1, 1)))
    state = dataclasses.replace(state, step=jnp.int32(step))
    context = Context(spec, source, state.hparams, Progress(state.step, state.hparams["run"]["steps"]))
    return DiscriminatorEval.draw(context, state.model, source, jax.random.key(1)), state


def adaptive_numbers(**settings):
    return {"k": 7, "tolerance": 0.0, "patience": 1, "accuracy": 0.7} | settings


def test_the_exam_is_taken_on_what_is_held_out():
    # The training data drive a up from 0. On 0, -1, -2, -3 that is worse and worse: one update, where the training
    # data themselves would allow all seven.
    spec = dataclasses.replace(PAPER_GAME, schedule=Adaptive())
    hparams = paper_numbers() | {"schedule": jax.tree.map(jnp.asarray, adaptive_numbers())}
    start = create(spec, hparams, jnp.uint32(0), jnp.zeros((1, 1)))
    found = [mean(one_step(spec, start, Counting(), held_out), "schedule/k") for held_out in (Falling(), Counting())]
    assert found == [1, 7]


def test_the_exam_normalises_by_the_batch_as_training_does():
    # 0, 1, 2, 3 have the variance 1.25, so normalised their mean square is 1.25 / (1.25 + 1e-5); samples are all 0.
    # By the running averages of the start it would be the mean square of the data themselves, 3.5.
    spec = dataclasses.replace(PAPER_GAME, discriminator=Curved())
    taken, state = exam(spec, Counting())
    value, _ = taken.evaluate(state.model.discriminator)
    assert float(value) == pytest.approx(1.25 / (1.25 + 1e-5), rel=1e-6)
    # The first update of training is made on the very same rows, and reports minus this value before it.
    after = one_step(spec, state, Counting())
    assert mean(after, "loss/discriminator") == pytest.approx(-float(value), rel=1e-6)


def test_an_exam_changes_nothing_and_is_the_same_for_everybody():
    taken, state = exam(dataclasses.replace(PAPER_GAME, discriminator=Masked()), Counting())
    values = [float(taken.evaluate(state.model.discriminator)[0]) for _ in range(2)]
    assert values[0] == values[1]


def test_what_an_exam_says_by_hand():
    # a = 2 on the held-out 0, 1, 2, 3 and samples at 0: the value is 2 * 1.5, three of eight are on their side of 1/2.
    taken, state = exam(PAPER_GAME, Counting())
    able = dataclasses.replace(state.model.discriminator, params={"a": jnp.full((1,), 2.0)})
    assert [float(one) for one in taken.evaluate(able)] == [3.0, 3 / 8]

    @dataclasses.dataclass(frozen=True)
    class Critic(Linear):
        output_type = "critic"

    # A critic's scores are compared by pairs: three of four examples lie above their sample.
    taken, _ = exam(dataclasses.replace(PAPER_GAME, loss=Critic()), Counting())
    assert [float(one) for one in taken.evaluate(able)] == [3.0, 3 / 4]


@struct.dataclass
class Few(Counting):
    """Six held-out rows, which a step looks at from an epoch of its own on."""

    flat: jax.Array

    def minibatch(self, key, cursor, n):
        return jnp.full((n, 1), 10.0 * cursor.epoch + cursor.offset), cursor


@pytest.mark.parametrize(("batch", "packing", "rows"), [(4, 1, 4), (8, 1, 6), (8, 4, 4)])
def test_a_finite_set_gives_what_it_has_in_whole_packs(batch, packing, rows):
    spec = dataclasses.replace(PAPER_GAME, batch_size=batch, packing=packing, discriminator=Curved())
    taken, _ = exam(spec, Few(flat=jnp.zeros((6, 1))), step=3)
    assert taken.batch.data is not None and taken.batch.noise.shape[0] == rows
    np.testing.assert_array_equal(taken.batch.data, np.full((rows, 1), 30.0))


@pytest.mark.parametrize(("step", "done"), [(0, 0.0), (30, 0.3), (100, 1.0), (130, 1.0)])
def test_an_exam_is_noisy_as_its_step_is(step, done):
    # The paper game has 100 steps.
    assert float(exam(PAPER_GAME, Counting(), step)[0].batch.done) == pytest.approx(done)
