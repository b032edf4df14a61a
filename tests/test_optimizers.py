"""Descent rules and their decays against numbers worked out by hand."""

import dataclasses
from math import exp, log, sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrun.config.registry import static, traced
from ganrun.optimizers import DECAYS, Adam, Decaying, RmsProp, Sgd

STEPS = jnp.float32(100)


def updates(rule, gradients, step=0):
    """What ``rule`` adds to a parameter for one gradient after the other, all as if at ``step``."""
    hparams = jax.tree.map(jnp.float32, traced(rule))
    transform = static(rule).transform(jnp.int32(step), STEPS, hparams)
    memory, changes = transform.init(jnp.zeros(1)), []
    for gradient in gradients:
        change, memory = transform.update(jnp.full(1, gradient), memory)
        changes.append(float(change[0]))
    return changes


def rate(decay, step, *, steps=100, start=0.1, floor=0.02, factor=2.0):
    rule = Decaying(decay=decay)
    hparams = {"learning_rate": start, "minimum_rate": floor, "decay_rate": factor - 1}
    return float(rule.rate(jnp.int32(step), jnp.float32(steps), jax.tree.map(jnp.float32, hparams)))


def test_the_first_adam_step_by_hand():
    # Corrected for their bias the moments are g and g^2: the step is -rate g / (|g| + eps) = -0.3 * -2 / (2 + 1).
    assert updates(Adam(learning_rate=0.3, eps=1.0), [-2.0]) == pytest.approx([0.2], rel=1e-5)


def test_the_second_adam_step_by_hand():
    # Gradients 2, 0 with b1 = 1/2, b2 = 3/4. First moment 1, then 1/2; corrected by 1 - 1/4: 2/3.
    # Second moment 1, then 3/4; corrected by 1 - 9/16: 12/7. The step is -0.1 * (2/3) / sqrt(12/7).
    rule = Adam(learning_rate=0.1, b1=0.5, b2=0.75, eps=1e-8)
    assert updates(rule, [2.0, 0.0]) == pytest.approx([-0.1, -0.1 * (2 / 3) / sqrt(12 / 7)], rel=1e-5)


@pytest.mark.parametrize(
    ("schedule", "step", "by_hand"),
    [
        ("constant", 50, 0.9),
        ("linear", 0, 0.9),
        ("linear", 25, 0.9225),  # a quarter of the way
        ("linear", 100, 0.99),
        ("cosine", 0, 0.9),
        ("cosine", 50, 0.945),
        ("cosine", 75, 0.99 - 0.09 * (1 - sqrt(0.5)) / 2),  # cos(3π/4) = -√½
        ("cosine", 250, 0.99),  # beyond the end
    ],
)
def test_b2_follows_its_schedule(schedule, step, by_hand):
    rule = Adam(b2=0.9, final_b2=0.99, b2_schedule=schedule)
    hparams = jax.tree.map(jnp.float32, traced(rule))
    assert float(static(rule).second_decay(jnp.int32(step), STEPS, hparams)) == pytest.approx(by_hand, abs=1e-6)


def test_the_bias_of_a_b2_that_changes_is_corrected_by_the_product_of_all():
    # b2 is 1/2, then 3/4: steps 0 and 50 of a linear schedule from 1/2 to 1. Squares 4, 16: v = 2, then 3/2 + 4 = 11/2.
    # The weights of both in v sum to 1 - 1/2 * 3/4 = 5/8, so v' = 4, then 44/5; b1 is 0: steps of -2/2 and -4/√(44/5).
    rule = Adam(learning_rate=1.0, decay="constant", b1=0.0, b2=0.5, final_b2=1.0, b2_schedule="linear", eps=1e-8)
    hparams = jax.tree.map(jnp.float32, traced(rule))
    first, second = (static(rule).transform(jnp.int32(step), STEPS, hparams) for step in (0, 50))
    change, memory = first.update(jnp.full(1, 2.0), first.init(jnp.zeros(1)))
    assert float(change[0]) == pytest.approx(-1.0, rel=1e-6)
    change, _ = second.update(jnp.full(1, 4.0), memory)
    assert float(change[0]) == pytest.approx(-4 / sqrt(44 / 5), rel=1e-6)


def test_constant_squares_have_no_bias_whatever_the_schedule():
    rule = Adam(learning_rate=1.0, decay="constant", b1=0.0, b2=0.9, final_b2=0.999, b2_schedule="cosine", eps=1e-12)
    hparams = jax.tree.map(jnp.float32, traced(rule))

    def step(memory, i):
        change, memory = static(rule).transform(i, STEPS, hparams).update(jnp.full(1, -3.0), memory)
        return memory, change[0]

    start = static(rule).transform(jnp.int32(0), STEPS, hparams).init(jnp.zeros(1))
    np.testing.assert_allclose(jax.lax.scan(step, start, jnp.arange(150))[1], 1.0, rtol=1e-5)


def test_a_schedule_that_stays_where_it_is_is_plain_adam():
    gradients = np.random.default_rng(0).normal(size=20).tolist()
    plain = Adam(learning_rate=0.1, b1=0.6, b2=0.9, decay="constant")
    scheduled = dataclasses.replace(plain, final_b2=0.9, b2_schedule="linear")
    assert updates(scheduled, gradients, 30) == pytest.approx(updates(plain, gradients, 30), rel=2e-5)


def test_two_steps_of_momentum_by_hand():
    # The velocity is 1, then 2 + 0.5 * 1.
    rule = Sgd(learning_rate=0.1, decay="constant", momentum=0.5, final_momentum=0.5)
    assert updates(rule, [1.0, 2.0]) == pytest.approx([-0.1, -0.25], rel=1e-5)


@pytest.mark.parametrize(("step", "momentum"), [(0, 0.5), (4, 0.58), (10, 0.7), (99, 0.7)])
def test_the_momentum_rises_linearly_and_stays(step, momentum):
    # From 0.5 to 0.7 over 10 steps: 0.02 a step. The second velocity for gradients 1, 0 is the momentum itself.
    rule = Sgd(learning_rate=1.0, decay="constant", momentum=0.5, final_momentum=0.7, momentum_steps=10.0)
    assert updates(rule, [1.0, 0.0], step)[1] == pytest.approx(-momentum, rel=1e-5)


def test_rmsprop_by_hand():
    # s = 0.5 * 4 = 2 and a step of 2 / √2; then s = 0.5 * 2 + 0.5 * 1 = 1.5 and 1 / √1.5.
    rule = RmsProp(learning_rate=0.1, decay="constant", smoothing=0.5, eps=1e-12)
    assert updates(rule, [2.0, 1.0]) == pytest.approx([-0.1 * 2**0.5, -0.1 / 1.5**0.5], rel=1e-5)


@pytest.mark.parametrize("rule", [Adam(learning_rate=0.1, decay="linear"), Sgd(learning_rate=0.1, decay="linear")])
def test_the_decayed_rate_is_what_the_step_uses(rule):
    # At step 75 of 100 a quarter of 0.1 is left; a first step of Adam has length one, as this one of SGD has.
    rule = dataclasses.replace(rule, minimum_rate=0.0)
    assert updates(rule, [1.0], step=75) == pytest.approx([-0.025], rel=1e-4)


@pytest.mark.parametrize(
    ("decay", "step", "by_hand"),
    [
        ("constant", 0, 0.1),
        ("constant", 100, 0.1),
        ("linear", 0, 0.1),
        ("linear", 25, 0.08),  # 0.02 + 3/4 * 0.08
        ("linear", 100, 0.02),
        ("linear", 130, 0.02),
        ("cosine", 0, 0.1),
        ("cosine", 50, 0.06),  # cos(pi/2) = 0: half way
        ("cosine", 25, 0.06 + 0.04 / sqrt(2)),  # cos(pi/4) = 1/sqrt 2
        ("cosine", 100, 0.02),
        ("exponential", 0, 0.1),
        ("exponential", 2, 0.025),  # 0.1 / 2^2
        ("exponential", 3, 0.02),  # 0.1 / 2^3 lies below the floor
        ("exponential", 100, 0.02),
    ],
)
def test_decays_by_hand(decay, step, by_hand):
    assert rate(decay, step) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("step", [1_000, 150_000, 1_000_000])
def test_the_2014_decay_is_as_slow_as_the_paper_had_it(step):
    # 1.000004^-t = exp(-t log 1.000004); in single precision 1.000004 is 1.00000405, which would be 5 % off at 1e6.
    rule = Sgd()
    hparams = jax.tree.map(jnp.float32, traced(rule))
    found = float(static(rule).rate(jnp.int32(step), jnp.float32(2_000_000), hparams))
    assert found == pytest.approx(0.1 * exp(-step * log(1.000004)), rel=1e-3)


@pytest.mark.parametrize("decay", DECAYS)
def test_a_floor_above_the_rate_never_raises_it(decay):
    assert [rate(decay, step, start=0.01, floor=0.5) for step in (0, 40, 100)] == pytest.approx([0.01] * 3)


@settings(deadline=None, max_examples=40)
@given(
    decay=st.sampled_from(DECAYS),
    step=st.integers(0, 2**31 - 1),
    steps=st.integers(1, 2**31 - 1),
    start=st.floats(0, 10, width=32),
    floor=st.floats(0, 10, width=32),
)
def test_the_rate_stays_between_its_floor_and_its_start(decay, step, steps, start, floor):
    found = rate(decay, step, steps=steps, start=start, floor=floor)
    assert min(floor, start) * (1 - 1e-5) - 1e-7 <= found <= start * (1 + 1e-5)


@pytest.mark.parametrize("rule", [Adam(), Adam(b2_schedule="linear"), Sgd()])
def test_another_learning_rate_does_not_compile_again(rule):
    hparams = jax.tree.map(jnp.float32, traced(rule))

    @jax.jit
    def change(hparams):
        transform = static(rule).transform(jnp.int32(0), STEPS, hparams)
        return transform.update(jnp.ones(1), transform.init(jnp.ones(1)))[0]

    once = change(hparams)
    thrice = change(hparams | {"learning_rate": 3 * hparams["learning_rate"]})
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-5)
    assert change._cache_size() == 1


@pytest.mark.parametrize("rule", [Adam(learning_rate=0.5), Sgd(learning_rate=0.5, momentum=0.9, momentum_steps=3.0)])
def test_every_number_of_a_rule_is_traced(rule):
    hparams = {field.name for field in dataclasses.fields(rule)} - {"name", "decay", "b2_schedule"}
    assert set(traced(rule)) == hparams
    assert static(rule) == type(rule)()


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_smooth_adam_can_be_differentiated_at_rest_and_is_adam_elsewhere(schedule):
    # The first step is -rate g / |g|: its derivative at 0 is not finite, unless a little stands under the root.
    rule = Adam(learning_rate=0.1, decay="constant", b2_schedule=schedule)
    hparams = jax.tree.map(jnp.float32, traced(rule))

    def step(gradient, smooth):
        transform = static(rule).transform(jnp.int32(0), STEPS, hparams, smooth)
        return transform.update(gradient, transform.init(jnp.zeros(())))[0]

    assert not np.isfinite(jax.grad(step)(jnp.float32(0.0), False))
    assert np.isfinite(jax.grad(step)(jnp.float32(0.0), True))
    for smooth in (False, True):
        assert float(step(jnp.float32(-2e-3), smooth)) == pytest.approx(0.1, rel=1e-4)
