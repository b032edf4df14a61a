"""The size of the cache of decoded images: what is deleted, and what never is."""

import math
import os
import subprocess
import sys

import pytest

from ganrun.datasets.images import ImageFolder, cache_size
from ganrun.errors import ConfigError


def kept(parent, **sizes):
    """Write folders of these sizes, each used a second after the one before."""
    for i, (name, size) in enumerate(sizes.items()):
        (parent / name).mkdir(parents=True)
        (parent / name / "train.bin").write_bytes(b"x" * size)
        os.utime(parent / name, (1000 + i, 1000 + i))


def names(parent):
    return sorted(path.name for path in parent.iterdir())


def test_the_least_recently_used_are_deleted_first(tmp_path):
    kept(tmp_path, a=40, b=40, c=40)
    os.utime(tmp_path / "a", (2000, 2000))
    assert cache_size.bound(tmp_path, 80) == ["b"]
    assert names(tmp_path) == ["a", "c"]
    assert cache_size.bound(tmp_path, 80) == [] and cache_size.bound(tmp_path / "none", 80) == []


def test_what_is_unfinished_and_what_is_no_folder_is_left_alone(tmp_path):
    kept(tmp_path / "in", **{"a": 40, "b.7.unfinished": 40})
    (tmp_path / "in" / "x.split.json").write_bytes(b"x" * 40)
    kept(tmp_path, out=40)
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    assert cache_size.bound(tmp_path / "in", 0) == ["a"]
    assert names(tmp_path / "in") == ["b.7.unfinished", "link", "x.split.json"] and (tmp_path / "out").is_dir()


def test_what_a_process_uses_is_not_deleted_until_it_ends(tmp_path):
    kept(tmp_path, a=40, b=40)
    code = "import sys, pathlib\nfrom ganrun.datasets.images import cache_size\n"
    code += "print(cache_size.hold(pathlib.Path(sys.argv[1])), flush=True)\nsys.stdin.read()"
    words = [sys.executable, "-c", code, str(tmp_path / "a")]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "True\n"
    assert cache_size.bound(tmp_path, 0) == ["b"]
    process.kill()
    process.communicate()
    assert cache_size.bound(tmp_path, 0) == ["a"]


def test_what_this_process_uses_is_not_deleted_either(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_size, "_held", {})
    kept(tmp_path, a=40)
    assert cache_size.hold(tmp_path / "a") and cache_size.hold(tmp_path / "a")
    assert not cache_size.hold(tmp_path / "b")
    assert cache_size.bound(tmp_path, 0) == []
    (tmp_path / "a").rename(tmp_path / "moved")
    assert not cache_size.hold(tmp_path / "a")


@pytest.mark.parametrize(("text", "most"), [("", 32 * 2**30), ("0.5", 2**29), ("off", math.inf), ("OFF", math.inf)])
def test_the_maximum_is_a_variable(text, most, monkeypatch):
    monkeypatch.setenv(cache_size.VARIABLE, text)
    assert cache_size.maximum() == most


@pytest.mark.parametrize("text", ["much", "nan", "-1"])
def test_a_maximum_that_is_none_is_refused(text, monkeypatch):
    monkeypatch.setenv(cache_size.VARIABLE, text)
    with pytest.raises(ConfigError, match="GANRUN_DATASETS_GIB must be a number of GiB, or off, not"):
        cache_size.maximum()


def test_decoding_another_dataset_deletes_the_one_before_if_there_is_no_room(tmp_path, encoded, cache, monkeypatch):
    monkeypatch.setenv(cache_size.VARIABLE, "0")
    monkeypatch.setattr(cache_size, "_held", {})
    for name in ("one", "two"):
        for number in range(3):
            path = tmp_path / name / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(encoded(10 * number + len(name) + (name == "two")))
    option = ImageFolder()
    first = option.resolve(tmp_path / "one")
    assert len(names(cache)) == 1  # the one in use is kept, whatever its size
    for number in cache_size._held.values():  # as if the process had ended
        os.close(number)
    cache_size._held.clear()
    before = names(cache)
    option.resolve(tmp_path / "two")
    assert len(names(cache)) == 1 and names(cache) != before
    assert option.resolve(tmp_path / "one") == first  # decoded again
