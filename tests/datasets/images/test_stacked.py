"""Stacked digits: which digits, in which channel, and the number of the mode."""

import dataclasses

import jax
import numpy as np
import pytest

from ganrun import datasets
from ganrun.datasets.images import ImageArrays, Mnist, StackedMnist
from ganrun.datasets.images.stacked import numbered, stacked
from ganrun.datasets.sampler import Cursor, to_bytes
from ganrun.errors import ConfigError

STAND_IN = ImageArrays(
    np.arange(20, dtype=np.uint8)[:, None] + np.array([0, 100], np.uint8),  # 20 "digits" of 1x2 pixels
    np.arange(10, dtype=np.uint8)[:, None] + np.array([50, 150], np.uint8),
    (1, 2, 1),
    (np.arange(20) % 10).astype(np.uint8),
    np.arange(10, dtype=np.uint8),
)


@dataclasses.dataclass(frozen=True)
class TinyDigits:
    name: str = "tiny"
    shape: tuple = (1, 2, 1)
    classes: int = 10

    def load(self, data_dir, labels=False):
        return STAND_IN if labels else dataclasses.replace(STAND_IN, train_labels=None, held_out_labels=None)


@dataclasses.dataclass(frozen=True)
class Tiny(StackedMnist):
    counts = {"train": 500, "held_out": 60}  # noqa: RUF012

    @property
    def channel_dataset(self):
        return TinyDigits()


def test_the_channels_are_digits_and_the_label_is_their_number(tmp_path):
    arrays = Tiny().load(tmp_path, labels=True)
    assert arrays.shape == (1, 2, 3) and arrays.train.dtype == np.uint8 and arrays.train_labels.dtype == np.uint16
    images = arrays.train.reshape(500, 1, 2, 3)
    digit = images[:, 0, 0, :]  # the value of the first pixel is the row of the digit
    assert (images[:, 0, 1, :] == digit + 100).all()
    assert (arrays.train_labels == [int("".join(str(d % 10) for d in row)) for row in digit.tolist()]).all()
    held_out = arrays.held_out.reshape(60, 1, 2, 3)
    assert (held_out[:, 0, 1, :] == held_out[:, 0, 0, :] + 100).all() and held_out[:, 0, 0].min() >= 50
    assert len({tuple(row) for row in digit.tolist()}) > 450  # 500 of 8000 triples, drawn independently


def test_digits_are_drawn_uniformly_and_always_the_same(tmp_path):
    one, other = Tiny().load(tmp_path), Tiny().load(tmp_path)
    np.testing.assert_array_equal(one.train, other.train)
    assert one.train_labels is None
    counts = np.bincount(one.train.reshape(500, 2, 3)[:, 0].ravel(), minlength=20)
    assert counts.sum() == 1500 and (np.abs(counts - 75) < 5 * np.sqrt(75)).all()


def test_a_number_has_the_digit_of_the_first_channel_first():
    assert numbered(np.array([[1, 2, 3], [9, 9, 9], [0, 0, 7]], np.uint8), 10).tolist() == [123, 999, 7]
    rows = stacked(np.array([[1, 2], [3, 4]], np.uint8), np.array([[0, 1, 1]]))
    assert rows.tolist() == [[1, 3, 3, 2, 4, 4]]


def test_minibatches_are_the_same_from_the_device_and_from_the_host(tmp_path):
    resident = datasets.load(Tiny(), tmp_path, seed=3, labels=True)
    streamed = datasets.load(Tiny(), tmp_path, seed=3, labels=True, device_bytes=0)
    key, start = jax.random.key(0), Cursor.start()
    x, y, _ = resident.train.labelled(key, start, 32)
    window = datasets.feed.feed_of(streamed.train, datasets.feed.Demand(32, 1)).window(start, 32)
    x2, y2, _ = window.labelled(key, start, 32)
    np.testing.assert_array_equal(to_bytes(np.asarray(x)), to_bytes(np.asarray(x2)))
    np.testing.assert_array_equal(y, y2)
    assert x.shape == (32, 1, 2, 3) and resident.classes == 1000


def test_the_labels_of_mnist_are_always_needed(tmp_path):
    (tmp_path / "mnist").mkdir()
    for stem in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
        (tmp_path / "mnist" / stem).write_bytes(b"")
    assert set(StackedMnist().find(tmp_path)) == {"train", "held_out"}
    with pytest.raises(ConfigError, match=r"train-labels-idx1-ubyte\[\.gz\] is missing"):
        StackedMnist(download=False).check(tmp_path)


def test_the_size_is_that_of_the_papers():
    option = StackedMnist(mirrors=("x",), download=False)
    assert (option.shape, option.examples, option.classes) == ((28, 28, 3), 128_000, 1000)
    assert option.channel_dataset == Mnist(download=False, mirrors=("x",))


@pytest.mark.slow
def test_all_modes_of_the_real_digits_are_in_the_data(real):
    option = StackedMnist(download=False)
    arrays = option.load(real, labels=True)
    assert arrays.train.shape == (128_000, 2352) and arrays.held_out.shape == (26_000, 2352)
    digits = Mnist(download=False).load(real, labels=True)
    assert len(np.unique(arrays.train_labels)) == len(np.unique(arrays.held_out_labels)) == 1000
    shares = np.bincount(arrays.train_labels // 100, minlength=10) / 128_000
    assert np.abs(shares - np.bincount(digits.train_labels) / 60_000).max() < 5 * np.sqrt(0.1 * 0.9 / 128_000)
