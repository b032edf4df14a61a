"""The labels of image files: read where they are asked for, and believed only after they were checked."""

import dataclasses
import gzip
import hashlib
import struct
from pathlib import Path
from typing import ClassVar

import jax
import numpy as np
import pytest

from ganrun import datasets
from ganrun.datasets.images import FILES, LABEL_FILES, Digits, FashionMnist, IdxImages, Mnist
from ganrun.datasets.sampler import Cursor, to_bytes
from ganrun.errors import ConfigError

COUNTS = {"train": 5, "held_out": 2}
LABELS = {"train_labels": bytes([3, 1, 4, 1, 9]), "held_out_labels": bytes([2, 6])}


def images_idx(count):
    return struct.pack(">2xBBIII", 8, 3, count, 2, 3) + bytes(range(count * 6))


def labels_idx(labels):
    return struct.pack(">2xBBI", 8, 1, len(labels)) + labels


@dataclasses.dataclass(frozen=True)
class Tiny(IdxImages):
    name: str = "tiny"
    download: bool = False

    torchvision: ClassVar[str] = "Tiny"
    counts: ClassVar[dict[str, int]] = COUNTS

    @property
    def shape(self):
        return 2, 3, 1


@dataclasses.dataclass(frozen=True)
class Published(Tiny):
    sha256: ClassVar[dict[str, str]] = {
        part: hashlib.sha256(labels_idx(labels)).hexdigest() for part, labels in LABELS.items()
    }


@pytest.fixture
def images(tmp_path):
    """A data folder with the images of ``Tiny`` and no labels."""
    (tmp_path / "tiny").mkdir()
    for split, stem in FILES.items():
        (tmp_path / "tiny" / f"{stem}.gz").write_bytes(gzip.compress(images_idx(COUNTS[split])))
    return tmp_path


@pytest.fixture
def whole(images):
    """A data folder with the images and the labels of ``Tiny``."""
    for part in LABELS:
        put(images, part)
    return images


def put(folder, part, labels=None, packed=True):
    """Write the label file of ``part`` and return its path."""
    content = labels_idx(LABELS[part] if labels is None else bytes(labels))
    path = folder / "tiny" / (LABEL_FILES[part] + ".gz" * packed)
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


@pytest.mark.parametrize("packed", [True, False])
def test_labels_are_found_and_read(images, packed):
    paths = {part: put(images, part, packed=packed) for part in LABELS}
    found = Tiny().find(images, labels=True)
    assert {part: found[part] for part in LABELS} == paths
    assert found.keys() == {*FILES, *LABELS}
    Tiny().check(images, labels=True)
    arrays = Tiny().load(images, labels=True)
    assert arrays.train_labels.tolist() == [3, 1, 4, 1, 9]
    assert arrays.held_out_labels.tolist() == [2, 6]
    assert arrays.train_labels.dtype == arrays.held_out_labels.dtype == np.uint8
    np.testing.assert_array_equal(arrays.train, np.arange(30).reshape(5, 6))


@pytest.mark.parametrize("there", [False, True])
def test_who_asks_for_no_labels_needs_none_and_gets_none(images, there):
    for part in LABELS if there else ():
        put(images, part)
    Tiny().check(images)
    assert Tiny().find(images).keys() == set(FILES)
    arrays = Tiny().load(images)
    assert arrays.train_labels is None and arrays.held_out_labels is None


@pytest.mark.parametrize("part", LABELS)
def test_missing_labels_are_told_like_missing_images(whole, part):
    (whole / "tiny" / f"{LABEL_FILES[part]}.gz").unlink()
    for act in (Tiny().check, Tiny().load):
        with pytest.raises(ConfigError) as caught:
            act(whole, labels=True)
        first, second = str(caught.value).split("\n")
        assert first.startswith(f"tiny: {LABEL_FILES[part]}[.gz] is missing in {whole / 'tiny'} and")
        assert f"into {whole / 'tiny'}" in second


def failure(folder, option):
    with pytest.raises(ConfigError) as caught:
        option.load(folder, labels=True)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("labels", "count"), [([3, 1, 4, 1], 4), ([3, 1, 4, 1, 9, 2], 6)])
def test_another_number_of_labels_than_images_is_refused(whole, labels, count):
    path = put(whole, "train_labels", labels)
    assert failure(whole, Tiny()) == f"{path}: holds an array of shape ({count},); tiny has (5,)."


def test_images_in_the_place_of_labels_are_refused(whole):
    path = whole / "tiny" / f"{LABEL_FILES['train_labels']}.gz"
    path.write_bytes(gzip.compress(images_idx(5)))
    assert failure(whole, Tiny()) == f"{path}: holds an array of shape (5, 2, 3); tiny has (5,)."


@pytest.mark.parametrize("option", [Tiny(), Published()], ids=["unknown", "published"])
def test_a_label_out_of_range_is_refused(whole, option):
    path = put(whole, "held_out_labels", [0, 10])
    assert failure(whole, option) == f"{path}: holds the label 10; those of tiny are 0..9."


@pytest.mark.parametrize("part", LABELS)
def test_another_label_than_the_published_is_refused(whole, part):
    Published().load(whole, labels=True)
    path = put(whole, part, bytes(1) + LABELS[part][1:])
    assert failure(whole, Published()).startswith(f"{path}: is not the published tiny file")
    Published().load(whole)  # whom the labels do not concern is not kept from the images


@pytest.mark.parametrize("labels", [False, True])
def test_labels_are_downloaded_only_where_they_are_wanted(tmp_path, monkeypatch, labels):
    contents = {FILES[split]: images_idx(count) for split, count in COUNTS.items()}
    contents |= {stem: labels_idx(LABELS[part]) for part, stem in LABEL_FILES.items()}
    asked = []

    def serve(name, mirrors, folder, md5, verify):
        asked.append((name, md5))
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(gzip.compress(contents[name.removesuffix(".gz")]))
        verify(folder / name)

    monkeypatch.setattr("ganrun.datasets.download.fetch", serve)
    monkeypatch.setattr(Tiny, "md5", {"held_out_labels": "known"})
    Tiny(download=True).check(tmp_path, labels=labels)
    wanted = [(f"{stem}.gz", None) for stem in FILES.values()]
    wanted += [("train-labels-idx1-ubyte.gz", None), ("t10k-labels-idx1-ubyte.gz", "known")] * labels
    assert asked == wanted


def test_a_download_of_wrong_labels_is_not_taken(images, monkeypatch):
    def serve(name, mirrors, folder, md5, verify):
        path = folder / "elsewhere"
        path.write_bytes(gzip.compress(labels_idx(bytes([3, 1, 4, 1, 99]))))
        verify(path)

    monkeypatch.setattr("ganrun.datasets.download.fetch", serve)
    with pytest.raises(ConfigError, match=r"holds the label 99; those of tiny are 0\.\.9"):
        Tiny(download=True).check(images, labels=True)


def test_every_published_label_file_is_known_by_a_hash():
    assert all(len(Mnist.sha256[part]) == 64 for part in LABEL_FILES)
    assert all(len(FashionMnist.md5[part]) == 32 for part in LABEL_FILES)
    hashes = [*Mnist.sha256.values(), *FashionMnist.md5.values()]
    assert len(set(hashes)) == 8  # four files each, and no line copied from its neighbour


def test_real_mnist_labels(real):
    if len(Mnist().find(real, labels=True)) < 4:
        pytest.skip(f"the labels of MNIST are not in {real}")
    arrays = Mnist(download=False).load(real, labels=True)
    # How often each digit comes, as published with every description of MNIST; a 5 is the first, a 7 the first test.
    often = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(arrays.train_labels).tolist() == often
    assert np.bincount(arrays.held_out_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert arrays.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert arrays.held_out_labels[:5].tolist() == [7, 2, 1, 0, 4]


def digits_by_image():
    from sklearn.datasets import load_digits

    values, targets = load_digits(return_X_y=True)
    return dict(zip(map(bytes, np.rint(values * 255 / 16).astype(np.uint8)), targets.tolist(), strict=True))


def test_each_of_the_digits_keeps_its_label():
    known = digits_by_image()
    arrays = Digits().load(Path("unused"), labels=True)
    for flat, labels in ((arrays.train, arrays.train_labels), (arrays.held_out, arrays.held_out_labels)):
        assert labels.dtype == np.uint8
        assert labels.tolist() == [known[bytes(image)] for image in flat]
    both = np.concatenate([arrays.train_labels, arrays.held_out_labels])
    # As scikit-learn's documentation has it: about 180 of each.
    assert np.bincount(both).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert Digits().load(Path("unused")).train_labels is None


def test_a_minibatch_of_digits_comes_with_its_labels():
    known = digits_by_image()
    data = datasets.load(Digits(), Path("unused"), 3, labels=True)
    plain = datasets.load(Digits(), Path("unused"), 3)
    assert (data.classes, data.train.classes, data.held_out.classes) == (10, 10, 10)
    assert (plain.classes, plain.train.classes, plain.train.targets) == (0, 0, None)
    for split in ("train", "held_out"):
        x, y, after = getattr(data, split).labelled(jax.random.key(0), Cursor.start(), 50)
        assert y.tolist() == [known[bytes(image)] for image in to_bytes(np.asarray(x)).reshape(50, 64)]
        alone, cursor = getattr(plain, split).minibatch(jax.random.key(0), Cursor.start(), 50)
        assert np.array_equal(x, alone)
        assert (int(after.epoch), int(after.offset)) == (int(cursor.epoch), int(cursor.offset)) == (0, 50)


def test_another_order_of_the_same_images_keeps_each_label():
    known = digits_by_image()
    data = datasets.load(Digits(), Path("unused"), 3, labels=True)
    other = datasets.reordered(data, 4)
    assert other.classes == 10 and other.train.targets is data.train.targets
    x, y, _ = other.train.labelled(jax.random.key(0), Cursor.start(), 50)
    assert y.tolist() == [known[bytes(image)] for image in to_bytes(np.asarray(x)).reshape(50, 64)]
    assert not np.array_equal(x, data.train.minibatch(jax.random.key(0), Cursor.start(), 50)[0])


@pytest.mark.parametrize("option", [Digits(), Mnist(), FashionMnist()], ids=lambda it: it.name)
def test_an_option_knows_its_classes_before_it_is_loaded(option):
    assert option.classes == 10
