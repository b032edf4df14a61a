"""EMNIST: six splits in one archive, images upright, labels from 0; and Kuzushiji-MNIST, which is like MNIST."""

import dataclasses
import gzip
import struct
import zipfile
from typing import ClassVar

import numpy as np
import pytest

from ganrun.datasets.images import Emnist, FashionMnist, Kmnist, Mnist
from ganrun.datasets.images.emnist import ARCHIVE, SPLITS
from ganrun.errors import ConfigError

SMALL = {"balanced": (5, 3, 47), "letters": (4, 2, 26), "digits": (3, 2, 10)}


@dataclasses.dataclass(frozen=True)
class Small(Emnist):
    download: bool = False

    splits: ClassVar[dict[str, tuple[int, int, int]]] = SMALL


def pixels(split, part):
    count = SMALL[split][part == "test"]
    return np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8)


def labels(split, part):
    count, classes = SMALL[split][part == "test"], SMALL[split][2]
    return (np.arange(count) * 7 % classes + (split == "letters")).astype(np.uint8)


def contents():
    """The files of the archive: the images are stored transposed."""
    found = {}
    for split in SMALL:
        for part in ("train", "test"):
            images = pixels(split, part).transpose(0, 2, 1)
            head = struct.pack(">2xBB3I", 8, 3, *images.shape)
            name = f"emnist-{split}-{part}"
            found[f"{name}-images-idx3-ubyte"] = head + images.tobytes()
            targets = labels(split, part)
            found[f"{name}-labels-idx1-ubyte"] = struct.pack(">2xBBI", 8, 1, len(targets)) + targets.tobytes()
    return found


def archive(path, changed=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in (contents() | (changed or {})).items():
            packed.writestr(f"gzip/{name}.gz", gzip.compress(content))
    return path


@pytest.mark.parametrize("split", SMALL)
@pytest.mark.parametrize("layout", ["emnist/gzip.zip", "EMNIST/raw/gzip.zip", "emnist", "emnist/gzip", "EMNIST/raw"])
def test_images_are_upright_and_labels_count_from_zero(split, layout, tmp_path):
    if layout.endswith(".zip"):
        archive(tmp_path / layout)
    else:
        (tmp_path / layout).mkdir(parents=True)
        for name, content in contents().items():
            (tmp_path / layout / f"{name}.gz").write_bytes(gzip.compress(content))
    option = Small(split=split)
    assert len(option.find(tmp_path)) == 2
    arrays = option.load(tmp_path, labels=True)
    np.testing.assert_array_equal(arrays.train.reshape(-1, 28, 28), pixels(split, "train"))
    np.testing.assert_array_equal(arrays.held_out.reshape(-1, 28, 28), pixels(split, "test"))
    np.testing.assert_array_equal(arrays.train_labels, labels(split, "train") - (split == "letters"))
    assert (option.classes, option.examples, arrays.shape) == (SMALL[split][2], SMALL[split][0], (28, 28, 1))
    assert option.load(tmp_path).held_out_labels is None


def test_the_splits_are_those_of_the_paper():
    # Cohen et al. 2017, table II: classes, and training and testing images together.
    totals = {split: train + test for split, (train, test, _) in SPLITS.items()}
    assert totals == {
        "byclass": 814_255,
        "bymerge": 814_255,
        "balanced": 131_600,
        "digits": 280_000,
        "letters": 145_600,
        "mnist": 70_000,
    }
    assert {split: classes for split, (_, _, classes) in SPLITS.items()} == {
        "byclass": 62,
        "bymerge": 47,
        "balanced": 47,
        "digits": 10,
        "letters": 26,
        "mnist": 10,
    }


def test_a_label_zero_among_letters_is_refused(tmp_path):
    name = "emnist-letters-train-labels-idx1-ubyte"
    archive(tmp_path / "emnist" / ARCHIVE, {name: struct.pack(">2xBBI", 8, 1, 4) + bytes([1, 0, 2, 3])})
    with pytest.raises(ConfigError, match="holds the label 0; those of letters count from 1"):
        Small(split="letters").load(tmp_path, labels=True)


DAMAGE = {
    "no archive": lambda path: path.write_bytes(b"hello"),
    "half": lambda path: path.write_bytes(path.read_bytes()[:3000]),
    "another one": lambda path: zipfile.ZipFile(path, "w").close(),
    "a bit": lambda path: path.write_bytes(path.read_bytes().replace(b"\x1f\x8b", b"\x1f\x8a")),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_archive_is_refused_in_one_line(damage, tmp_path):
    path = archive(tmp_path / "emnist" / ARCHIVE)
    damage(path)
    with pytest.raises(ConfigError) as caught:
        Small().load(tmp_path)
    assert str(caught.value).startswith(f"{path}: emnist-balanced-train") and "\n" not in str(caught.value)


def test_the_archive_is_downloaded_and_missing_files_are_told(tmp_path, monkeypatch):
    with pytest.raises(ConfigError) as caught:
        Small().check(tmp_path)
    first, second = str(caught.value).split("\n")
    assert first.startswith(f"emnist: neither {ARCHIVE} nor the files of the split balanced are in {tmp_path}")
    assert f"put https://biometrics.nist.gov/cs_links/EMNIST/{ARCHIVE} into {tmp_path / 'emnist'}" in second
    asked = []

    def fetch(name, mirrors, folder, md5, verify, limit):
        asked.append((name, md5, limit >= 536 << 20))
        verify(archive(folder / name))

    monkeypatch.setattr("ganrun.datasets.download.fetch", fetch)
    Small(download=True).check(tmp_path)
    assert asked == [(ARCHIVE, "58c8d27c78d21e728a6bc7b3cc06412e", True)]
    Small(split="digits").load(tmp_path, labels=True)


def test_kuzushiji_is_read_like_mnist_and_known_by_other_hashes():
    assert (Kmnist().shape, Kmnist().examples, Kmnist().classes) == (Mnist().shape, 60_000, 10)
    hashes = [*Kmnist.md5.values(), *FashionMnist.md5.values()]
    assert len(set(hashes)) == 8 and {len(md5) for md5 in hashes} == {32}
    assert Kmnist.md5.keys() == {"train", "held_out", "train_labels", "held_out_labels"}
