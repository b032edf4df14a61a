"""Random keys by name."""

import jax
import numpy as np
import pytest

from ganrun.keys import key_for


def words(keys):
    return {tuple(row) for row in np.asarray(jax.random.key_data(keys)).reshape(-1, 2).tolist()}


def test_what_a_split_gives_is_what_counters_give():
    # Why names have a space of their own: JAX's split and fold_in share one.
    key = jax.random.key(0)
    assert words(jax.random.split(key, 5)) == words(jax.vmap(lambda i: jax.random.fold_in(key, i))(np.arange(5)))


@pytest.mark.parametrize("uses", [("a", "b"), ("update", "exam")])
def test_names_and_counters_share_no_key(uses):
    key, many = jax.random.key(0), np.arange(1000, dtype=np.uint32)
    counted = [words(jax.vmap(lambda i, use=use: key_for(key, use, i))(many)) for use in uses]
    named = [words(key_for(key, use)) for use in uses]
    plain = words(jax.vmap(lambda i: jax.random.fold_in(key, i))(many))
    found = [*counted, *named, plain, words(key)]
    assert len(set().union(*found)) == sum(map(len, found)) == 2 * 1000 + 2 + 1000 + 1


def test_a_key_is_a_function_of_its_parent_its_use_and_its_number():
    key = jax.random.key(3)
    assert words(key_for(key, "use", 7)) == words(key_for(key, "use", np.uint32(7)))
    assert words(key_for(key, "use")) != words(key_for(jax.random.key(4), "use"))
