"""The point mass: always the same number, in every form that a step may ask for it."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun import datasets
from ganrun.datasets.point import Dirac
from ganrun.datasets.sampler import Cursor
from ganrun.errors import ConfigError
from ganrun.training.vmapped import stack_sources


@pytest.mark.parametrize("at", [0.0, -2.5])
def test_every_example_is_the_point(at):
    data = datasets.load(Dirac(at=at), Path("unused"), 0)
    assert (data.shape, data.density, data.classes) == ((1,), None, 0)
    cursor = Cursor.start()
    for source in (data.train, data.held_out):
        x, after = jax.jit(lambda key, now, source=source: source.minibatch(key, now, 3))(jax.random.key(0), cursor)
        assert x.tolist() == [[at], [at], [at]]
        assert x.dtype == jnp.float32
        assert (int(after.epoch), int(after.offset)) == (0, 0)


def test_it_has_no_density_and_no_classes():
    option = Dirac()
    assert option.shape == (1,) and option.classes == 0
    assert not hasattr(option, "density")
    source = option.source()
    assert source.classes == 0
    with pytest.raises(ValueError, match="no classes"):
        source.labels(jax.random.key(0), 2)
    with pytest.raises(ValueError, match="no classes"):
        source.labelled(jax.random.key(0), Cursor.start(), 2)


def test_who_wants_a_finite_set_is_told_in_one_line_that_there_is_none():
    with pytest.raises(ConfigError, match=r"^dirac is a single point, .* to compare with\.$"):
        Dirac().load(Path("unused"))


def test_a_finite_set_has_an_order_and_the_point_has_none():
    data = datasets.load(Dirac(at=1.0), Path("unused"), 0)
    assert datasets.reordered(data, 9) == data


def test_lanes_may_differ_in_the_point():
    stacked, own = stack_sources([Dirac(at=at).source() for at in (0.0, 1.0, 4.0)])
    assert own == ("at",)
    drawn = jax.vmap(lambda source: source.minibatch(jax.random.key(0), Cursor.start(), 2)[0])(stacked)
    np.testing.assert_array_equal(drawn[:, :, 0], [[0, 0], [1, 1], [4, 4]])
