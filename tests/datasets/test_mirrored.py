"""Training images are mirrored by a function of the seed, the epoch and the position: the same ones after a resume."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ganrun import datasets
from ganrun.datasets.sampler import Cursor, Pixels, mirrored
from ganrun.datasets.streaming import HostPixels, Streamed
from ganrun.methods.experiment import Experiment
from ganrun.storage.state_arrays import flatten

EXAMPLES, SHAPE = 64, (2, 3, 3)


def source(seed=0, flip=True):
    flat = np.random.default_rng(0).integers(0, 256, (EXAMPLES, 18), np.uint8)
    return Pixels(jnp.asarray(flat), jax.random.key_data(jax.random.key(seed)), SHAPE, flip=flip)


def at(epoch, offset):
    return Cursor(jnp.int32(epoch), jnp.int32(offset))


def flags(seed, epochs):
    """Whether each example of each epoch is mirrored, ``(epochs, EXAMPLES)``."""
    found = []
    for epoch in range(epochs):
        x, _ = source(seed).minibatch(jax.random.key(9), at(epoch, 0), EXAMPLES)
        plain, _ = source(seed, flip=False).minibatch(jax.random.key(9), at(epoch, 0), EXAMPLES)
        same = (x == plain).all(axis=(1, 2, 3))
        turned = (x == plain[:, :, ::-1]).all(axis=(1, 2, 3))
        assert bool((same ^ turned).all())  # each is one of the two, and no random image is its own mirror image
        found.append(np.asarray(turned))
    return np.stack(found)


def test_half_of_the_examples_are_mirrored_anew_in_every_epoch():
    found = flags(0, 40)
    # 2560 fair coins: standard deviation 0.5 / sqrt(2560) = 0.0099.
    assert abs(found.mean() - 0.5) < 5 * 0.0099
    # Every position is mirrored about half of the time: 40 coins each, and at most 64 of them.
    assert np.abs(found.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(40)
    # Successive epochs agree as often as independent coins.
    assert abs((found[1:] == found[:-1]).mean() - 0.5) < 5 * 0.5 / np.sqrt(39 * 64)
    assert abs((flags(1, 40) == found).mean() - 0.5) < 5 * 0.0099


def test_a_minibatch_depends_on_the_cursor_alone():
    whole, _ = source().minibatch(jax.random.key(1), at(0, 0), EXAMPLES)
    part, _ = source().minibatch(jax.random.key(2), at(0, 10), 20)
    np.testing.assert_array_equal(part, whole[10:30])
    across, following = source().minibatch(jax.random.key(3), at(0, EXAMPLES - 4), 10)
    after, _ = source().minibatch(jax.random.key(4), at(1, 0), 6)
    np.testing.assert_array_equal(across, np.concatenate([whole[-4:], after]))
    assert (int(following.epoch), int(following.offset)) == (1, 6)


def test_a_window_mirrors_the_same_examples():
    whole = source()
    host = HostPixels(np.asarray(whole.flat), whole.order, SHAPE, flip=True)
    window = Streamed(host, 32).window(at(0, 50), 32)
    for offset in (50, 58, 66):
        cursor = at(offset // EXAMPLES, offset % EXAMPLES)
        np.testing.assert_array_equal(window.minibatch(None, cursor, 8)[0], whole.minibatch(None, cursor, 8)[0])


def test_labels_stay_with_their_images():
    labels = np.arange(EXAMPLES, dtype=np.uint16) + 300
    flipped = dataclasses.replace(source(), targets=jnp.asarray(labels), classes=400)
    x, y, _ = flipped.labelled(jax.random.key(0), at(0, 0), EXAMPLES)
    plain = source(flip=False).flat
    for image, label in zip(np.asarray(x), np.asarray(y), strict=True):
        row = np.asarray(plain[int(label) - 300]).reshape(SHAPE) / np.float32(127.5) - np.float32(1)
        assert np.allclose(image, row, atol=1e-6) or np.allclose(image, row[:, ::-1], atol=1e-6)


@pytest.fixture
def images(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (80, 8, 8, 2), np.uint8))
    return tmp_path


WORDS = (
    "dataset=array",
    "dataset.flip=true",
    "architecture=dcgan",
    "architecture.width=4",
    "batch_size=8",
    "probe=off",
)


def test_held_out_images_are_not_mirrored_and_a_resumed_run_mirrors_the_same(images, compose_config):
    config = compose_config((*WORDS, f"data_dir={images}", "latent.dim=4", "probe=off"))
    config = dataclasses.replace(config, dataset=config.dataset.resolve(images))
    states = []
    for resident, parts in ((True, (6,)), (True, (2, 4)), (False, (3, 3))):
        data = datasets.load(config.dataset, images, config.seed, device_bytes=None if resident else 0)
        assert data.train.flip and not data.held_out.flip
        experiment = Experiment(config, data)
        state = experiment.init()
        state = state.replace(cursor=at(0, 48))  # the epoch of about 72 examples ends within the steps
        for n in parts:
            state, report = experiment.advance(state, n)
        assert int(report.bad_step) == 0
        states.append(flatten(state))
    for other in states[1:]:
        for name, value in states[0].items():
            assert np.asarray(value).tobytes() == np.asarray(other[name]).tobytes(), name


def test_vectors_are_not_mirrored(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(9, 2)))
    option = datasets.array.ArrayFile(flip=True)
    assert not datasets.load(option, tmp_path, 0).train.flip


def test_mirroring_is_left_to_right():
    x = jnp.arange(12.0).reshape(1, 2, 3, 2)
    order = jax.random.key_data(jax.random.key(0))
    found = [mirrored(x, order, at(epoch, 0), 1) for epoch in range(20)]
    turned = next(one for one in found if not bool((one == x).all()))
    assert turned[0, :, :, 0].tolist() == [[4.0, 2.0, 0.0], [10.0, 8.0, 6.0]]
