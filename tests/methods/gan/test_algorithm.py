"""Algorithm 1 step by step: first in a game small enough for paper and pencil, then between networks.

The paper game: the generator's one parameter b is its sample, x = b, and the discriminator's one parameter a gives
the logit a x. The discriminator minimises -E[a real] + E[a fake], so its gradient is b - mean(real); the generator
minimises -E[a fake], so its gradient is -a. Both descend with rate 1 and no momentum. The data are the numbers
0, 1, 2, ... in order, four to a minibatch, and k = 3:

    step 1: a = 0 + (1.5 + 5.5 + 9.5) - 3 * 0        = 16.5,  b = 0 + 16.5    = 16.5
    step 2: a = 16.5 + (13.5 + 17.5 + 21.5) - 49.5   = 19.5,  b = 16.5 + 19.5 = 36
    step 3: a = 19.5 + (25.5 + 29.5 + 33.5) - 108    =  0,    b = 36 + 0      = 36
    step 4: a = 0 + (37.5 + 41.5 + 45.5) - 108       = 16.5,  b = 36 + 16.5   = 52.5
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import struct

from ganrun.datasets import Data
from ganrun.datasets.sampler import Cursor, Pixels
from ganrun.keys import key_for
from ganrun.methods import run_state
from ganrun.methods.experiment import Experiment
from ganrun.methods.gan.gan import Gan
from ganrun.methods.gan.losses import Loss
from ganrun.methods.gan.networks import draw_noise, forward
from ganrun.methods.gan.schedules import Constant
from ganrun.methods.gan.state import GanSpec
from ganrun.optimizers import Sgd
from ganrun.training.build import build

FREE = {"learning_rate": 1.0, "momentum": 0.0, "final_momentum": 0.0}


@struct.dataclass
class Counting:
    """The numbers from the cursor on, in order."""

    def minibatch(self, key, cursor, n):
        hparams = cursor.offset + jnp.arange(n)
        return hparams.astype(jnp.float32)[:, None], cursor.replace(offset=cursor.offset + n)


class PointGenerator(nn.Module):
    noise: float = 0.0

    @nn.compact
    def __call__(self, z, train):
        return self.param("b", nn.initializers.zeros, (1,)) + self.noise * z


class LinearDiscriminator(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return x @ self.param("a", nn.initializers.zeros, (1,))


@dataclasses.dataclass(frozen=True)
class Linear(Loss):
    output_type = "probability"

    def discriminator(self, real_logits, fake_logits, hparams):
        return jnp.mean(fake_logits) - jnp.mean(real_logits)

    def generator(self, real_logits, fake_logits, hparams):
        return -jnp.mean(fake_logits)


PAPER_GAME = GanSpec(
    generator=PointGenerator(),
    discriminator=LinearDiscriminator(),
    loss=Linear(),
    schedule=Constant(),
    generator_optimizer=Sgd(decay="constant"),
    discriminator_optimizer=Sgd(decay="constant"),
    prior="normal",
    latent_dim=1,
    batch_size=4,
)


def create(spec, hparams, seed, example):
    """The state of a run before its first step."""
    return run_state.create(Gan(spec, example.shape[1:]), hparams, seed, example)


def moved(state, **params):
    """``state`` with these parameters of its networks."""
    parts = {name: dataclasses.replace(getattr(state.model, name), params=value) for name, value in params.items()}
    return dataclasses.replace(state, model=dataclasses.replace(state.model, **parts))


def update(spec, state, source, held_out=None):
    """One step of Algorithm 1."""
    return run_state.update(Gan(spec, (1,)), state, source, held_out)


one_step = jax.jit(update, static_argnums=0)


def paper_numbers(*, k=3, log_every=50, decay=0.999, generator_rate=1.0, discriminator_rate=1.0):
    rule = {"decay_rate": 0.0, "minimum_rate": 0.0, "momentum_steps": 1.0} | FREE
    hparams = {
        "run": {"steps": 100.0, "log_every": log_every},
        "loss": {},
        "schedule": {"k": k},
        "optimizer": {
            "generator": rule | {"learning_rate": generator_rate},
            "discriminator": rule | {"learning_rate": discriminator_rate},
        },
        "ema": {"decay": decay},
    }
    return jax.tree.map(jnp.asarray, hparams)


def play(steps, *, spec=PAPER_GAME, source=None, **hparams):
    """The states of the paper game before the first step and after each."""
    states = [create(spec, paper_numbers(**hparams), jnp.uint32(0), jnp.zeros((1, 1)))]
    for _ in range(steps):
        states.append(one_step(spec, states[-1], source or Counting()))
    return states


def a(state):
    return float(state.model.discriminator.params["a"][0])


def b(state):
    return float(state.model.generator.params["b"][0])


def mean(state, tag, spec=PAPER_GAME):
    return float((state.accumulator.sums / state.accumulator.count)[spec.tags.index(tag)])


def test_k_discriminator_updates_then_one_generator_update_against_the_new_discriminator():
    # Against the old discriminator b would be 0, 16.5, 36, 36.
    states = play(4)[1:]
    assert [a(state) for state in states] == [16.5, 19.5, 0.0, 16.5]
    assert [b(state) for state in states] == [16.5, 36.0, 36.0, 52.5]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_each_of_the_k_updates_takes_a_fresh_minibatch(k):
    # b = 0 in the first step, so a is the sum of the minibatches' means 1.5 + 4 i; 4 k examples are gone.
    state = play(1, k=k)[1]
    assert a(state) == sum(1.5 + 4 * i for i in range(k))
    assert int(state.cursor.offset) == 4 * k


def test_a_finite_source_moves_on_by_k_batches_a_step():
    source = Pixels(jnp.zeros((10, 1), jnp.uint8), jnp.zeros(2, jnp.uint32), (1,))
    cursors = [state.cursor for state in play(3, source=source)]
    # Twelve a step out of ten: 12, 24, 36 examples are one, two, three epochs and 2, 4, 6 more.
    assert [(int(c.epoch), int(c.offset)) for c in cursors] == [(0, 0), (1, 2), (2, 4), (3, 6)]


def test_every_update_draws_its_own_noise():
    # With x = z and the data always 0, a is minus the sum of the mean noises of the k updates.
    spec = dataclasses.replace(PAPER_GAME, generator=PointGenerator(noise=1.0))
    source = Pixels(jnp.full((4, 1), 255, jnp.uint8), jnp.zeros(2, jnp.uint32), (1,))
    sums = [a(play(1, spec=spec, source=source, k=k, generator_rate=0.0)[1]) for k in (1, 2, 3)]
    means = np.diff([0.0, *sums])
    assert len({round(float(mean), 5) for mean in means}) == 3


def test_the_noise_of_a_step_is_not_that_of_another():
    spec = dataclasses.replace(PAPER_GAME, generator=PointGenerator(noise=1.0))
    source = Pixels(jnp.full((4, 1), 255, jnp.uint8), jnp.zeros(2, jnp.uint32), (1,))
    states = play(3, spec=spec, source=source, k=1, generator_rate=0.0)
    changes = np.diff([a(state) for state in states])
    assert len({round(float(change), 5) for change in changes}) == 3


def test_what_the_first_steps_report_by_hand():
    state = play(1)[1]
    # Of the last of the k updates, before it: a = 1.5 + 5.5 = 7, the data are 8, 9, 10, 11 and the fakes 0.
    assert mean(state, "loss/discriminator") == -7 * 9.5
    assert mean(state, "grad_norm/discriminator") == 9.5
    assert mean(state, "D(G(z))") == 0.5
    assert mean(state, "D(x)") == pytest.approx(1.0)
    assert mean(state, "value") == pytest.approx(np.log(0.5), rel=1e-5)
    assert mean(state, "jsd/online") == pytest.approx((np.log(0.5) + np.log(4)) / 2, rel=1e-5)
    assert mean(state, "grad_norm/generator") == 16.5
    assert mean(state, "schedule/k") == 3


def test_the_readout_is_the_mean_of_the_interval_and_starts_anew_after_it():
    # The generator's loss is -a b with a after and b before the step: 0, -19.5 * 16.5, 0, -16.5 * 36.
    states = play(4, log_every=3)[1:]
    assert [int(state.accumulator.count) for state in states] == [1, 2, 3, 1]
    means = [mean(state, "loss/generator") for state in states]
    assert means == pytest.approx([0.0, -321.75 / 2, -321.75 / 3, -594.0])


def test_nothing_is_bad_in_a_healthy_run():
    assert int(play(4)[-1].accumulator.bad_step) == 0


@pytest.mark.parametrize(
    ("hparams", "step", "tag"),
    [
        # b is lost after step 1, and the first to look at it is the discriminator of step 2 ...
        ({"generator_rate": jnp.nan, "k": 1}, 2, "D(G(z))"),
        # ... which is lost itself by its second update.
        ({"generator_rate": jnp.nan}, 2, "D(x)"),
        # a is lost after the first of three updates, which the report of the third shows.
        ({"discriminator_rate": jnp.nan}, 1, "D(x)"),
        # a is lost after the only update, reported as it was before; the generator meets it.
        ({"discriminator_rate": jnp.nan, "k": 1}, 1, "loss/generator"),
        # An infinite a makes the gradient of b infinite, and 0 * inf a NaN.
        ({"discriminator_rate": jnp.inf, "k": 1}, 1, "loss/generator"),
    ],
)
def test_the_first_bad_step_and_number_are_remembered(hparams, step, tag):
    accumulator = play(5, log_every=2, **hparams)[-1].accumulator
    assert (int(accumulator.bad_step), PAPER_GAME.tags[int(accumulator.bad_tag)]) == (step, tag)


def test_the_average_follows_with_a_short_memory_at_first():
    # Decay 1/10, then 2/11: 0.9 * 16.5 = 14.85, then 2/11 * 14.85 + 9/11 * 36 = 2.7 + 324/11.
    averages = [float(state.model.average["params"]["b"][0]) for state in play(2)]
    assert averages == pytest.approx([0.0, 14.85, 2.7 + 324 / 11], rel=1e-6)


def test_the_average_never_remembers_more_than_its_decay():
    # Decay 1/10, then 0.15 rather than 2/11: 0.15 * 14.85 + 0.85 * 36 = 32.8275.
    averages = [float(state.model.average["params"]["b"][0]) for state in play(2, decay=0.15)]
    assert averages == pytest.approx([0.0, 14.85, 32.8275], rel=1e-6)


def test_an_average_without_memory_is_the_generator():
    assert all(float(state.model.average["params"]["b"][0]) == b(state) for state in play(3, decay=0.0))


def same(left, right):
    return all(bool(jnp.array_equal(x, y)) for x, y in zip(*map(jax.tree.leaves, (left, right)), strict=True))


def with_rates(config, generator, discriminator):
    """``config`` with plain gradient descent at these rates."""
    optimizer = dataclasses.replace(
        config.optimizer,
        generator=Sgd(decay="constant", **FREE | {"learning_rate": generator}),
        discriminator=Sgd(decay="constant", **FREE | {"learning_rate": discriminator}),
    )
    return dataclasses.replace(config, optimizer=optimizer)


@pytest.mark.parametrize(("generator", "discriminator"), [(0.0, 0.1), (0.1, 0.0)])
def test_a_player_without_a_learning_rate_stays_as_it_is(tiny_config, generator, discriminator):
    experiment = build(with_rates(tiny_config, generator, discriminator))
    before = experiment.init()
    after = one_step(experiment.method.spec, before, experiment.data.train)
    assert same(before.model.generator.params, after.model.generator.params) == (generator == 0)
    assert same(before.model.discriminator.params, after.model.discriminator.params) == (discriminator == 0)


def test_the_generators_gradient_is_taken_at_the_new_discriminator(tiny_config):
    experiment = build(with_rates(tiny_config, 1.0, 1.0))
    before = experiment.init()
    after = one_step(experiment.method.spec, before, experiment.data.train)
    # With rate 1 and no momentum, the gradient is the parameters before less those after.
    taken = jax.tree.map(jnp.subtract, before.model.generator.params, after.model.generator.params)
    key = key_for(key_for(before.key, "step", 0), "generator update", 0)
    noise = draw_noise(experiment.method.spec, key_for(key, "noise"), experiment.method.spec.batch_size)

    def gradient(judge):
        def loss(params):
            fake, _ = forward(experiment.method.spec.generator, params, {}, noise, key)  # no network here has dropout
            logits, _ = forward(experiment.method.spec.discriminator, judge.params, judge.stats, fake, key)
            return jnp.mean(jax.nn.softplus(-logits))  # -E log D

        return jax.tree.leaves(jax.grad(loss)(before.model.generator.params))

    for found, new, old in zip(
        jax.tree.leaves(taken), gradient(after.model.discriminator), gradient(before.model.discriminator), strict=True
    ):
        np.testing.assert_allclose(found, new, atol=1e-5)
        assert np.abs(found - old).max() > 1e-3


@pytest.fixture(scope="module")
def normalised(compose_config):
    """A config whose generator has batch norm and does not learn; its discriminator does."""
    hidden = ["architecture.generator_hidden=[8,8]", "architecture.discriminator_hidden=[8]"]
    return with_rates(compose_config([*hidden, "architecture.generator_norm=batch", "batch_size=16"]), 0.0, 0.1)


def test_only_generator_steps_change_the_generators_batch_statistics(normalised):
    both = [build(dataclasses.replace(normalised, schedule=Constant(k=k))) for k in (1, 5)]
    before = both[0].init()
    one, five = (one_step(experiment.method.spec, experiment.init(), experiment.data.train) for experiment in both)
    assert not same(one.model.discriminator.params, five.model.discriminator.params)
    assert not same(before.model.generator.stats, one.model.generator.stats)
    assert same(one.model.generator.stats, five.model.generator.stats)


def test_the_average_holds_the_batch_statistics_too(normalised):
    # Linear in them as in the weights: decay 1/10 in the first step.
    experiment = build(normalised)
    before = experiment.init()
    after = one_step(experiment.method.spec, before, experiment.data.train)
    by_hand = jax.tree.map(
        lambda old, new: 0.1 * old + 0.9 * new, before.model.generator.stats, after.model.generator.stats
    )
    for found, wanted in zip(*map(jax.tree.leaves, (after.model.average["batch_stats"], by_hand)), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize(("prior", "variance"), [("normal", 1.0), ("uniform", 1 / 3)])
def test_the_noise_has_the_moments_of_its_prior(prior, variance):
    # Standard errors over 40 000 draws: sqrt(variance / 40 000) and at most sqrt(2 / 40 000) for the variance.
    spec = dataclasses.replace(PAPER_GAME, prior=prior, latent_dim=4)
    noise = np.asarray(draw_noise(spec, jax.random.key(1), 10_000))
    assert noise.shape == (10_000, 4)
    assert abs(noise.mean()) < 5 * np.sqrt(variance / 40_000)
    assert abs(noise.var() - variance) < 5 * np.sqrt(2 / 40_000)
    if prior == "uniform":
        assert np.abs(noise).max() <= 1


def test_a_run_starts_at_the_first_example_of_the_first_epoch(tiny_config):
    data = Data(train=Counting(), held_out=Counting(), shape=(2,), density=None)
    state = Experiment(tiny_config, data).init()
    assert (int(state.step), int(state.cursor.epoch), int(state.cursor.offset)) == (0, 0, 0)
    assert same(state.cursor, Cursor.start())
