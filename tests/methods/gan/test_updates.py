"""What single updates keep, count and draw, in the paper game of test_algorithm.py."""

import dataclasses
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import struct
from test_algorithm import PAPER_GAME, Counting, Linear, a, b, create, mean, moved, one_step, paper_numbers

from ganrun.config.registry import static, traced
from ganrun.methods.gan.penalties.base import Penalty
from ganrun.methods.gan.penalties.gradients import R1
from ganrun.methods.gan.schedules import Adaptive, Constant, Piecewise, Ramp
from ganrun.optimizers import Sgd

# --- lazy penalties ---


@dataclasses.dataclass(frozen=True)
class One(Penalty):
    """Adds 1 to the loss, so that what is reported of it is how much it weighs."""

    name: str = "one"
    every: int = 16

    def term(self, match, hparams):
        return jnp.ones(())


@struct.dataclass
class Normal:
    def minibatch(self, key, cursor, n):
        return jax.random.normal(key, (n, 1)), cursor


def counted(schedule, every, steps=12, log_every=1):
    """How many updates each step took, and how often the penalty was due in it."""
    spec = dataclasses.replace(PAPER_GAME, schedule=static(schedule), penalties=(One(every=every),))
    hparams = paper_numbers(log_every=log_every) | {"penalty": {"one": {}}}
    hparams["schedule"] = jax.tree.map(jnp.asarray, traced(schedule), is_leaf=lambda value: isinstance(value, tuple))
    hparams["run"]["steps"] = jnp.float32(steps)
    state, k, due = create(spec, hparams, jnp.uint32(0), jnp.zeros((1, 1))), [], []
    for _ in range(steps):
        state = one_step(spec, state, Normal())
        k.append(round(mean(state, "schedule/k", spec)))
        due.append(round(mean(state, "penalty/one", spec) * k[-1] / every, 3))
    assert int(state.model.discriminator.updates) == sum(k)
    assert int(state.model.generator.updates) == steps
    return k, due


@pytest.mark.parametrize(
    "schedule",
    [
        Constant(k=3),
        Ramp(k=1, final_k=25),
        Piecewise(at=(0, 3, 8), k=(7, 2, 30), burst_every=5, burst_k=40),
        Adaptive(k=32, patience=2),
    ],
    ids=lambda schedule: schedule.name,
)
@pytest.mark.parametrize("every", [16])
def test_a_lazy_penalty_is_due_at_every_so_many_updates_whatever_k_is(schedule, every):
    k, due = counted(schedule, every)
    # Due are the updates 0, 16, 32, ...: of those up to u there are ceil(u / 16).
    ends = np.concatenate([[0], np.cumsum(k)])
    assert due == [-(-end // every) - -(-start // every) for start, end in pairwise(ends)]
    if schedule.name != "constant":
        assert len(set(k)) > 2


def test_the_updates_ahead_have_their_own_place_in_the_count():
    # γ = 1/4 and every = 2: where it is due the penalty is 2 γ a² / 2, of slope a / 2. Step 1: update 0 is due, without
    # effect at a = 0, so a = 1.5. The one ahead is number 1 and not due: a' = 1.5 + 5.5 - b, and the generator's loss
    # -a' b has the slope -7 at b = 0. Step 2: update 1 is not due, a = 1.5 + 5.5 - 7 = 0; ahead is number 2, due
    # on 8 to 11, but at a = 0: a' = 9.5 - b, and -a' b has the slope -(9.5 - 14) at b = 7.
    penalty = R1(weight=0.25, every=2)
    spec = dataclasses.replace(PAPER_GAME, penalties=(static(penalty),), unrolled=1)
    hparams = paper_numbers(k=1)
    hparams["penalty"] = jax.tree.map(jnp.float32, {"r1": traced(penalty)})
    states = [create(spec, hparams, jnp.uint32(0), jnp.zeros((1, 1)))]
    for _ in range(2):
        states.append(one_step(spec, states[-1], Counting()))
    assert [(a(state), b(state)) for state in states[1:]] == [(1.5, 7.0), (0.0, 2.5)]
    # What is ahead is not counted.
    assert [int(state.model.discriminator.updates) for state in states] == [0, 1, 2]


# --- batch statistics ---


class Normalised(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, use_scale=False, use_bias=False)(x)
        return x[:, 0] * self.param("a", nn.initializers.zeros, ())


def test_the_discriminators_statistics_are_of_data_and_then_of_samples():
    # From mean 0: a tenth of the data's 1.5, of which nine tenths are left when the samples, all 4, come.
    spec = dataclasses.replace(PAPER_GAME, discriminator=Normalised())
    start = create(spec, paper_numbers(k=1, generator_rate=0.0), jnp.uint32(0), jnp.zeros((1, 1)))
    at = moved(start, generator={"b": jnp.full((1,), 4.0)})
    stats = one_step(spec, at, Counting()).model.discriminator.stats["BatchNorm_0"]
    assert float(stats["mean"][0]) == pytest.approx(0.9 * 0.15 + 0.4, rel=1e-6)
    assert float(stats["var"][0]) == pytest.approx(0.9 * (0.9 + 0.125), rel=1e-6)  # variances 1, then 1.25 and 0


# --- dropout ---


class Halved(nn.Module):
    """a x where dropout leaves x, times 2."""

    @nn.compact
    def __call__(self, x, train):
        return nn.Dropout(0.5, deterministic=not train)(x)[:, 0] * self.param("a", nn.initializers.zeros, ())


@struct.dataclass
class Ones(Counting):
    def minibatch(self, key, cursor, n):
        return jnp.ones((n, 1)), cursor


def test_data_and_samples_are_seen_through_masks_of_their_own():
    # Data and samples are all 1: through one mask their means would be equal, and the slope of a 0.
    spec = dataclasses.replace(PAPER_GAME, discriminator=Halved(), batch_size=64)
    start = create(spec, paper_numbers(k=1, generator_rate=0.0), jnp.uint32(0), jnp.zeros((1, 1)))
    at = moved(start, generator={"b": jnp.ones((1,))})
    assert abs(float(one_step(spec, at, Ones()).model.discriminator.params["a"])) > 1e-3


# --- the rule of each player ---


def test_each_player_descends_by_its_own_rule_and_numbers():
    # The generator's rate is 1/2 and its momentum 0; the discriminator's rate 1, and 1/2 of its last velocity goes on:
    # a = 1.5; b = .75. Then the velocity is 1.5 / 2 + (5.5 - .75) = 5.5 and a = 7; b = .75 + 3.5.
    hparams = paper_numbers(k=1, generator_rate=0.5)
    hparams["optimizer"]["discriminator"] |= {"momentum": jnp.float32(0.5), "final_momentum": jnp.float32(0.5)}
    spec = dataclasses.replace(PAPER_GAME, discriminator_optimizer=Sgd(decay="constant"))
    states = [create(spec, hparams, jnp.uint32(0), jnp.zeros((1, 1)))]
    for _ in range(2):
        states.append(one_step(spec, states[-1], Counting()))
    assert [(a(state), b(state)) for state in states[1:]] == [(1.5, 0.75), (7.0, 4.25)]


@dataclasses.dataclass(frozen=True)
class Listening(Linear):
    """A generator's loss that is what is said of data, and moves nothing."""

    generator_sees_data = True

    def generator(self, real_logits, fake_logits, hparams):
        return jnp.mean(real_logits)


def test_every_update_of_the_generator_takes_data_of_its_own():
    # k = 1: 0 to 3 for the discriminator, whose a = 1.5; 4 to 7, 8 to 11 and 12 to 15 for the generator's three
    # updates, of which the last reports a times 13.5.
    spec = dataclasses.replace(PAPER_GAME, loss=Listening(), schedule=Constant(generator_steps=3))
    state = one_step(spec, create(spec, paper_numbers(k=1), jnp.uint32(0), jnp.zeros((1, 1))), Counting())
    assert (int(state.cursor.offset), mean(state, "loss/generator", spec)) == (16, 1.5 * 13.5)
