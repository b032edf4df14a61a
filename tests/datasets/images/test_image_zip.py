"""A zip archive of a user's images: read in place, by the rules of a folder, whoever made it."""

import io
import struct
import zipfile

import numpy as np
import pytest

from ganrun.datasets.images import ImageFolder, ImageZip, cache, decode, files
from ganrun.datasets.images import zip as archives
from ganrun.errors import ConfigError


@pytest.fixture
def contents(encoded):
    """Images by their name in the archive."""
    return {f"train/{'ab'[index % 2]}/{index:02d}.png": encoded(20 * index) for index in range(10)}


def packed(path, contents, kind=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def left_out(decoded):
    (kept,) = decoded.iterdir()
    return cache.read_manifest(kept).left_out


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_gives_the_same_as_its_folder(kind, contents, tmp_path):
    packed(tmp_path / "x.zip", contents, kind)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        archive.extractall(tmp_path / "x")
    settings = {"labels": "folder", "held_out": 0.4}
    one = ImageZip(**settings).load(tmp_path, labels=True)
    other = ImageFolder(**settings).load(tmp_path / "x", labels=True)
    for name in ("train", "held_out", "train_labels", "held_out_labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert ImageZip(**settings).resolve(tmp_path).content == ImageFolder(**settings).resolve(tmp_path / "x").content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "x.zip"]


def test_the_archive_is_found_by_its_path_or_its_folder(contents, tmp_path, monkeypatch):
    path = packed(tmp_path / "x.zip", contents)
    for option, data_dir in (
        (ImageZip(), tmp_path),
        (ImageZip(), path),
        (ImageZip(path="x.zip"), tmp_path),
        (ImageZip(path=str(path)), tmp_path / "elsewhere"),
    ):
        assert option.place(data_dir) == path
    monkeypatch.chdir(tmp_path)
    assert ImageZip(path="x.zip").place(tmp_path / "elsewhere") == path


def test_a_missing_archive_is_told_in_one_line(contents, tmp_path):
    def refusal(option, place):
        with pytest.raises(ConfigError) as caught:
            option.place(place)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert refusal(ImageZip(), tmp_path) == f"dataset=zip: {tmp_path} holds no .zip file: set dataset.path=FILE."
    assert "cannot be read (No such file or directory)" in refusal(ImageZip(), tmp_path / "absent")
    packed(tmp_path / "a.zip", contents)
    packed(tmp_path / "b.zip", contents)
    assert "holds several files (a.zip, b.zip): set dataset.path=FILE." in refusal(ImageZip(), tmp_path)
    assert "there is no file" in refusal(ImageZip(path="aa.zip"), tmp_path)
    assert "Did you mean 'a.zip'?" in refusal(ImageZip(path="aa.zip"), tmp_path)
    (tmp_path / "c.rar").touch()
    assert "dataset=zip reads .zip files, not c.rar" in refusal(ImageZip(path="c.rar"), tmp_path)


def test_entries_that_are_no_images_are_counted_by_their_reason(contents, tmp_path, encoded, cache):
    good = encoded(77)
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
        for name in ("/etc/passwd.png", "../up.png", "a/../../b.png", "C:/x.png", "..\\win.png"):
            archive.writestr(name, good)
        archive.writestr("inner.zip", packed(tmp_path / "inner", contents).read_bytes())
        archive.writestr("bomb.png", bytes(2 << 20))
        archive.writestr("empty.png", b"")
        archive.writestr("note.txt", b"text")
        archive.writestr(link, "/etc/passwd")
        archive.writestr("lzma.png", good, zipfile.ZIP_LZMA)
        archive.writestr("folder/", b"")
        archive.writestr("__MACOSX/._a.png", b"resource fork")
        archive.writestr(".DS_Store", b"hidden")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("train/a/00.png", encoded(255))
    arrays = ImageZip(path="x.zip").load(tmp_path)
    assert sorted([*arrays.train[:, 0], *arrays.held_out[:, 0]]) == [20 * index for index in range(10)]
    assert left_out(cache) == {
        archives.OUTSIDE: 5,
        archives.NESTED: 1,
        archives.BOMB: 1,
        archives.LINK: 1,
        archives.PACKING: 1,
        archives.TWICE: 1,
        decode.EMPTY: 1,
        decode.NOT_IMAGE: 1,
    }


def test_encrypted_entries_are_left_out(contents, tmp_path, cache):
    path = packed(tmp_path / "x.zip", contents)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1  # the flag in the directory
    path.write_bytes(content)
    ImageZip().load(tmp_path)
    assert left_out(cache) == {archives.ENCRYPTED: 1}


def test_damage_in_an_entry_is_corrupt_or_truncated(contents, tmp_path, cache):
    path = packed(tmp_path / "x.zip", contents, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    at = content.index(b"IDAT")
    content[at + 8] ^= 0xFF  # the checksum of the entry does not hold any more
    path.write_bytes(content)
    ImageZip().load(tmp_path)
    assert left_out(cache) == {decode.CORRUPT: 1}


def test_entries_that_share_their_data_are_refused(tmp_path, encoded):
    # As in Fifield 2019, "A better zip bomb": many entries of the directory refer to the same bytes.
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("00.png", encoded(1, size=(64, 64)) + bytes(100_000))
    content = held.getvalue()
    at, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry = content[at:end]
    count = 50
    directory = b"".join(entry.replace(b"00.png", b"%02d.png" % number) for number in range(count))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), at, 0)
    (tmp_path / "x.zip").write_bytes(content[:at] + directory + tail)
    with pytest.raises(ConfigError, match="the files in the archive overlap"):
        ImageZip().load(tmp_path)


NO_ARCHIVES = {"text": b"hello", "nothing": b"", "half": None, "a header": b"PK\x03\x04" + bytes(30)}


@pytest.mark.parametrize("content", NO_ARCHIVES.values(), ids=NO_ARCHIVES.keys())
def test_what_is_no_archive_is_refused_in_one_line(content, contents, tmp_path):
    path = packed(tmp_path / "x.zip", contents)
    path.write_bytes(path.read_bytes()[:200] if content is None else content)
    with pytest.raises(ConfigError, match=r"x\.zip is not a zip archive that can be read \(.*\)\.$") as caught:
        ImageZip().load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_rewritten_archive_is_another_one(contents, tmp_path, encoded):
    packed(tmp_path / "x.zip", contents)
    option = ImageZip().resolve(tmp_path)
    packed(tmp_path / "x.zip", contents | {"train/a/00.png": encoded(5)})
    files._known.clear()
    with pytest.raises(ConfigError, match="are not those of the run"):
        option.load(tmp_path)
