"""How many discriminator updates a step takes."""

import jax
import jax.numpy as jnp
import pytest

from ganrun.game.schedules import Constant
from ganrun.registry import static, traced


@pytest.mark.parametrize("step", [0, 1, 10_000])
def test_the_constant_schedule_says_k_at_every_step(step):
    k = Constant().discriminator_steps(jnp.int32(step), {"k": jnp.int32(5)})
    assert (int(k), k.dtype, k.shape) == (5, jnp.int32, ())


def test_k_is_a_value_of_the_program_and_not_a_constant():
    assert traced(Constant(k=7)) == {"k": 7}
    assert static(Constant(k=7)) == static(Constant(k=2))


def test_another_k_does_not_compile_again():
    counted = jax.jit(lambda step, k: Constant().discriminator_steps(step, {"k": k}))
    assert [int(counted(jnp.int32(3), jnp.int32(k))) for k in (1, 5, 1000)] == [1, 5, 1000]
    assert counted._cache_size() == 1
