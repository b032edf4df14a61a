"""A folder of a user's images: which files are read, which are left out and why, and what is held out."""

import dataclasses
import hashlib
import os

import numpy as np
import pytest

from ganrun.datasets.images import ImageFolder, build, cache, decode, files, folder
from ganrun.errors import ConfigError


@pytest.fixture
def images(tmp_path, encoded):
    """A folder with twelve images of different greys in two classes."""
    place = tmp_path / "images"
    for index in range(12):
        path = place / ("cats" if index % 2 else "dogs") / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(20 * index))
    return place


def put(place, name, content):
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def greys(arrays):
    """The first pixel of every training and held-out image."""
    return arrays.train[:, 0].tolist(), arrays.held_out[:, 0].tolist()


def manifest(decoded):
    """The manifest of the only folder in the cache."""
    (one,) = [path for path in decoded.iterdir() if path.is_dir()]
    return one, cache.read_manifest(one)


def test_images_are_read_in_the_order_of_their_names(images):
    option = ImageFolder(held_out=0.3).resolve(images)
    assert (option.shape, option.classes) == ((4, 6, 1), 0)
    arrays = option.load(images)
    train, held_out = greys(arrays)
    assert arrays.shape == (4, 6, 1) and arrays.train.dtype == np.uint8 and arrays.train_labels is None
    assert option.examples == len(train)
    # cats/01, cats/03, ..., dogs/00, dogs/02, ...: odd numbers first.
    order = [20 * index for index in (1, 3, 5, 7, 9, 11, 0, 2, 4, 6, 8, 10)]
    assert sorted(train + held_out) == sorted(order)
    assert train == [grey for grey in order if grey in train]
    assert (arrays.train == arrays.train[:, :1]).all()


def test_colour_that_only_a_later_image_has_is_told_before_decoding_again(images, encoded, monkeypatch):
    monkeypatch.setattr(build, "SURVEYED", 1)
    put(images, "dogs/99.png", encoded((1, 2, 3)))
    told = []
    option = ImageFolder(labels="folder")
    resolved = option.resolve_accepted(images, lambda option: told.append((option.shape, option.classes)))
    assert told == [((4, 6, 1), 2), ((4, 6, 3), 2)] and resolved.shape == (4, 6, 3)
    option.resolve_accepted(images, lambda option: told.append(option))
    assert len(told) == 2  # what is known needs no look at files


def test_an_image_is_held_out_by_the_hash_of_its_file(images):
    expected = []
    for path in sorted(images.rglob("*.png")):
        rank = int.from_bytes(hashlib.blake2b(path.read_bytes(), digest_size=8).digest(), "big") / 2**64
        expected += [20 * int(path.stem)] * (rank < 0.4)
    assert 0 < len(expected) < 12
    assert greys(ImageFolder(held_out=0.4).load(images))[1] == expected


def test_the_others_stay_where_they_are_when_an_image_is_added_or_resized(images, encoded):
    before = set(greys(ImageFolder(held_out=0.4).load(images))[1])
    put(images, "cats/zz.png", encoded(255))
    files._known.clear()
    assert set(greys(ImageFolder(held_out=0.4, side=3).load(images))[1]) - {255} == before


@pytest.mark.parametrize(("share", "held"), [(1e-9, 1), (1 - 1e-9, 2)])
def test_neither_split_of_a_few_images_is_empty(share, held, tmp_path, encoded):
    for grey in (10, 30):
        put(tmp_path, f"d/{grey}.png", encoded(grey))
    put(tmp_path, "e/20.png", encoded(20))
    option = ImageFolder(held_out=share, labels="folder")
    arrays = option.load(tmp_path, labels=True)
    train, held_out = greys(arrays)
    assert len(held_out) == held and sorted(train + held_out) == [10, 20, 30]
    labels = dict(zip(train + held_out, [*arrays.train_labels, *arrays.held_out_labels], strict=True))
    assert labels == {10: 0, 20: 1, 30: 0}


def test_the_class_is_the_folder_of_the_image(images, encoded):
    put(images, "top.png", encoded(7))
    put(images, "deep/cats/99.png", encoded(99))
    put(images, "notes/readme.txt", b"no image, and so no class")
    option = ImageFolder(labels="folder").resolve(images)
    assert option.classes == 2
    arrays = option.load(images, labels=True)
    train, held_out = greys(arrays)
    found = dict(zip(train + held_out, [*arrays.train_labels, *arrays.held_out_labels], strict=True))
    assert found == {20 * index: int(index % 2 == 0) for index in range(12)} | {99: 0}
    assert arrays.train_labels.dtype == np.uint16


def test_a_folder_can_be_the_held_out_split(tmp_path, encoded):
    for split, start in (("train", 0), ("test", 100)):
        for index in range(4):
            put(tmp_path, f"{split}/{'ab'[index % 2]}/{index}.png", encoded(start + index))
    option = ImageFolder(held_out_folder="test", labels="folder")
    assert greys(option.load(tmp_path)) == ([0, 2, 1, 3], [100, 102, 101, 103])
    assert option.load(tmp_path, labels=True).held_out_labels.tolist() == [0, 0, 1, 1]
    with pytest.raises(ConfigError, match=r"held_out_folder=tset: there is no such folder in .*Did you mean 'test'"):
        ImageFolder(held_out_folder="tset").load(tmp_path)


def test_what_is_left_out_is_counted_and_listed_with_the_reason(images, encoded, cache, capsys):
    good = encoded(1, kind="JPEG", size=(64, 64))
    put(images, "a.txt", b"text")
    put(images, "b.png", b"")
    put(images, "c.jpg", good[:-200])
    put(images, "d.png", b"\x89PNG\r\n\x1a\nnothing")
    put(images, "e.gif", encoded(3, kind="GIF"))
    put(images, ".hidden.png", encoded(3))
    (images / "loop").symlink_to(images)
    (images / "gone.png").symlink_to(images / "nowhere.png")
    os.mkfifo(images / "pipe.png")
    ImageFolder(side=4).load(images)
    kept, found = manifest(cache)
    assert found.left_out == {
        folder.BROKEN: 1,
        folder.LOOP: 1,
        folder.NO_FILE: 1,
        decode.NOT_IMAGE: 2,
        decode.EMPTY: 1,
        decode.TRUNCATED: 1,
        decode.CORRUPT: 1,
    }
    lines = dict(reversed(line.split("\t")) for line in (kept / "left_out.txt").read_text().splitlines())
    assert lines["c.jpg"] == decode.TRUNCATED and lines["loop"] == folder.LOOP and len(lines) == 8
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("folder: 12 images of 4x4x1 (") and "8 left out (" in line
    assert line.endswith(f": {kept / 'left_out.txt'}")


def test_links_are_followed(tmp_path, encoded):
    put(tmp_path, "elsewhere/a.png", encoded(10))
    put(tmp_path, "elsewhere/b.png", encoded(20))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/one").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/c.png").symlink_to(tmp_path / "elsewhere/a.png")
    train, held_out = greys(ImageFolder().load(tmp_path / "data"))
    assert sorted(train + held_out) == [10, 10, 20]


def test_unreadable_files_and_folders_are_counted(images, cache, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(folder, "open_file", lambda path: refuse(path) if path.name == "00.png" else path.open("rb"))
    ImageFolder().load(images)
    assert manifest(cache)[1].left_out == {decode.UNREADABLE: 1}


def test_large_files_are_not_read(images, cache, monkeypatch):
    limit = max(path.stat().st_size for path in images.rglob("*.png"))
    put(images, "large.png", bytes(limit + 1))
    monkeypatch.setattr(folder, "MAX_BYTES", limit)
    read = []
    monkeypatch.setattr(folder, "open_file", lambda path: read.append(path.name) or path.open("rb"))
    ImageFolder().load(images)
    assert manifest(cache)[1].left_out == {decode.TOO_LARGE: 1}
    assert "large.png" not in read and "00.png" in read


def test_images_of_different_sizes_need_a_size(images, encoded):
    put(images, "other.png", encoded(9, size=(5, 4)))
    with pytest.raises(ConfigError) as caught:
        ImageFolder().load(images)
    assert str(caught.value) == (
        f"the images in {images} have different sizes (4 x 6, and 4 x 5 in other.png): "
        "set dataset.side=64, or another size."
    )
    assert ImageFolder(side=8).resolve(images).shape == (8, 8, 1)
    assert ImageFolder(height=3, width=5).resolve(images).shape == (3, 5, 1)


def test_one_coloured_image_among_many_grey_ones_makes_all_of_them_coloured(tmp_path, encoded, monkeypatch):
    monkeypatch.setattr(build, "SURVEYED", 2)
    for index in range(9):
        put(tmp_path, f"{index}.png", encoded(index))
    assert ImageFolder().resolve(tmp_path).shape == (4, 6, 1)
    put(tmp_path, "4.png", encoded((200, 0, 0)))
    files._known.clear()
    arrays = ImageFolder().load(tmp_path)
    assert arrays.shape == (4, 6, 3)
    assert sorted(arrays.train[:, :3].tolist() + arrays.held_out[:, :3].tolist())[-1] == [200, 0, 0]
    assert ImageFolder(channels="1").resolve(tmp_path).shape == (4, 6, 1)


MESSAGES = {
    "nothing": ({}, {}, "holds no image; at least 2 are needed."),
    "text": (
        {"a.txt": b"a"},
        {},
        "holds no image; at least 2 are needed. 1 left out (1 not a PNG, JPEG or WebP image).",
    ),
    "one class": ({"a/1": 1, "a/2": 2}, {"labels": "folder"}, "are in 1 folder; 2 to 65536 are needed"),
    "no classes": ({"1": 1, "2": 2}, {"labels": "folder"}, "holds no image; at least 2 are needed. 2 left out"),
    "one image": ({"a": 1}, {}, "holds 1 image; at least 2 are needed."),
}


@pytest.mark.parametrize(("content", "settings", "message"), MESSAGES.values(), ids=MESSAGES.keys())
def test_too_few_images_are_refused_in_one_line(content, settings, message, tmp_path, encoded, cache):
    for name, grey in content.items():
        put(tmp_path / "x", name, encoded(grey) if isinstance(grey, int) else grey)
    (tmp_path / "x").mkdir(exist_ok=True)
    with pytest.raises(ConfigError) as caught:
        ImageFolder(**settings).load(tmp_path / "x")
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_missing_folder_is_told_and_sizes_exclude_each_other(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no folder .*absent: set data_dir=FOLDER"):
        ImageFolder().load(tmp_path / "absent")
    with pytest.raises(ConfigError, match="belong together"):
        ImageFolder(height=3)
    with pytest.raises(ConfigError, match="both height and width"):
        ImageFolder(side=3, height=3, width=3)


def test_other_images_than_those_of_the_run_are_refused(images, encoded):
    option = ImageFolder().resolve(images)
    assert option.resolve(images) == option and len(option.content) == 16
    put(images, "cats/01.png", encoded(21))
    files._known.clear()
    with pytest.raises(
        ConfigError, match=f"are not those of the run .dataset.content={option.content}, now "
    ) as caught:
        option.resolve(images)
    assert "\n" not in str(caught.value)
    assert dataclasses.replace(option, content="").resolve(images).content != option.content
