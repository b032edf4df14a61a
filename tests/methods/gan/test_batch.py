"""Both sides of a minibatch in front of both players: pairs with an encoder's latents, best samples, penalties."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import struct
from narrow import NARROW
from test_algorithm import PAPER_GAME, Counting, Linear, PointGenerator, create, mean, moved, one_step, paper_numbers

from ganrun.config.registry import static, traced
from ganrun.keys import key_for
from ganrun.methods.gan.batch import Batch, relabelled
from ganrun.methods.gan.losses import NonSaturating
from ganrun.methods.gan.networks import draw_noise, features
from ganrun.methods.gan.penalties.gradients import R1, R2
from ganrun.methods.gan.spec import Bidirectional
from ganrun.training.build import build


class Pairing(nn.Module):
    """x a + z, of a pair: what an encoder finds counts as it is."""

    @nn.compact
    def __call__(self, x, train, z):
        return (x @ self.param("a", nn.initializers.zeros, (1,))) + z[:, 0]


class Encoder(nn.Module):
    """The normalised example, times 0, plus e: it finds e in everything, and its statistics are those of the data."""

    @nn.compact
    def __call__(self, x, train):
        norm = nn.BatchNorm(use_running_average=not train, momentum=0.9, use_scale=False, use_bias=False)
        return 0.0 * norm(x) + self.param("e", nn.initializers.zeros, (1,))


PAIRS = dataclasses.replace(
    PAPER_GAME, generator=Bidirectional(PointGenerator(), Encoder()), discriminator=Pairing(), has_encoder=True
)


def after(spec, steps=1, **parts):
    hparams = paper_numbers(k=1) | jax.tree.map(jnp.asarray, parts)
    state = create(spec, hparams, jnp.uint32(0), jnp.zeros((1, 1)))
    for _ in range(steps):
        state = one_step(spec, state, Counting())
    return state


def found(state):
    return float(state.model.generator.params["encoder"]["e"][0])


# --- inference ---


def test_the_encoder_lowers_what_is_said_of_its_pairs():
    # The generator's loss is -E D(G(z), z) + E D(x, E(x)), whose derivative by e is 1: e falls by the rate.
    assert [found(after(PAIRS, steps)) for steps in (1, 2)] == [-1.0, -2.0]


def test_the_encoders_term_is_the_loss_of_the_exchanged_roles():
    # -log D(fake) - log(1 - D(real)) at the logits 1 and 2: log(1 + e^-1) + log(1 + e^2).
    nothing: list = [None] * 7
    batch = Batch(dataclasses.replace(PAIRS, loss=NonSaturating()), {"loss": {}}, *nothing)
    value = batch._generator_value(jnp.array([2.0]), jnp.array([1.0]))
    assert float(value) == pytest.approx(np.log1p(np.exp(-1)) + np.log1p(np.exp(2)), rel=1e-6)


def test_the_encoders_batch_statistics_follow_the_data_of_the_generators_updates():
    # k = 1: the discriminator's data are 0 to 3 and 8 to 11, the generator's 4 to 7 (mean 5.5) and 12 to 15 (13.5).
    means = [float(after(PAIRS, n).model.generator.stats["encoder"]["BatchNorm_0"]["mean"][0]) for n in (1, 2)]
    assert means == pytest.approx([0.55, 0.9 * 0.55 + 1.35], rel=1e-6)


class NormalisedPoint(nn.Module):
    """b and nothing of the normalised latent, whose statistics are kept."""

    @nn.compact
    def __call__(self, z, train):
        norm = nn.BatchNorm(use_running_average=not train, momentum=0.9, use_scale=False, use_bias=False)
        return 0.0 * norm(z) + self.param("b", nn.initializers.zeros, (1,))


def test_the_batch_statistics_of_generator_and_encoder_are_both_kept():
    spec = dataclasses.replace(PAIRS, generator=Bidirectional(NormalisedPoint(), Encoder()))
    state = after(spec)
    key = key_for(key_for(key_for(state.key, "step", 0), "generator update", 0), "noise")
    means = [float(state.model.generator.stats[part]["BatchNorm_0"]["mean"][0]) for part in ("generator", "encoder")]
    assert means == pytest.approx([0.1 * float(draw_noise(spec, key, 4).mean()), 0.55], rel=1e-5)


@struct.dataclass
class Same(Counting):
    def minibatch(self, key, cursor, n):
        return jnp.arange(4.0)[:, None], cursor


def test_an_encoder_has_its_running_statistics_in_evaluation():
    # After many steps on the same four rows the running averages are those of the rows, as they are in training.
    state = create(PAIRS, paper_numbers(k=1), jnp.uint32(0), jnp.zeros((1, 1)))
    for _ in range(100):
        state = one_step(PAIRS, state, Same())
    stats = state.model.generator.stats["encoder"]["BatchNorm_0"]
    # .9^100 = 2.7e-5 is left of the start, 0 and 1.
    np.testing.assert_allclose([stats["mean"][0], stats["var"][0]], [1.5, 1.25], rtol=1e-4)


@dataclasses.dataclass(frozen=True)
class Pairwise(Linear):
    generator_sees_data = True

    def generator(self, real_logits, fake_logits, hparams):
        return jnp.mean(real_logits - fake_logits)


@pytest.mark.parametrize("loss", [Linear(), Pairwise()], ids=["alone", "in pairs"])
def test_learning_from_the_best_samples_leaves_the_encoder_its_gradient(loss):
    # After the first step the run is over, so the share is the one asked for; e still falls by 1 a step.
    spec = dataclasses.replace(PAIRS, top_k=True, loss=loss)
    for share in (1.0, 0.5, 0.25):
        state = after(spec, 3, generator_update={"top_k": share}, run={"steps": 1.0, "log_every": 50})
        assert found(state) == pytest.approx(-3.0)


# --- flipped labels ---


@pytest.mark.parametrize("outputs", [(), (3,)], ids=["one output", "three outputs"])
def test_whole_rows_are_exchanged_and_between_the_same_places(outputs):
    real, fake = jnp.ones((4000, *outputs)), -jnp.ones((4000, *outputs))
    one, other = relabelled(real, fake, jnp.float32(0.25), jax.random.key(0))
    assert one.shape == other.shape == real.shape
    np.testing.assert_array_equal(one, -other)
    rows = np.asarray(one).reshape(4000, -1)
    assert np.all(rows == rows[:, :1])
    assert abs(np.mean(rows[:, 0] < 0) - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 4000)


# --- penalties ---


class Square(nn.Module):
    """a x², whose slope 2 a x is not the same everywhere."""

    @nn.compact
    def __call__(self, x, train):
        return x[:, 0] ** 2 * self.param("a", nn.initializers.zeros, ())


@pytest.mark.parametrize(("penalty", "wanted"), [(R1(weight=0.5), 0.5 * 0.5 * 4 * 3.5), (R2(weight=0.5), 0.25 * 4 * 9)])
def test_r1_is_of_data_and_r2_of_samples(penalty, wanted):
    # At a = 1 the squared slope is 4 x²: its mean over the data 0, 1, 2, 3 is 4 * 3.5, over samples at 3 it is 4 * 9.
    spec = dataclasses.replace(PAPER_GAME, discriminator=Square(), penalties=(static(penalty),))
    hparams = paper_numbers(k=1)
    hparams["penalty"] = jax.tree.map(jnp.float32, {penalty.name: traced(penalty)})
    start = create(spec, hparams, jnp.uint32(0), jnp.zeros((1, 1)))
    at = moved(start, generator={"b": jnp.full((1,), 3.0)}, discriminator={"a": jnp.float32(1.0)})
    state = one_step(spec, at, Counting())
    assert mean(state, f"penalty/{penalty.name}", spec) == pytest.approx(wanted, rel=1e-6)
    # The loss a (E x_fake² - E x_real²) has the slope 9 - 3.5, and the penalty, a square in a, twice its value.
    assert float(state.model.discriminator.params["a"]) == pytest.approx(1 - (9 - 3.5) - 2 * wanted, rel=1e-5)


def test_the_features_that_the_generator_matches_are_those_of_a_discriminator_in_training(compose_config):
    words = ("dataset=digits", "architecture=maxout", *NARROW["maxout"], "loss=feature_matching", "batch_size=8")
    experiment = build(compose_config(words))
    player, x = experiment.init().model.discriminator, jnp.ones((8, *experiment.data.shape))
    first, again, other = (
        features(experiment.method.spec, player.params, player.stats, x, {}, jax.random.key(i)) for i in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)  # another mask of dropout
