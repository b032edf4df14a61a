"""Losses whose discriminator is a critic, in the game that test_algorithm.py works out with paper and pencil."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from test_algorithm import PAPER_GAME, Linear, PointGenerator, a, b, mean, play

from ganrun.config.registry import options
from ganrun.methods.gan.losses import output_metrics
from ganrun.methods.gan.state import OUTPUT_METRICS


@dataclasses.dataclass(frozen=True)
class Critic(Linear):
    output_type = "critic"


@dataclasses.dataclass(frozen=True)
class Pairs(Linear):
    """Its generator's loss is what the discriminator says of the generator's data, and moves nothing."""

    output_type = "pair"
    generator_sees_data = True

    def generator(self, real_logits, fake_logits, hparams):
        return jnp.mean(real_logits)


CRITIC_GAME = dataclasses.replace(PAPER_GAME, loss=Critic())
PAIR_GAME = dataclasses.replace(PAPER_GAME, loss=Pairs())


def test_what_a_game_reports_depends_on_what_its_loss_reads():
    rest = ("loss/discriminator", "loss/generator", "grad_norm/discriminator", "grad_norm/generator", "schedule/k")
    assert PAPER_GAME.tags == ("D(x)", "D(G(z))", "value", "jsd/online", *rest)
    assert CRITIC_GAME.tags == ("critic/real", "critic/fake", *rest)
    assert PAIR_GAME.tags == ("critic/real", "critic/fake", "value/pair", *rest)
    for spec in (PAPER_GAME, CRITIC_GAME, PAIR_GAME):
        assert play(1, spec=spec)[1].accumulator.sums.shape == (len(spec.tags),)


@pytest.mark.parametrize("spec", [CRITIC_GAME, PAIR_GAME], ids=["critic", "pair"])
def test_what_the_first_step_of_a_critic_reports_by_hand(spec):
    # As above: a = 7 before the last update, the data are 8, 9, 10, 11 and the fakes 0.
    state = play(1, spec=spec)[1]
    assert mean(state, "critic/real", spec) == 7 * 9.5
    assert mean(state, "critic/fake", spec) == 0
    assert mean(state, "loss/discriminator", spec) == -7 * 9.5
    assert mean(state, "grad_norm/discriminator", spec) == 9.5
    assert mean(state, "schedule/k", spec) == 3


def test_the_pair_value_is_that_of_the_last_update():
    # No pair is in doubt at a = 7: log 1 + log 2. The first update is made at a = 0, where all are: log 1/2 + log 2.
    assert mean(play(1, spec=PAIR_GAME)[1], "value/pair", PAIR_GAME) == pytest.approx(np.log(2), rel=1e-6)
    assert mean(play(1, spec=PAIR_GAME, k=1)[1], "value/pair", PAIR_GAME) == pytest.approx(0, abs=1e-7)


def test_a_critic_names_what_is_not_finite_by_its_own_tags():
    accumulator = play(3, spec=PAIR_GAME, discriminator_rate=jnp.nan)[-1].accumulator
    assert (int(accumulator.bad_step), PAIR_GAME.tags[int(accumulator.bad_tag)]) == (1, "critic/real")


def test_a_generator_that_sees_data_takes_the_minibatch_after_the_discriminators():
    # Step 1: 0 to 11 went to the discriminator, which ends at a = 16.5; the generator's data are 12 to 15, mean 13.5.
    # Step 2: 16 to 27 have the means 17.5, 21.5 and 25.5 and b = 0 as ever, so a = 81; then come 28 to 31, mean 29.5.
    states = play(2, spec=PAIR_GAME, log_every=1)
    assert [int(state.cursor.offset) for state in states] == [0, 16, 32]
    assert [a(state) for state in states] == [0, 16.5, 81]
    assert [mean(state, "loss/generator", PAIR_GAME) for state in states[1:]] == [16.5 * 13.5, 81 * 29.5]


@struct.dataclass
class Normal:
    """Fresh numbers from N(0, 1), like the sources of known densities: the cursor does not matter to them."""

    def minibatch(self, key, cursor, n):
        return jax.random.normal(key, (n, 1)), cursor


def test_a_generator_that_sees_data_draws_it_with_a_key_of_its_own():
    # With k = 1 and b = 0, a rises by the mean of the discriminator's data; loss/generator is a times the generator's.
    states = play(3, spec=PAIR_GAME, source=Normal(), k=1, log_every=1)
    rises = np.diff([a(state) for state in states])
    drawn = [mean(state, "loss/generator", PAIR_GAME) / a(state) for state in states[1:]]
    assert len({round(float(value), 4) for value in (*rises, *drawn)}) == 6


@dataclasses.dataclass(frozen=True)
class Sighted(Critic):
    generator_sees_data = True


def test_seeing_data_changes_no_other_draw():
    # Neither player looks at the generator's data: the noise of all steps and the discriminator's data are the same.
    noisy = PointGenerator(noise=1.0)
    games = [dataclasses.replace(PAPER_GAME, generator=noisy, loss=loss) for loss in (Critic(), Sighted())]
    blind, sighted = (play(3, spec=spec, source=Normal(), k=2) for spec in games)
    assert [(a(state), b(state)) for state in blind] == [(a(state), b(state)) for state in sighted]
    for one, other in zip(blind[1:], sighted[1:], strict=True):
        assert one.accumulator.sums.tolist() == other.accumulator.sums.tolist()


def test_every_loss_says_what_its_discriminator_reads():
    output_type = {name: loss().output_type for name, loss in options("loss").items()}
    assert output_type == {
        "minimax": "probability",
        "nonsaturating": "probability",
        "maximum_likelihood": "probability",
        "relativistic": "pair",
        "hinge": "critic",
        "logistic": "probability",
        "feature_matching": "probability",
        "least_squares": "critic",
        "wasserstein": "critic",
        "cramer": "critic",
        "fgan": "critic",
        "relativistic_average": "pair",
    }
    sighted = {name for name, loss in options("loss").items() if loss().generator_sees_data}
    assert sighted == {"relativistic", "relativistic_average", "cramer", "feature_matching"}


def test_what_a_loss_says_of_itself_is_no_setting():
    for loss in options("loss").values():
        assert {field.name for field in dataclasses.fields(loss)}.isdisjoint({"output_type", "generator_sees_data"})


@pytest.mark.parametrize("output_type", OUTPUT_METRICS)
def test_every_reading_has_its_tag_in_order(output_type):
    assert tuple(output_metrics(output_type, jnp.zeros(2), jnp.zeros(2))) == OUTPUT_METRICS[output_type]
