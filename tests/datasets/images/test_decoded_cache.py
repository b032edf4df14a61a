"""Decoded images are kept in the cache: used again, never half written, and written anew when anything changes."""

import json
import os
import shutil
import time

import numpy as np
import pytest

from ganrun.datasets.images import ImageFolder, build, files
from ganrun.errors import ConfigError


@pytest.fixture
def images(tmp_path, encoded):
    place = tmp_path / "images"
    place.mkdir()
    for index in range(10):
        (place / f"{index}.png").write_bytes(encoded(20 * index))
    return place


def opened(option, place):
    """The arrays as a new process would get them."""
    files._known.clear()
    return option.load(place)


def same(one, other):
    assert one.shape == other.shape
    np.testing.assert_array_equal(one.train, other.train)
    np.testing.assert_array_equal(one.held_out, other.held_out)


def test_images_are_decoded_once(images, monkeypatch):
    first = opened(ImageFolder(), images)
    monkeypatch.setattr(build, "opened", lambda content: pytest.fail("decodes"))
    same(opened(ImageFolder(), images), first)
    assert isinstance(first.train, np.memmap)


def test_a_process_lists_the_files_once(images, monkeypatch):
    option = ImageFolder().resolve(images)
    monkeypatch.setattr(files.cache, "key_of", lambda *_: pytest.fail("lists"))
    option.resolve(images).load(images)


CHANGES = {
    "another size": lambda place: {"side": 3},
    "another filter": lambda place: {"resize": "lanczos"},
    "another crop": lambda place: {"crop": "none"},
    "another share": lambda place: {"held_out": 0.5},
    "other channels": lambda place: {"channels": "3"},
    "a file less": lambda place: (place / "3.png").unlink() or {},
    "another name": lambda place: (place / "3.png").rename(place / "33.png") and {},
    "a touched file": lambda place: os.utime(place / "3.png", ns=(1, 1)) or {},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_any_change_is_decoded_anew(change, images, cache):
    opened(ImageFolder(), images)
    option = ImageFolder(**change(images))
    opened(option, images)
    assert len(list(cache.iterdir())) == 2


def test_the_content_is_that_of_the_images_and_not_of_their_names_and_times(images):
    before = ImageFolder().resolve(images).content
    (images / "3.png").rename(images / "3a.png")
    os.utime(images / "4.png", ns=(1, 1))
    files._known.clear()
    assert ImageFolder().resolve(images).content == before
    (images / "3a.png").rename(images / "00.png")  # another order
    files._known.clear()
    assert ImageFolder().resolve(images).content != before


DAMAGE = {
    "no manifest": lambda kept: (kept / "manifest.json").unlink(),
    "half a manifest": lambda kept: (kept / "manifest.json").write_text('{"shape": ['),
    "a short file": lambda kept: (kept / "train.bin").write_bytes((kept / "train.bin").read_bytes()[:-1]),
    "no file": lambda kept: (kept / "held_out.bin").unlink(),
    "a list": lambda kept: (kept / "manifest.json").write_text("[]"),
    "an empty folder": lambda kept: [path.unlink() for path in kept.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_folder_is_written_anew(damage, images, cache):
    first = opened(ImageFolder(), images)
    rows = first.train.copy(), first.held_out.copy()
    (kept,) = cache.iterdir()
    damage(kept)
    again = opened(ImageFolder(), images)
    np.testing.assert_array_equal(again.train, rows[0])
    np.testing.assert_array_equal(again.held_out, rows[1])
    assert list(cache.iterdir()) == [kept]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_nothing_is_left_of_what_was_interrupted(error, images, cache, monkeypatch):
    add, done = files.cache.Writer.add, []

    def fail(self, *rest):
        done.append(add(self, *rest))
        if len(done) == 5:
            raise error

    monkeypatch.setattr(files.cache.Writer, "add", fail)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ConfigError
    with pytest.raises(expected) as caught:
        opened(ImageFolder(), images)
    assert list(cache.iterdir()) == []
    if expected is ConfigError:
        assert "No space left on device" in str(caught.value) and "GANRUN_CACHE" in str(caught.value)


def test_what_a_killed_process_has_left_is_removed_after_a_day(images, cache):
    for name, age in (("old", 2 * files.cache.STALE), ("new", 0)):
        left = cache / f"{name}.1.unfinished"
        left.mkdir(parents=True)
        os.utime(left, (time.time() - age,) * 2)
    opened(ImageFolder(), images)
    assert {path.name for path in cache.iterdir() if "unfinished" in path.name} == {"new.1.unfinished"}


def test_two_processes_that_write_the_same_folder_agree(images, cache, monkeypatch):
    finish = files.cache.Writer.finish

    def late(self, left_out):
        found = finish(self, left_out)  # the other process
        self._temporary.mkdir()
        shutil.copytree(self.folder, self._temporary, dirs_exist_ok=True)
        return found

    monkeypatch.setattr(files.cache.Writer, "finish", late)
    first = opened(ImageFolder(), images)
    assert len(list(cache.iterdir())) == 1 and len(first.train) + len(first.held_out) == 10


def test_the_cache_cannot_be_written(images, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GANRUN_CACHE", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"decoded images cannot be stored in .*set GANRUN_CACHE"):
        opened(ImageFolder(), images)


def test_the_threads_do_not_change_the_images(images, monkeypatch, cache):
    monkeypatch.setattr(build, "BATCH", 1)
    found = []
    for threads in (1, 4):
        monkeypatch.setattr(build, "THREADS", threads)
        shutil.rmtree(cache, ignore_errors=True)
        found.append(opened(ImageFolder(), images).train.tobytes())
    assert found[0] == found[1]


def test_doctor_says_what_the_cache_holds(images, cache):
    from ganrun.commands import doctor

    assert doctor._datasets() == []
    opened(ImageFolder(), images)
    (finding,) = doctor._datasets()
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    assert finding.state == "ok" and f"{cache}: decoded images of 1 datasets, {size} B" in finding.text


def test_the_manifest_is_what_it_says(images, cache):
    option = ImageFolder().resolve(images)
    (kept,) = cache.iterdir()
    plain = json.loads((kept / "manifest.json").read_text())
    assert plain["content"] == option.content and sum(plain["counts"].values()) == 10
