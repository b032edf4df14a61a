"""How many discriminator updates a step takes."""

import jax
import jax.numpy as jnp
import pytest

from ganrun.config.registry import static, traced
from ganrun.errors import ConfigError
from ganrun.methods.gan.schedules import Adaptive, Constant, Piecewise, Ramp, ToOptimum


@pytest.mark.parametrize("step", [0, 1, 10_000])
def test_the_constant_schedule_says_k_at_every_step(step):
    k = Constant().discriminator_steps(jnp.int32(step), jnp.float32(0), {"k": jnp.int32(5)})
    assert (int(k), k.dtype, k.shape) == (5, jnp.int32, ())


def test_k_is_a_value_of_the_program_and_not_a_constant():
    assert traced(Constant(k=7)) == {"k": 7}
    assert static(Constant(k=7)) == static(Constant(k=2))


def test_another_k_does_not_compile_again():
    counted = jax.jit(lambda step, k: Constant().discriminator_steps(step, jnp.float32(0), {"k": k}))
    assert [int(counted(jnp.int32(3), jnp.int32(k))) for k in (1, 5, 1000)] == [1, 5, 1000]
    assert counted._cache_size() == 1


# --- schedules whose k moves ---


def k_of(option, step, done=0.0):
    hparams = {name: jnp.asarray(value) for name, value in traced(option).items()}
    return int(option.discriminator_steps(jnp.int32(step), jnp.float32(done), hparams))


@pytest.mark.parametrize(
    ("step", "k"), [(0, 100), (24, 100), (25, 5), (499, 5), (500, 100), (501, 5), (1000, 100), (1024, 5)]
)
def test_the_pieces_of_the_wgan_code(step, k):
    assert k_of(Piecewise(), step) == k


def test_pieces_without_bursts():
    option = Piecewise(at=(0, 10, 30), k=(1, 2, 3), burst_every=0)
    assert [k_of(option, step) for step in (0, 9, 10, 29, 30, 10_000)] == [1, 1, 2, 2, 3, 3]


def test_a_burst_at_every_step():
    assert [k_of(Piecewise(burst_every=1, burst_k=7), step) for step in (0, 1, 30)] == [7, 7, 7]


@pytest.mark.parametrize(
    ("at", "k", "said"),
    [
        ((0, 5), (1,), "one entry per piece each, but have 2 and 1"),
        ((), (), "one entry per piece each, but have 0 and 0"),
        ((1, 5), (1, 2), r"must begin with 0 and rise, not \[1, 5\]"),
        ((0, 5, 5), (1, 2, 3), r"must begin with 0 and rise, not \[0, 5, 5\]"),
    ],
)
def test_pieces_that_are_none_are_refused(at, k, said):
    with pytest.raises(ConfigError, match=said):
        Piecewise(at=at, k=k)


@pytest.mark.parametrize(
    ("shape", "done", "k"),
    [
        ("linear", 0.0, 1),
        ("linear", 0.25, 3),
        ("linear", 0.5, 5),
        ("linear", 0.9, 5),
        # Half way through half a cosine is half way; a quarter is (1 - cos 45°) / 2 = .146.
        ("cosine", 0.25, 3),
        ("cosine", 0.125, 2),
    ],
)
def test_a_ramp_by_hand(shape, done, k):
    # From 1 to 5 over half of the run.
    assert k_of(Ramp(k=1, final_k=5, share=0.5, shape=shape), 7, done) == k


def test_a_ramp_may_fall():
    assert [k_of(Ramp(k=10, final_k=2), 0, done) for done in (0.0, 0.5, 1.0)] == [10, 6, 2]


def test_progress_by_hand():
    option = Adaptive(patience=2, tolerance=0.1)
    hparams = {name: jnp.asarray(value) for name, value in traced(option).items()}
    progress, going = option.before(jnp.float32(1.0), jnp.float32(0.5)), []
    for value in (1.05, 1.2, 1.25, 1.29):
        progress = option.after(progress, jnp.float32(value), jnp.float32(0.6), hparams)
        going.append((int(progress.stale), bool(option.should_continue(progress, hparams))))
    # 1.05 is no rise by 0.1; 1.2 is; 1.25 and 1.29 are none above 1.2.
    assert going == [(1, True), (0, True), (1, True), (2, False)]


def test_to_optimum_is_patient():
    option = ToOptimum()
    assert option.adaptive and (option.k, option.patience) == (1000, 20)


def test_small_rises_add_up_to_one():
    # From 1 with a tolerance of .1: 1.04 and 1.08 are no rise above 1, and do not count as the best; 1.12 is one.
    option = Adaptive(patience=3, tolerance=0.1)
    hparams = {name: jnp.asarray(value) for name, value in traced(option).items()}
    progress, seen = option.before(jnp.float32(1.0), jnp.float32(0.5)), []
    for value in (1.04, 1.08, 1.12, 1.0):
        progress = option.after(progress, jnp.float32(value), jnp.float32(0.6), hparams)
        seen.append((round(float(progress.best), 2), int(progress.stale)))
    assert seen == [(1.0, 1), (1.0, 2), (1.12, 0), (1.12, 1)]
    assert float(progress.accuracy) == pytest.approx(0.6)


def test_what_an_adaptive_schedule_waits_for():
    option = Adaptive(until="accuracy", accuracy=0.7, patience=1)
    hparams = {name: jnp.asarray(value) for name, value in traced(option).items()}
    start = option.before(jnp.float32(1.0), jnp.float32(0.5))
    going = [
        bool(option.should_continue(start.replace(accuracy=jnp.float32(share)), hparams)) for share in (0.69, 0.71)
    ]
    assert going == [True, False]
    # The value plays no part there, nor the accuracy where the value does.
    stale = start.replace(stale=jnp.int32(5))
    assert bool(option.should_continue(stale, hparams)) and not bool(Adaptive().should_continue(stale, hparams))
    assert int(start.stale) == 0 and float(start.best) == 1.0
