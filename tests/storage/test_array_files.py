"""Files of numbers: what is read from them, and how every bad one is told."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganrun.config.registry import options
from ganrun.errors import ConfigError
from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.evaluation.divergence.open_distribution import open_distribution
from ganrun.storage import array_files
from ganrun.storage.array_files import read_array, require_array

POINTS = np.random.default_rng(0).normal(size=(120, 2)).astype(np.float32)


def npy(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(save=np.savez, **arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def packed(content: bytes, name: str = "x.npy", **options) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    """An .npy file whose header says ``text``, right or wrong."""
    block = text.encode("latin1")
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(block)) + block + data


def described(shape: str, descr: str = "'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"


def claims_larger(content: bytes, size: int) -> bytes:
    """Change what the archive's directory says of the size of its only member."""
    start = content.rindex(b"PK\x01\x02") + 24
    return content[:start] + struct.pack("<I", size) + content[start + 4 :]


@pytest.fixture
def put(tmp_path):
    def write(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    "array",
    [
        POINTS,
        POINTS.astype(">f8"),
        np.asfortranarray(POINTS),
        POINTS[:, 0],
        POINTS.astype(np.float16),
        np.arange(600, dtype=np.int64).reshape(100, 3, 2),
        np.zeros((100, 4, 4, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
@pytest.mark.parametrize("kind", ["npy", "npz", "deflated"])
def test_a_good_file_gives_its_numbers_in_native_c_order(array, kind, put):
    contents = {"npy": npy(array), "npz": npz(x=array), "deflated": npz(np.savez_compressed, x=array)}
    path = put("x.npy" if kind == "npy" else "x.NPZ", contents[kind])
    require_array(path)
    found = read_array(path)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("=") and found.flags.c_contiguous


def test_the_key_chooses_an_array_of_an_archive(put):
    path = put("x.npz", npz(first=POINTS, other=POINTS + 1))
    np.testing.assert_array_equal(read_array(path, "other"), POINTS + 1)
    single = put("y.npz", npz(only=POINTS))
    np.testing.assert_array_equal(read_array(single), read_array(single, "only"))


OBJECTS = np.array([None] * 200)
RECORDS = np.zeros(200, [("x", "f4"), ("y", "f4")])
WHOLE = npy(POINTS)
BAD = {
    "an empty file": ("x.npy", b"", ["is empty"]),
    "an empty archive file": ("x.npz", b"", ["is empty"]),
    "text": ("x.npy", b"1,2\n3,4\n", ["not an .npy file", "31 2c 32"]),
    "text as an archive": ("x.npz", b"1,2\n3,4\n", ["not an .npz archive", "31 2c 32"]),
    "an archive called npy": ("x.npy", npz(x=POINTS), ["an archive", "name it .npz"]),
    "an array called npz": ("x.npz", WHOLE, ["a single array", "name it .npy"]),
    "a pickle": ("x.npy", pickle.dumps([1.0] * 200), ["a pickle", "never loaded"]),
    "objects": ("x.npy", npy(OBJECTS, allow_pickle=True), ["Python objects", "never loaded"]),
    "objects in an archive": ("x.npz", packed(npy(OBJECTS, allow_pickle=True)), ["Python objects", "never loaded"]),
    "a pickle in an archive": ("x.npz", packed(pickle.dumps([1.0] * 200)), ["a pickle", "never loaded"]),
    "records": ("x.npy", npy(RECORDS), ["named fields"]),
    "complex numbers": ("x.npy", npy(POINTS.astype(np.complex64)), ["complex numbers", "complex64"]),
    "booleans": ("x.npy", npy(POINTS > 0), ["true and false"]),
    "text in an array": ("x.npy", npy(np.array(["a"] * 200)), ["holds text"]),
    "bytes in an array": ("x.npy", npy(np.array([b"a"] * 200)), ["holds text"]),
    "dates": ("x.npy", npy(np.zeros(200, "M8[s]")), ["dates"]),
    "raw bytes": ("x.npy", npy(np.zeros(200, "V4")), ["raw bytes"]),
    "a single number": ("x.npy", npy(np.float32(1)), ["a single number"]),
    "no rows": ("x.npy", npy(np.zeros((0, 2))), ["empty", "(0, 2)"]),
    "no columns": ("x.npy", npy(np.zeros((200, 0))), ["empty", "(200, 0)"]),
    "a cut header": ("x.npy", WHOLE[:40], ["truncated inside its header"]),
    "a cut magic": ("x.npy", WHOLE[:7], ["truncated inside its header"]),
    "cut numbers": ("x.npy", WHOLE[:-5], ["truncated", "promises 960 bytes (120, 2) and 955 are there"]),
    "more than one array": ("x.npy", WHOLE + WHOLE, ["more than one array"]),
    "a cut archive": ("x.npz", npz(x=POINTS)[:-30], ["damaged or truncated"]),
    "cut numbers in an archive": ("x.npz", packed(WHOLE[:-5]), ["truncated", "955"]),
    "an archive of text": ("x.npz", packed(b"hello", "readme.txt"), ["holds no array"]),
    "an empty archive": ("x.npz", b"PK\x05\x06" + bytes(18), ["holds no array"]),
    "several arrays": ("x.npz", npz(left=POINTS, right=POINTS[:5]), ["key=NAME", "left (120 x 2), right (5 x 2)"]),
    "another packing": ("x.npz", packed(WHOLE, compression=zipfile.ZIP_BZIP2), ["numpy does not write"]),
    "a huge shape": ("x.npy", header(described("(1000000000, 1000)")), ["GiB of numbers", "at most 8.0 GiB"]),
    "an absurd shape": ("x.npy", header(described(f"({10**400}, {10**400})")), ["a million GiB"]),
    "a negative shape": ("x.npy", header(described("(-120, -2)"), POINTS.tobytes()), ["the shape (-120, -2)"]),
    "a shape beyond the file": ("x.npy", header(described("(5000, 2)"), POINTS.tobytes()), ["40000", "960"]),
    "a header that is no dict": ("x.npy", header("[1, 2]\n"), ["header cannot be understood"]),
    "a header of brackets": ("x.npy", header("(" * 9000), ["header cannot be understood"]),
    "a long header": ("x.npy", header(" " * 60000), ["60000 bytes"]),
    "a header that promises 4 GiB": ("x.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff", ["4294967295 bytes"]),
    "a future format": ("x.npy", b"\x93NUMPY\x09\x00" + bytes(100), [".npy format 9.0"]),
    "a type that is none": ("x.npy", header(described("(9,)", "'hello'")), ["header cannot be understood"]),
    "a size that is wrong": ("x.npz", claims_larger(npz(x=POINTS), 2**20), ["more than one array"]),
}


@pytest.mark.parametrize(("name", "content", "hints"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_told_in_one_line(name, content, hints, put):
    path = put(name, content)
    with pytest.raises(ConfigError) as caught:
        read_array(path)
    told = str(caught.value)
    assert told.startswith(str(path)) and "\n" not in told and len(told) < 1000
    assert told[-1] in ".?" and told[-2] not in ".?"
    for hint in hints:
        assert hint in told


def test_what_headers_show_is_told_without_reading_the_numbers(put):
    for name, content, _ in BAD.values():
        with pytest.raises(ConfigError):
            require_array(put(name, content))


def test_a_wrong_key_names_the_closest_and_lists_what_there_is(put):
    path = put("x.npz", npz(train=POINTS, test=POINTS[:5]))
    told = r"array 'tset': there .*Did you mean 'test'\? It has train \(120 x 2\), test \(5 x 2\)\.$"
    with pytest.raises(ConfigError, match=told):
        read_array(path, "tset")


def test_a_damaged_checksum_is_found(put):
    content = bytearray(npz(x=POINTS))
    at = content.index(POINTS.tobytes()[:16])
    content[at] ^= 1
    with pytest.raises(ConfigError, match="damaged or truncated"):
        read_array(put("x.npz", bytes(content)))


def test_an_encrypted_archive_is_refused(put):
    content = bytearray(npz(x=POINTS))
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    content[6] |= 1
    with pytest.raises(ConfigError, match="encrypted"):
        read_array(put("x.npz", bytes(content)))


def test_what_unpacks_beyond_the_limit_is_refused_before_it_is_unpacked(put, monkeypatch):
    monkeypatch.setattr(array_files, "LIMIT", 1 << 20)
    path = put("x.npz", npz(np.savez_compressed, x=np.zeros((1 << 20, 2), np.float32)))
    assert path.stat().st_size < 1 << 14
    tracemalloc.start()
    with pytest.raises(ConfigError, match="would unpack to"):
        read_array(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_an_archive_that_claims_more_than_the_limit_is_refused(put, monkeypatch):
    monkeypatch.setattr(array_files, "LIMIT", 2 << 30)
    with pytest.raises(ConfigError, match=r"would unpack to 4\.0 GiB; at most 2\.0 GiB"):
        read_array(put("x.npz", claims_larger(npz(x=POINTS), 0xFFFFFFF0)))


def test_bytes_count_as_the_floats_that_they_become(put, monkeypatch):
    monkeypatch.setattr(array_files, "LIMIT", 3000)
    with pytest.raises(ConfigError, match="promises"):
        read_array(put("x.npy", npy(np.zeros((1000, 1), np.uint8))))


def test_a_folder_or_a_pipe_is_no_file(tmp_path):
    (tmp_path / "folder.npy").mkdir()
    os.mkfifo(tmp_path / "pipe.npy")
    for name in ("folder.npy", "pipe.npy"):
        with pytest.raises(ConfigError, match="not a file"):
            read_array(tmp_path / name)


SEEDS = {
    ".npy": [WHOLE, npy(POINTS.astype(">i4")), npy(np.zeros((100, 2, 2), np.uint8))],
    ".npz": [npz(x=POINTS), npz(np.savez_compressed, x=POINTS), npz(a=POINTS, b=POINTS[:1])],
}
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["set", "cut", "insert", "drop", "number"]), st.binary(max_size=8)),
    min_size=1,
    max_size=5,
)


def edited(content: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    for where, how, new in edits:
        # Most of what can go wrong lies in the first bytes of a file (.npy) or the last (.npz).
        at = int(where * (len(content) - 1)) if how != "number" else int(where * min(160, len(content)))
        if how == "set":
            content = content[:at] + new + content[at + len(new) :]
        elif how == "cut":
            content = content[:at]
        elif how == "insert":
            content = content[:at] + new + content[at:]
        elif how == "drop":
            content = content[:at] + content[at + len(new) :]
        else:
            content = content[:at] + b"9" * len(new) + content[at + len(new) :]
        if not content:
            return content
    return content


@pytest.mark.parametrize("suffix", SEEDS)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_bytes_a_file_is_a_side_or_an_error_in_one_line(suffix, data, tmp_path):
    options("dataset")  # imports JAX, which is not to be measured
    path = tmp_path / f"x{suffix}"
    path.write_bytes(edited(data.draw(st.sampled_from(SEEDS[suffix])), data.draw(EDITS)))
    tracemalloc.start()
    try:
        side = open_distribution(str(path), key=data.draw(st.sampled_from([None, "a"])), data_dir=None)
        assert isinstance(side, Distribution) and side.rows is not None and side.rows.shape[1] == side.d
        assert np.isfinite(side.rows).all()
    except ConfigError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16 << 20


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.one_of(
        st.text(max_size=30), st.lists(st.integers(-5, 2**70), max_size=70).map(lambda all: str(tuple(all)))
    ),
    descr=st.one_of(
        st.text(max_size=20).map(repr),
        st.text(alphabet="<>|=fiubcOSUVMm0123456789,()[]'", max_size=12).map(repr),
        st.sampled_from(["[('a', '<f4')]", "('<f4', (3,))", "None", "1", "'O'", "['<f4']"]),
    ),
    version=st.sampled_from([1, 2, 3]),
)
def test_whatever_a_header_says_it_is_an_array_or_an_error_in_one_line(shape, descr, version, tmp_path):
    path = tmp_path / "x.npy"
    text = described(shape, descr).encode("utf-8").decode("latin1")
    path.write_bytes(header(text, POINTS.tobytes(), version))
    try:
        assert read_array(path).size
    except ConfigError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
