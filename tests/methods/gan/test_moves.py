"""What the game can do beyond Algorithm 1, in the paper game of test_algorithm.py wherever paper will do."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import struct
from test_algorithm import PAPER_GAME, Counting, Linear, a, b, create, mean, one_step, paper_numbers

from ganrun.keys import key_for
from ganrun.methods.gan.losses import NonSaturating, Wasserstein
from ganrun.methods.gan.networks import discriminator_input, draw_noise, pack, scores
from ganrun.methods.gan.schedules import Adaptive, Constant


def play(steps, *, hparams=None, source=None, **changes):
    """The states of the paper game with ``changes``, and ``hparams`` by part."""
    k = changes.pop("k", 1)
    spec = dataclasses.replace(PAPER_GAME, **changes)
    traced = paper_numbers(k=k) | jax.tree.map(jnp.asarray, hparams or {})
    states = [create(spec, traced, jnp.uint32(0), jnp.zeros((1, 1)))]
    for _ in range(steps):
        states.append(one_step(spec, states[-1], source or Counting()))
    return states


# --- the order of moves ---


def test_simultaneous_moves_answer_the_old_discriminator():
    # a as in test_algorithm.py's first step, and b is a's value of the step before.
    states = play(3, k=3, schedule=Constant(order="simultaneous"))
    # Step 2: b = 0 still, so a = 16.5 + 13.5 + 17.5 + 21.5 = 69. Step 3: b = 16.5.
    assert [a(state) for state in states[1:3]] == [16.5, 69.0]
    assert [b(state) for state in states] == [0.0, 0.0, 16.5, 16.5 + 69.0]


@pytest.mark.parametrize("turns", [1, 2, 5])
def test_several_generator_updates_a_step(turns):
    # Each moves b by a = 16.5; the step counts once and draws data for the discriminator only.
    state = play(1, k=3, schedule=Constant(generator_steps=turns))[1]
    assert (a(state), b(state)) == (16.5, 16.5 * turns)
    assert (int(state.step), int(state.cursor.offset)) == (1, 12)


class Scaled(nn.Module):
    """x = b z, from b = 1."""

    @nn.compact
    def __call__(self, z, train):
        return self.param("b", nn.initializers.ones, (1,)) * z


def test_every_generator_update_draws_its_own_noise():
    # The gradient of b is -a mean(z): with a fixed, equal noise would move b by equal steps.
    ends = [b(play(1, generator=Scaled(), schedule=Constant(generator_steps=n))[1]) for n in (1, 2, 3)]
    assert len({round(step, 4) for step in np.diff([1.0, *ends])}) == 3


# --- looking ahead ---


def test_an_unrolled_generator_goes_through_the_discriminators_answer():
    # Step 1: a = 1.5. One update ahead, on 4 to 7 with mean 5.5, a' = a + 5.5 - b, and the loss -a' b has the
    # derivative -(a + 5.5 - 2 b) = -7 at b = 0. Step 2: a = 1.5 + 5.5 - 7 = 0; ahead are 8 to 11, mean 9.5, and
    # -(0 + 9.5 - 14) = 4.5.
    states = play(2, unrolled=1)
    assert [(a(state), b(state)) for state in states[1:]] == [(1.5, 7.0), (0.0, 2.5)]
    assert int(states[2].cursor.offset) == 8  # what is ahead has not been used up


def test_two_updates_ahead():
    # a'' = a + 5.5 + 9.5 - 2 b at a = 1.5, so the derivative of -a'' b at b = 0 is -16.5.
    assert b(play(1, unrolled=2)[1]) == 16.5


# --- learning from the best samples ---


@pytest.mark.parametrize(("share", "kept"), [(1.0, 4), (0.6, 3), (0.5, 2), (0.25, 1)])
def test_top_k_is_the_mean_over_the_best_samples(share, kept):
    # x = z, D(x) = a x with a = 1.5 - mean(z of the discriminator): the best have the largest a z. One step of 1 and
    # the run is over, so the share is the one asked for.
    hparams = {"generator_update": {"top_k": share}, "run": {"steps": 1.0, "log_every": 50}}
    before, after = play(1, generator=Scaled(), top_k=True, hparams=hparams)
    # The share falls along a line, so the first step still has everybody ...
    noise = np.asarray(draw_noise(PAPER_GAME, generator_noise_key(before), 4))[:, 0]
    assert b(after) - 1 == pytest.approx(a(after) * noise.mean(), rel=1e-4)
    # ... and the one after the end has the share asked for.
    later = one_step(dataclasses.replace(PAPER_GAME, generator=Scaled(), top_k=True), after, Counting())
    noise = np.asarray(draw_noise(PAPER_GAME, generator_noise_key(after), 4))[:, 0]
    best = np.sort(a(later) * b(after) * noise)[-kept:] / b(after)
    assert b(later) - b(after) == pytest.approx(best.mean(), rel=1e-4)


def generator_noise_key(state):
    return key_for(key_for(key_for(state.key, "step", state.step), "generator update", 0), "noise")


# --- what the discriminator is shown ---


def test_packs_of_vectors_and_images_by_hand():
    rows = jnp.arange(8.0).reshape(4, 2)
    assert pack(rows, 2).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    images = jnp.arange(8.0).reshape(4, 1, 2, 1)
    # Two images of two pixels: each pixel gets the values of both as channels.
    assert pack(images, 2).tolist() == [[[[0, 2], [1, 3]]], [[[4, 6], [5, 7]]]]
    assert pack(rows, 1) is rows


class Summing(nn.Module):
    """a times the sum of the row, however long it is."""

    @nn.compact
    def __call__(self, x, train):
        return x.sum(axis=1) * self.param("a", nn.initializers.zeros, ())


def test_a_packed_discriminator_judges_sums_of_its_pack():
    # Packs (0, 1) and (2, 3) have sums 1 and 5, mean 3, which is the slope of a; alone the mean was 1.5.
    spec = {"discriminator": Summing(), "packing": 2, "batch_size": 4}
    state = play(1, **spec)[1]
    assert float(state.model.discriminator.params["a"]) == 3.0
    assert int(state.cursor.offset) == 4


@pytest.mark.parametrize(("done", "std"), [(0.0, 3.0), (0.5, 2.0), (1.0, 1.0)])
def test_instance_noise_falls_along_a_line(done, std):
    spec = dataclasses.replace(PAPER_GAME, noisy=True)
    hparams = {"inputs": {"noise": jnp.float32(3.0), "final_noise": jnp.float32(1.0)}}
    shown = np.asarray(
        discriminator_input(spec, hparams, jnp.float32(done), jnp.full((40_000, 1), 7.0), jax.random.key(1))
    )
    assert abs(shown.mean() - 7) < 5 * std / 200
    assert abs(shown.std() - std) < 5 * std / np.sqrt(2 * 40_000)


def test_noise_is_new_on_both_sides_and_in_every_turn():
    # With b = 0 and data 0 the slope of a is the noise on the samples less that on the data.
    source = Zeros()
    inputs = {"inputs": {"noise": 1.0, "final_noise": 1.0, "label_flipping": 0.0}}
    changes = [a(play(1, noisy=True, hparams=inputs | {"schedule": {"k": k}}, source=source)[1]) for k in (1, 2, 3)]
    assert len({round(value, 4) for value in np.diff([0.0, *changes])}) == 3
    assert abs(changes[0]) > 1e-3


@struct.dataclass
class Zeros(Counting):
    def minibatch(self, key, cursor, n):
        return jnp.zeros((n, 1)), cursor


def test_flipped_labels_exchange_what_is_said_of_the_two_sides():
    # All flipped: the discriminator learns the reverse, a = -1.5; what is read of it is what it says.
    sure = {"inputs": {"noise": 0.0, "final_noise": 0.0, "label_flipping": 1.0}}
    assert a(play(1, flipping=True, hparams=sure)[1]) == -1.5
    # A quarter flipped, of many rows: the mean of what is left is (1 - 2 p) of it.
    some = {"inputs": {"noise": 0.0, "final_noise": 0.0, "label_flipping": 0.25}}
    state = play(1, flipping=True, hparams=some, batch_size=10_000)[1]
    assert a(state) / 4999.5 == pytest.approx(0.5, abs=0.05)


# --- schedules that watch ---


def adaptive(**settings):
    option = Adaptive(**settings)
    return {"schedule": option, "hparams": {"schedule": {name: getattr(option, name) for name in NUMBERS}}}


NUMBERS = ("k", "tolerance", "patience", "accuracy")


def test_updates_go_on_while_the_held_out_value_rises():
    # The value a (1.5 - 0) rises with every update, by 1.5 times 1.5, 5.5, 9.5, ...
    assert mean(play(1, **adaptive(k=7))[1], "schedule/k") == 7
    # A rise of 2.25 after one that is too small: with a tolerance of 3 the first update is the last ...
    assert mean(play(1, **adaptive(k=7, tolerance=3.0))[1], "schedule/k") == 1
    # ... and with more patience the second one, which adds 8.25, is a rise again.
    assert mean(play(1, **adaptive(k=7, tolerance=3.0, patience=2))[1], "schedule/k") == 7


def test_updates_stop_at_the_accuracy_asked_for():
    # Once a > 0, three of the held-out 0, 1, 2, 3 are on the right side and no sample, at b = 0: 3/8.
    for accuracy, k in ((0.3, 1), (0.37, 1), (0.38, 6)):
        state = play(1, **adaptive(k=6, until="accuracy", accuracy=accuracy))[1]
        assert mean(state, "schedule/k") == k
    assert int(state.cursor.offset) == 24


def test_a_discriminator_that_is_good_enough_still_takes_one_update():
    state = play(1, **adaptive(k=6, until="accuracy", accuracy=0.0))[1]
    assert (mean(state, "schedule/k"), a(state)) == (1, 1.5)


# --- several outputs, features ---


class Wide(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return jnp.concatenate([x, x], axis=1) * self.param("a", nn.initializers.ones, ())


@dataclasses.dataclass(frozen=True)
class Distances(Linear):
    output_type = "critic"
    outputs = 2

    def critic(self, outputs, anchors):
        return jnp.sum(outputs, axis=1) - jnp.sum(anchors)


def test_a_critic_of_several_outputs_is_read_through_its_scores():
    spec = dataclasses.replace(PAPER_GAME, loss=Distances())
    real, fake = scores(spec, jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0]]))
    assert (real.tolist(), fake.tolist()) == ([-4.0], [0.0])


@pytest.mark.parametrize("loss", [NonSaturating(), Wasserstein()])
def test_the_moves_of_a_plain_game_take_no_further_draws(loss):
    # Everything switched off leaves the numbers of Algorithm 1 as they are, to the bit.
    plain = play(2, loss=loss, hparams={"loss": {"label_smoothing": 0.0}})[2]
    spelled = play(
        2, loss=loss, hparams={"loss": {"label_smoothing": 0.0}}, packing=1, unrolled=0, top_k=False, noisy=False
    )[2]
    assert plain.accumulator.sums.tolist() == spelled.accumulator.sums.tolist()
