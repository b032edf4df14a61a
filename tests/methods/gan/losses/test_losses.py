"""What holds for every loss there is: the tests walk the registry, so that a new one cannot escape them."""

import itertools
from dataclasses import fields, replace
from math import log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from ganrun.config.registry import options, traced
from ganrun.methods.gan.losses import LOG_4, Loss, game_value, mean_exp, output_metrics, pair_value

LOG_3 = log(3.0)
LARGEST = float(np.finfo(np.float32).max)


def variants():
    """Every loss with every combination of its choices."""
    for option in options("loss").values():
        choices = {field.name: field.metadata["choices"] for field in fields(option) if "choices" in field.metadata}
        for picked in itertools.product(*choices.values()):
            yield option(**dict(zip(choices, picked, strict=True)))


def named(loss):
    return "-".join(value for field in fields(loss) if isinstance(value := getattr(loss, field.name), str))


LOSSES = list(variants())
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=named)


def gan_hparams(loss, **changed):
    return {name: jnp.asarray(changed.get(name, value)) for name, value in traced(loss).items()}


def batch(rows, width, seed):
    """``rows`` as logits, or as so many numbers per example: each a multiple of its row, of random sign and size."""
    rows = jnp.asarray(rows, float)
    if width == 1:
        return rows
    spread = np.random.default_rng(seed).choice([-1.0, -0.5, 0.25, 1.0], (len(rows), width))
    return rows[:, None] * spread


def players(loss, real, fake, hparams):
    """The two losses as functions of what each player differentiates by, and those arguments."""
    width = 5 if loss.uses_features else loss.outputs
    real_out, fake_out = batch(real, loss.outputs, 0), batch(fake, loss.outputs, 1)
    seen = batch(real, width, 0) if loss.generator_sees_data else None
    yield (lambda r, f: loss.discriminator(r, f, hparams)), (real_out, fake_out)
    yield (lambda f: loss.generator(seen, f, hparams)), (batch(fake, width, 1),)


def test_the_walk_goes_through_all_choices():
    assert {loss.name for loss in LOSSES} == set(options("loss"))
    assert sum(loss.name == "fgan" for loss in LOSSES) == 7 * 2
    assert sum(loss.name == "logistic" for loss in LOSSES) == 2


@every_loss
@pytest.mark.parametrize("rows", [*itertools.product([1e4, -1e4], repeat=2), (0.0, 0.0)])
def test_extreme_logits_stay_finite(loss, rows):
    real, fake = rows
    for mixed in (False, True):
        ends = ([real, real, -real if mixed else real], [fake, 0.0 if mixed else fake, fake])
        for function, arguments in players(loss, *ends, gan_hparams(loss)):
            found = jax.value_and_grad(function, argnums=tuple(range(len(arguments))))(*arguments)
            assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))
            assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(found)), found


@every_loss
@pytest.mark.parametrize("rows", [1e4, -1e4])
def test_extreme_logits_stay_finite_in_a_batch_of_one(loss, rows):
    for function, arguments in players(loss, [rows], [-rows], gan_hparams(loss)):
        found = jax.value_and_grad(function, argnums=tuple(range(len(arguments))))(*arguments)
        assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(found)), found


@every_loss
def test_gradients_agree_with_finite_differences(loss):
    with jax.enable_x64(True):
        hparams = gan_hparams(loss, label_smoothing=0.1)
        for function, arguments in players(loss, [-1.5, 0.3, 2.0], [0.7, -0.2, -2.5], hparams):
            check_grads(function, arguments, order=1, modes=["rev"], rtol=1e-7, atol=1e-7, eps=1e-5)


@every_loss
def test_each_player_gets_a_scalar_and_a_gradient_from_every_row(loss):
    for function, arguments in players(loss, [-0.5, 0.3, 0.9], [0.7, -0.2, -0.6], gan_hparams(loss)):
        value, slopes = jax.value_and_grad(function, argnums=tuple(range(len(arguments))))(*arguments)
        assert value.shape == ()
        assert all(bool(jnp.all(jnp.any(jnp.reshape(slope, (3, -1)) != 0, axis=1))) for slope in slopes)


@every_loss
def test_turning_both_batches_by_one_row_changes_nothing(loss):
    # It keeps the pairs of rows, and the copies of a side, that some losses make.
    for function, arguments in players(loss, [-1.5, 0.3, 2.0], [0.7, -0.2, -2.5], gan_hparams(loss)):
        if len(arguments) == 2:
            turned = function(*(jnp.roll(part, 1, axis=0) for part in arguments))
            assert turned == pytest.approx(float(function(*arguments)), rel=1e-5)


@every_loss
def test_a_loss_reads_its_numbers_from_the_state_and_not_from_itself(loss):
    rows, hparams = ([-1.5, 0.3, 2.0], [0.7, -0.2, -2.5]), gan_hparams(loss)
    changed = {name: value + 0.25 for name, value in traced(loss).items()}
    values = [
        [float(function(*arguments)) for function, arguments in players(one, *rows, given)]
        for one, given in ((loss, hparams), (replace(loss, **changed), hparams), (loss, gan_hparams(loss, **changed)))
    ]
    assert values[0] == values[1]
    assert (values[0] != values[2]) == bool(changed)


@every_loss
def test_what_a_loss_says_of_itself_is_no_setting(loss):
    assert {field.name for field in fields(loss)}.isdisjoint({"output_type", "generator_sees_data", "uses_features"})
    assert loss.generator_sees_data or not loss.uses_features
    assert loss.output_type in ("probability", "critic", "pair")


def test_which_losses_need_more_than_logits():
    assert {loss.name: loss.outputs for loss in LOSSES if loss.outputs != 1} == {"cramer": 256}
    assert {loss.name for loss in LOSSES if loss.uses_features} == {"feature_matching"}
    seeing = {"relativistic", "relativistic_average", "cramer", "feature_matching"}
    assert {loss.name for loss in LOSSES if loss.generator_sees_data} == seeing


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss.outputs == 1], ids=named)
def test_a_logit_is_its_own_score(loss):
    assert type(loss).critic is Loss.critic
    assert loss.critic(jnp.array([3.0, -1.0]), jnp.zeros(2)).tolist() == [3, -1]


# The game's value -------------------------------------------------------------------------------------------------


def test_the_value_by_hand():
    # E log D(x) = log 3/4 and E log(1 - D(G(z))) = (log 1/2 + log 3/4) / 2.
    value = game_value(jnp.array([LOG_3, LOG_3]), jnp.array([0.0, -LOG_3]))
    assert value == pytest.approx(log(3 / 4) + (log(1 / 2) + log(3 / 4)) / 2, rel=1e-6)


def test_a_discriminator_that_cannot_tell_has_the_value_minus_log_4_and_no_divergence():
    value = game_value(jnp.zeros(5), jnp.zeros(3))
    assert value == pytest.approx(-log(4.0), rel=1e-6)
    assert float(value + LOG_4) / 2 == pytest.approx(0.0, abs=1e-6)


def test_a_perfect_discriminator_has_the_value_zero():
    # jsd = (V + log 4) / 2 is then log 2, the largest Jensen-Shannon divergence there is.
    value = game_value(jnp.full(2, 1e4), jnp.full(2, -1e4))
    assert (value + LOG_4) / 2 == pytest.approx(log(2.0), rel=1e-6)


def test_the_pair_value_of_a_critic_that_cannot_tell_or_always_can():
    same = jnp.full(3, 5.0)
    assert pair_value(same, same) == pytest.approx(0.0, abs=1e-6)
    assert pair_value(same, same - 1e4) == pytest.approx(log(2.0))


# The mean of exponentials -----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-200, 84, width=32), min_size=1, max_size=5))
def test_a_mean_of_exponentials_that_does_not_overflow_is_the_plain_one_to_the_bit(rows):
    x = jnp.array(rows, jnp.float32)
    plain = jax.value_and_grad(lambda x: jnp.mean(jnp.exp(x)))(x)
    held = jax.value_and_grad(mean_exp)(x)
    assert held[0] == plain[0] and held[1].tolist() == plain[1].tolist()


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_a_mean_of_exponentials_that_overflows_is_held_near_the_largest_number(n):
    value = float(mean_exp(jnp.full(n, 1e4)))
    assert LARGEST / 8 < n * value < LARGEST / 4
    assert np.isinf(float(jnp.mean(jnp.exp(jnp.full(n, 1e4)))))


def test_a_row_that_overflows_keeps_its_weight_against_the_others():
    # exp(1000 + log 3) against exp(1000) is 3 to 1; exp(0) beside them is nothing.
    slope = jax.grad(mean_exp)(jnp.array([1000 + LOG_3, 1000.0, 0.0]))
    assert float(slope[0] / slope[1]) == pytest.approx(3.0, rel=1e-4)
    assert slope[2] == 0 and slope[1] > 1e36


def test_the_second_derivative_of_a_mean_of_exponentials_is_again_the_exponential():
    hessian = jax.hessian(mean_exp)(jnp.array([0.0, LOG_3]))
    np.testing.assert_allclose(hessian, [[0.5, 0.0], [0.0, 1.5]], rtol=1e-6)


def test_what_is_read_of_probabilities_by_hand():
    # D = 3/4 and 1/2 on data, 1/4 on one sample: V = (log 3/4 + log 1/2) / 2 + log 3/4.
    seen = output_metrics("probability", jnp.array([LOG_3, 0.0]), jnp.array([-LOG_3]))
    value = (log(0.75) + log(0.5)) / 2 + log(0.75)
    assert seen == pytest.approx(
        {"D(x)": 0.625, "D(G(z))": 0.25, "value": value, "jsd/online": (value + log(4)) / 2}, rel=1e-6
    )


def test_what_is_read_of_scores_by_hand():
    # Differences of log 3 and 0 between the rows of the pairs: sigmoids of 3/4 and 1/2.
    real, fake = jnp.array([LOG_3 + 1, 2.0]), jnp.array([1.0, 2.0])
    plain = {"critic/real": (LOG_3 + 3) / 2, "critic/fake": 1.5}
    assert output_metrics("critic", real, fake) == pytest.approx(plain, rel=1e-6)
    pairs = plain | {"value/pair": (log(0.75) + log(0.5)) / 2 + log(2)}
    assert output_metrics("pair", real, fake) == pytest.approx(pairs, rel=1e-6)
