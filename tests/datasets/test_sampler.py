"""Shuffles, cursors and bytes: every example once per epoch, in an order that looks like chance."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrun.datasets.sampler import Cursor, Pixels, permuted, to_bytes, to_unit_range
from ganrun.training.vmapped import stack_sources

EPOCHS = 2000


def order_of(seed):
    """What :func:`ganrun.datasets.load` makes of a seed."""
    return jax.random.key_data(jax.random.key(seed))


@partial(jax.jit, static_argnums=2)
def shuffles(order, epochs, size):
    """The shuffle of ``range(size)`` of every one of ``epochs``, one per row."""
    return jax.vmap(lambda epoch: permuted(order, epoch, jnp.arange(size), size))(epochs)


def shuffle(seed, epoch, size):
    return np.asarray(shuffles(order_of(seed), jnp.array([epoch]), size)[0])


@pytest.fixture(scope="module", params=[0, 1, 2, 12345])
def many(request):
    """2000 shuffles of 64 of one seed. The default seed is 0."""
    return np.asarray(shuffles(order_of(request.param), jnp.arange(EPOCHS), 64))


@settings(deadline=None, max_examples=15)
@given(size=st.integers(1, 3000), seed=st.integers(0, 2**32 - 1), epoch=st.integers(0, 2**31 - 1))
def test_a_shuffle_is_a_bijection_for_every_size(size, seed, epoch):
    assert np.array_equal(np.sort(shuffle(seed, epoch, size)), np.arange(size))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 1024, 1025])
def test_a_shuffle_is_a_bijection_around_powers_of_two(size):
    assert np.array_equal(np.sort(shuffle(0, 3, size)), np.arange(size))


def test_a_position_is_shuffled_alike_alone_and_in_company():
    whole = shuffle(5, 2, 100)
    alone = [int(permuted(order_of(5), jnp.int32(2), jnp.array([i]), 100)[0]) for i in (0, 41, 99)]
    assert alone == whole[[0, 41, 99]].tolist()


def test_shuffles_differ_between_epochs_and_seeds():
    # Two shuffles of 1000 agree in one place on average, and hardly ever in ten.
    shuffled = [shuffle(seed, epoch, 1000) for seed, epoch in [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2**31, 0)]]
    for i, one in enumerate(shuffled):
        assert all(np.sum(one == other) < 10 for other in shuffled[:i])


def chi_square(values, cells):
    expected = len(values) / cells
    return float(np.sum((np.bincount(values, minlength=cells) - expected) ** 2) / expected)


@pytest.mark.parametrize("position", [0, 1, 37])
def test_every_example_comes_first_equally_often(many, position):
    # Chi-square with 63 degrees of freedom: mean 63, standard deviation 11; beyond 150 once in 10^8 fair shuffles.
    assert chi_square(many[:, position], 64) < 150


def test_neighbours_are_unrelated(many):
    # The step from one example to the next, modulo 64, is 1 ... 63 equally often.
    assert chi_square((many[:, 1] - many[:, 0]) % 64 - 1, 63) < 150


def test_an_example_stays_in_its_place_as_often_as_in_any_other(many):
    # The number of fixed points of a shuffle has mean 1 and variance 1: over 2000 epochs, five standard errors.
    assert abs(np.mean(np.sum(many == np.arange(64), axis=1)) - 1) < 5 / np.sqrt(EPOCHS)


def test_an_epoch_says_nothing_about_the_next(many):
    # Likewise for the places that two successive shuffles share; they are less than independent pairs, hence ten.
    shared = np.sum(many[1:] == many[:-1], axis=1)
    assert abs(np.mean(shared) - 1) < 10 / np.sqrt(EPOCHS)


def draw(source, n, batches):
    """Return the bytes that ``batches`` minibatches of ``n`` show, in order, and the last cursor."""
    draw_one = jax.jit(lambda cursor: source.minibatch(jax.random.key(0), cursor, n))
    cursor, seen = Cursor.start(), []
    for _ in range(batches):
        values, cursor = draw_one(cursor)
        seen.append(to_bytes(np.asarray(values)).reshape(-1))
    return np.concatenate(seen), cursor


def numbered(size, seed=0):
    """Images of one pixel whose byte is their number."""
    return Pixels(flat=jnp.arange(size, dtype=jnp.uint8)[:, None], order=order_of(seed), shape=(1, 1, 1))


@settings(deadline=None, max_examples=10)
@given(data=st.data(), size=st.integers(1, 60), seed=st.integers(0, 2**32 - 1))
def test_every_example_comes_once_per_epoch_also_when_batches_straddle_epochs(data, size, seed):
    n = data.draw(st.integers(1, size))
    batches = -(-3 * size // n)
    seen, cursor = draw(numbered(size, seed), n, batches)
    for epoch in seen[: 3 * size].reshape(3, size):
        assert np.array_equal(np.sort(epoch), np.arange(size))
    assert (int(cursor.epoch), int(cursor.offset)) == divmod(n * batches, size)


def test_the_order_does_not_depend_on_the_batch_size():
    straight, _ = draw(numbered(12), 12, 2)
    assert np.array_equal(draw(numbered(12), 5, 5)[0][:24], straight)
    assert not np.array_equal(straight[:12], straight[12:])


def test_a_minibatch_by_hand():
    # One example, so no shuffle: 0 is -1, 255 is 1, 51 is 51 / 127.5 - 1 = -0.6 and 204 is 0.6; rows come first.
    source = Pixels(flat=jnp.array([[0, 255, 51, 204]], jnp.uint8), order=order_of(3), shape=(2, 2, 1))
    values, cursor = source.minibatch(jax.random.key(0), Cursor.start(), 1)
    np.testing.assert_allclose(values, np.array([[[[-1.0], [1.0]], [[-0.6], [0.6]]]]), atol=1e-6)
    assert values.dtype == jnp.float32
    assert (int(cursor.epoch), int(cursor.offset)) == (1, 0)


def test_bytes_survive_the_unit_range():
    pixels = np.arange(256, dtype=np.uint8)
    units = np.asarray(to_unit_range(jnp.asarray(pixels)))
    assert (units[0], units[-1]) == (-1.0, 1.0)
    assert np.array_equal(to_bytes(units), pixels)


def test_bytes_are_rounded_and_clipped():
    # (0 + 1) * 127.5 rounds to the even 128; 0.001 * 127.5 = 0.1275 to 0; 1.99 * 127.5 = 253.7 to 254.
    assert to_bytes(np.array([0.0, -0.999, 0.99, 7.0, -7.0])).tolist() == [128, 0, 254, 255, 0]


def labelled(size, seed=0):
    """Images of one pixel whose byte is their number, and whose label is the byte modulo 7."""
    return numbered(size, seed).replace(targets=jnp.arange(size, dtype=jnp.uint8) % 7, classes=7)


@settings(deadline=None, max_examples=10)
@given(data=st.data(), size=st.integers(1, 60), seed=st.integers(0, 2**32 - 1), offset=st.integers(0, 59))
def test_labels_come_with_the_examples_that_a_minibatch_would_give(data, size, seed, offset):
    n = data.draw(st.integers(1, size))
    source, start = labelled(size, seed), Cursor(epoch=jnp.int32(2), offset=jnp.int32(offset % size))
    key, plain = jax.random.key(1), numbered(size, seed)
    both = jax.jit(lambda: (source.labelled(key, start, n), plain.minibatch(key, start, n)))
    (x, y, after), (alone, cursor) = both()
    assert np.array_equal(x, alone)
    assert (int(after.epoch), int(after.offset)) == (int(cursor.epoch), int(cursor.offset))
    assert y.dtype == jnp.int32
    assert y.tolist() == [number % 7 for number in to_bytes(np.asarray(x)).reshape(-1).tolist()]


def test_labels_alone_come_as_often_as_in_the_data():
    # Of ten examples seven are 0, two 1 and one 4; chi-square with 2 degrees of freedom is beyond 40 once in 10^8.
    targets = jnp.array([0] * 7 + [1] * 2 + [4], jnp.uint8)
    source = numbered(10).replace(targets=targets, classes=5)
    drawn = source.labels(jax.random.key(0), 20_000)
    assert drawn.shape == (20_000,) and drawn.dtype == jnp.int32
    found, expected = np.bincount(drawn, minlength=5), np.array([14_000, 4_000, 0, 0, 2_000])
    assert found[2] == found[3] == 0
    assert float(np.sum((found - expected)[expected > 0] ** 2 / expected[expected > 0])) < 40
    assert np.array_equal(source.labels(jax.random.key(0), 20), source.labels(jax.random.key(0), 20))
    assert not np.array_equal(source.labels(jax.random.key(0), 20), source.labels(jax.random.key(1), 20))


def test_labels_that_were_not_read_are_not_made_up():
    assert numbered(4).classes == 0
    with pytest.raises(ValueError, match="without their labels"):
        numbered(4).labels(jax.random.key(0), 2)
    with pytest.raises(ValueError, match="without their labels"):
        numbered(4).labelled(jax.random.key(0), Cursor.start(), 2)


def test_lanes_share_the_labels_as_they_share_the_images():
    first = labelled(20, seed=0)
    stacked, own = stack_sources([first, first.replace(order=order_of(1))])
    assert own == ("order",)
    assert stacked.flat is first.flat and stacked.targets is first.targets
    axes = stacked.replace(flat=None, order=0, targets=None)
    draw_lanes = jax.vmap(lambda source: source.labelled(jax.random.key(0), Cursor.start(), 20)[:2], in_axes=(axes,))
    x, y = draw_lanes(stacked)
    seen = to_bytes(np.asarray(x)).reshape(2, 20)
    assert np.array_equal(y, seen % 7)
    assert not np.array_equal(seen[0], seen[1])


def test_lanes_of_images_without_labels():
    stacked, own = stack_sources([numbered(20, seed) for seed in (0, 1)])
    assert own == ("order",) and stacked.targets is None
    axes = stacked.replace(flat=None, order=0, targets=None)
    x = jax.vmap(lambda source: source.minibatch(jax.random.key(0), Cursor.start(), 20)[0], in_axes=(axes,))(stacked)
    for lane, seed in zip(x, (0, 1), strict=True):
        assert np.array_equal(lane, numbered(20, seed).minibatch(jax.random.key(0), Cursor.start(), 20)[0])
