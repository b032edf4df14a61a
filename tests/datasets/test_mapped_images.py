"""Images that stay in their file are the same examples, in the same splits, as those that are read into memory."""

import json

import numpy as np
import pytest

from ganrun.datasets import array, mapped_images, rows
from ganrun.datasets.array import ArrayFile
from ganrun.datasets.rows import Reader, Rows, blocks, spaced
from ganrun.errors import ConfigError, GanrunError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with 40 images, and an empty cache."""
    monkeypatch.setenv("GANRUN_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    data.mkdir()
    np.save(data / "x.npy", np.random.default_rng(0).integers(0, 256, (40, 3, 5, 2), dtype=np.uint8))
    return data


@pytest.fixture
def loaded(folder, monkeypatch):
    """Return a function that loads the images, mapped from their file or not."""

    def load(mapped, **settings):
        monkeypatch.setattr(array, "MAPPED_BYTES", 0 if mapped else 1 << 40)
        array._known.clear()
        option = ArrayFile(**settings).resolve(folder)
        return option, option.load(folder)

    return load


def test_mapped_images_are_the_same_examples_with_the_same_hash(loaded, monkeypatch):
    monkeypatch.setattr(rows, "BLOCK", 100)  # several blocks of 3 images
    plain, expected = loaded(False, held_out=0.3)
    option, arrays = loaded(True, held_out=0.3)
    assert isinstance(arrays.train, Rows) and isinstance(arrays.train.base, np.memmap)
    assert option == plain and len(plain.content) == 16
    assert len(expected.train) + len(expected.held_out) == 40
    np.testing.assert_array_equal(arrays.train, expected.train)
    np.testing.assert_array_equal(arrays.held_out, expected.held_out)
    np.testing.assert_array_equal(arrays.train[3:7], expected.train[3:7])
    np.testing.assert_array_equal(arrays.train[np.array([5, 0, 5])], expected.train[[5, 0, 5]])
    assert arrays.train.nbytes == expected.train.nbytes and arrays.train.shape == expected.train.shape


def test_the_second_start_does_not_read_the_whole_file_again(loaded, monkeypatch):
    first, _ = loaded(True)
    monkeypatch.setattr(mapped_images, "rank_of", lambda content: pytest.fail("read again"))
    assert loaded(True)[0] == first


@pytest.mark.parametrize(
    "damage", ["", "{}", '{"held_out": "AAAAAAA=", "content": "0"}', '{"held_out": 3, "content": 1}']
)
def test_a_damaged_entry_of_the_cache_is_made_again(loaded, folder, damage):
    first, _ = loaded(True)
    (entry,) = (folder.parent / "cache/datasets").glob("*.split.json")
    assert set(json.loads(entry.read_text())) == {"held_out", "content"}
    entry.write_text(damage)
    assert loaded(True)[0] == first


def test_a_changed_file_is_read_again_and_refused_by_a_run_of_the_old_one(loaded, folder):
    first, _ = loaded(True)
    changed = np.load(folder / "x.npy")
    changed[0, 0, 0, 0] ^= 1
    np.save(folder / "x.npy", changed)
    assert loaded(True)[0].content != first.content
    with pytest.raises(ConfigError, match="are not those of the run"):
        loaded(True, content=first.content)


def test_arrays_that_must_be_converted_are_read_as_before(loaded, folder):
    images = np.load(folder / "x.npy")
    np.save(folder / "x.npy", np.asfortranarray(images))
    np.testing.assert_array_equal(loaded(True)[1].train, loaded(False)[1].train)
    np.save(folder / "x.npy", images.astype(">u2"))
    assert loaded(True)[1].train.dtype == np.uint16


def test_the_cache_of_a_read_only_home_is_not_needed(loaded, monkeypatch):
    def refuse(path, text):
        raise OSError("read-only")

    monkeypatch.setattr(mapped_images, "write_atomically", refuse)
    assert loaded(True)[0] == loaded(False)[0]


def test_blocks_are_all_rows_and_spaced_rows_include_both_ends():
    base = np.arange(60, dtype=np.uint8).reshape(20, 3)
    chosen = Rows(base, np.arange(1, 20, 2))
    assert np.concatenate(list(blocks(chosen))).tolist() == base[1::2].tolist()
    assert base[spaced(base, 60)].shape == (20, 3)
    assert base[spaced(base, 15)][:, 0].tolist() == [0, 12, 27, 42, 57]  # rows 0, 4, 9, 14, 19
    assert chosen[spaced(chosen, 6)].tolist() == [[3, 4, 5], [57, 58, 59]]
    assert len(base[spaced(base, 0)]) == 1


def test_rows_of_a_file_are_read_by_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "LARGE_ROW", 1)
    values = np.random.default_rng(0).integers(0, 256, (50, 7), dtype=np.uint8)
    np.save(tmp_path / "x.npy", values)
    mapped = array.map_array(tmp_path / "x.npy")
    index = np.array([3, 0, 49, 3])
    out = np.zeros((4, 7), np.uint8)
    for reader, wanted in (
        (Reader(mapped), values),
        (Reader(Rows(mapped, np.arange(49, -1, -1))), values[::-1]),
        (Reader(values), values),
    ):
        reader.read(index, out)
        np.testing.assert_array_equal(out, wanted[index])
    reader = Reader(mapped)
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(300)
    with pytest.raises(GanrunError, match=r"x\.npy: the file has become shorter since the run has opened it"):
        reader.read(np.array([49]), out[:1])
