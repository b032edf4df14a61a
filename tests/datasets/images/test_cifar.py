"""CIFAR from its binary archives, and from files that were extracted from them."""

import dataclasses
import io
import tarfile
from typing import ClassVar

import numpy as np
import pytest

from ganrun.datasets.images import Cifar10, Cifar100
from ganrun.errors import ConfigError

RECORDS = {"train": 4, "held_out": 3}


@dataclasses.dataclass(frozen=True)
class Small10(Cifar10):
    download: bool = False

    md5: ClassVar[str] = ""
    records: ClassVar[dict[str, int]] = RECORDS


@dataclasses.dataclass(frozen=True)
class Small100(Cifar100):
    download: bool = False

    md5: ClassVar[str] = ""
    records: ClassVar[dict[str, int]] = RECORDS


def images(option, split):
    """Random images ``(n, 32, 32, 3)`` of all files of a split, and their label bytes."""
    count = RECORDS[split] * len(option.files[split])
    rng = np.random.default_rng(len(split))
    pixels = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
    labels = np.stack([rng.integers(0, 10 * (column + 1), count) for column in range(option.label_bytes)], axis=1)
    return pixels, labels.astype(np.uint8)


def records(option):
    """The content of each file: for every image the labels, then 1024 red, 1024 green and 1024 blue bytes by rows."""
    found = {}
    for split, names in option.files.items():
        pixels, labels = images(option, split)
        rows = [
            bytes(label) + bytes(image[..., 0]) + bytes(image[..., 1]) + bytes(image[..., 2])
            for image, label in zip(pixels, labels, strict=True)
        ]
        size = RECORDS[split]
        found |= {name: b"".join(rows[size * place : size * (place + 1)]) for place, name in enumerate(names)}
    return found


def archive(path, option, contents, folder=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as packed:
        for name, content in {"readme.html": b"<html>", **contents}.items():
            info = tarfile.TarInfo(f"{folder or option.folder}/{name}")
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(params=[Small10(), Small100(), Small100(labels="coarse")], ids=["10", "100", "100 coarse"])
def option(request):
    return request.param


@pytest.mark.parametrize("layout", ["archive", "top", "own", "extracted", "extracted top"])
def test_images_and_labels_are_those_of_the_records(option, layout, tmp_path):
    folders = {"own": option.name, "extracted": f"{option.name}/{option.folder}", "extracted top": option.folder}
    if layout in folders:
        (tmp_path / folders[layout]).mkdir(parents=True)
        for name, content in records(option).items():
            (tmp_path / folders[layout] / name).write_bytes(content)
    else:
        archive(tmp_path / (option.name if layout == "archive" else "") / option.archive, option, records(option))
    assert option.find(tmp_path).keys() == {"train", "held_out"}
    arrays = option.load(tmp_path, labels=True)
    assert arrays.shape == option.shape == (32, 32, 3)
    assert len(arrays.train) == option.examples == 4 * len(option.files["train"])
    for split in RECORDS:
        pixels, labels = images(option, split)
        np.testing.assert_array_equal(getattr(arrays, split).reshape(-1, 32, 32, 3), pixels)
        column = 1 if option.classes == 100 else 0  # the group, of 20, comes before the class
        np.testing.assert_array_equal(getattr(arrays, f"{split}_labels"), labels[:, column])
    assert option.load(tmp_path).train_labels is None


def test_nothing_is_unpickled_and_nothing_extracted(tmp_path):
    option = Small10()
    archive(tmp_path / option.name / option.archive, option, records(option))
    option.load(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == [option.name, option.archive]


def damaged(option):
    whole = records(option)
    first = option.files["train"][0]
    return {
        "a missing file": {name: content for name, content in whole.items() if name != first},
        "a short file": whole | {first: whole[first][:-1]},
        "a long file": whole | {first: whole[first] + b"x"},
    }


@pytest.mark.parametrize("damage", damaged(Small10()))
def test_a_damaged_archive_is_refused_in_one_line(option, damage, tmp_path):
    path = archive(tmp_path / option.name / option.archive, option, damaged(option)[damage])
    with pytest.raises(ConfigError) as caught:
        option.load(tmp_path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert option.files["train"][0] in str(caught.value)


NO_ARCHIVES = {
    "text": lambda content: b"<html>",
    "half": lambda content: content[: len(content) // 2],
    "a bit": lambda content: content[:3000] + bytes([content[3000] ^ 1]) + content[3001:],
    "nothing": lambda content: b"",
}


@pytest.mark.parametrize("change", NO_ARCHIVES.values(), ids=NO_ARCHIVES.keys())
def test_what_is_no_archive_is_refused_in_one_line(change, option, tmp_path):
    path = archive(tmp_path / option.name / option.archive, option, records(option))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ConfigError) as caught:
        option.load(tmp_path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_links_and_other_folders_in_the_archive_are_not_followed(option, tmp_path):
    path = archive(tmp_path / option.name / option.archive, option, records(option), folder="elsewhere")
    with pytest.raises(ConfigError, match="the archive has no"):
        option.load(tmp_path)
    with tarfile.open(path, "w:gz") as packed:
        info = tarfile.TarInfo(f"{option.folder}/{option.files['train'][0]}")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(info)
    with pytest.raises(ConfigError, match="has 0 bytes; the published file has"):
        option.load(tmp_path)


def test_an_archive_of_too_many_entries_is_not_read_to_its_end(option, tmp_path):
    path = archive(tmp_path / option.name / option.archive, option, {f"{index}": b"" for index in range(200)})
    with pytest.raises(ConfigError, match=f"it is not the archive of {option.name}"):
        option.load(tmp_path)
    assert path.exists()


def test_a_label_out_of_range_is_refused_if_labels_are_wanted(option, tmp_path):
    contents = records(option)
    name = option.files["held_out"][0]
    contents[name] = bytes([200] * option.label_bytes) + contents[name][option.label_bytes :]
    archive(tmp_path / option.name / option.archive, option, contents)
    option.load(tmp_path)
    with pytest.raises(ConfigError, match=f"holds the label 200; those of {option.name} are 0"):
        option.load(tmp_path, labels=True)


def test_a_missing_archive_is_told_and_downloaded_if_it_may_be(option, tmp_path, monkeypatch):
    with pytest.raises(ConfigError) as caught:
        option.check(tmp_path)
    first, second = str(caught.value).split("\n")
    assert first.startswith(f"{option.name}: {option.archive} is missing in {tmp_path / option.name}")
    assert f"https://www.cs.toronto.edu/~kriz/{option.archive}" in second
    asked = []

    def fetch(name, mirrors, folder, md5, verify):
        asked.append((name, tuple(mirrors), md5))
        verify(archive(folder / name, option, records(option)))

    monkeypatch.setattr("ganrun.datasets.download.fetch", fetch)
    monkeypatch.setattr(type(option), "md5", "known")
    dataclasses.replace(option, download=True).check(tmp_path)
    assert asked == [(option.archive, option.mirrors, "known")]
    option.load(tmp_path)


def test_the_published_archives_are_known_by_a_hash():
    assert {len(Cifar10.md5), len(Cifar100.md5)} == {32} and Cifar10.md5 != Cifar100.md5
    # Krizhevsky 2009: 50 000 training and 10 000 test images; a record of CIFAR-100 has two label bytes.
    assert (Cifar10().examples, Cifar100().examples) == (50_000, 50_000)
    assert (Cifar10()._size("train"), Cifar100()._size("held_out")) == (30_730_000, 30_740_000)
