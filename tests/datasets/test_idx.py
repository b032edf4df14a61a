import gzip
import hashlib
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ganrun.datasets import idx
from ganrun.datasets.idx import read_idx, read_idx_hashed
from ganrun.errors import ConfigError


def idx_bytes(shape, payload=None, kind=0x08):
    header = struct.pack(f">2xBB{len(shape)}I", kind, len(shape), *shape)
    return header + (bytes(i % 251 for i in range(int(np.prod(shape)))) if payload is None else payload)


PLAIN = idx_bytes((3, 4, 5))
GZIPPED = gzip.compress(PLAIN, mtime=0)


def written(tmp_path, content, name="images"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", [PLAIN, GZIPPED], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_the_content_decides_how_a_file_is_read(tmp_path, content, name):
    images = read_idx(written(tmp_path, content, name))
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, np.arange(60).reshape(3, 4, 5) % 251)


@pytest.mark.parametrize("shape", [(7,), (2, 3), (2, 3, 4), (2, 3, 4, 2)])
def test_one_to_four_dimensions(tmp_path, shape):
    assert read_idx(written(tmp_path, idx_bytes(shape))).shape == shape


@pytest.mark.parametrize("content", [PLAIN, GZIPPED], ids=["plain", "gzip"])
def test_the_hash_is_that_of_the_decompressed_file(tmp_path, content):
    _, sha256 = read_idx_hashed(written(tmp_path, content))
    assert sha256 == hashlib.sha256(PLAIN).hexdigest()


def test_a_file_larger_than_one_read(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "CHUNK", 7)
    images, sha256 = read_idx_hashed(written(tmp_path, GZIPPED))
    assert images.tobytes() == PLAIN[16:]
    assert sha256 == hashlib.sha256(PLAIN).hexdigest()


FAULTS = {
    "empty": (b"", "the file is empty"),
    "empty gzip": (gzip.compress(b""), "the file is empty"),
    "not idx": (b"<html>", "not an idx file (it starts with 3c 68 74 6d)"),
    "three bytes": (b"\0\0\x08", "not an idx file"),
    "floats": (idx_bytes((2,), b"12345678", kind=0x0D), "its idx type is 0x0d; only 0x08"),
    "no dimensions": (b"\0\0\x08\0x", "names 0 dimensions; 1 to 4"),
    "five dimensions": (idx_bytes((1, 1, 1, 1, 1)), "names 5 dimensions; 1 to 4"),
    "header cut": (PLAIN[:11], "truncated inside the idx header"),
    "payload cut": (PLAIN[:-1], "truncated: the header promises 60 bytes of data and 59 are there"),
    "trailing": (PLAIN + b"x", "trailing bytes after the 60"),
    "trailing in gzip": (gzip.compress(PLAIN + b"x"), "trailing bytes after the 60"),
    "trailing after gzip": (GZIPPED + b"x", "the gzip data is damaged"),
    "zero dimension": (idx_bytes((0, 9)), "promises the shape (0, 9)"),
    "zero and huge": (idx_bytes((0, 2**32 - 1, 2**32 - 1, 2**32 - 1), b""), "promises the shape"),
    "above the limit": (idx_bytes((2**30 + 1,), b""), "promises the shape (1073741825,)"),
    "far above": (idx_bytes((2**32 - 1,) * 4, b""), "promises the shape"),
    "gzip magic only": (GZIPPED[:2], "the gzip data is truncated"),
    "gzip cut": (GZIPPED[:-12], "the gzip data is truncated"),
    "gzip checksum cut": (GZIPPED[:-4], "the gzip data is truncated"),
    "gzip checksum": (GZIPPED[:-8] + b"\0\0\0\0" + GZIPPED[-4:], "the gzip data is damaged (CRC check failed"),
    "gzip stream": (GZIPPED[:10] + b"\xff" * 20, "the gzip data is damaged"),
}


@pytest.mark.parametrize(("content", "reason"), FAULTS.values(), ids=FAULTS)
def test_each_fault_is_told_in_one_line(tmp_path, content, reason):
    path = written(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        read_idx(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize("name", [".", "absent"])
def test_what_is_no_file_is_told_too(tmp_path, name):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_idx(tmp_path / name)


def test_a_decompression_bomb_is_not_unpacked(tmp_path):
    bomb = written(tmp_path, gzip.compress(idx_bytes((5,)) + bytes(64 << 20)))
    promise = written(tmp_path, gzip.compress(idx_bytes((1 << 30,), b"short")), "promise")
    tracemalloc.start()
    try:
        for path, reason in ((bomb, "trailing bytes"), (promise, "truncated")):
            with pytest.raises(ConfigError, match=reason):
                read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


@st.composite
def mutated(draw):
    content = bytearray(draw(st.sampled_from([PLAIN, GZIPPED])))
    for _ in range(draw(st.integers(1, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(0, len(content)))]) + draw(st.binary(max_size=3))


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=64) | st.binary(max_size=40).map(lambda rest: b"\0\0\x08\x01" + rest) | mutated())
@example(PLAIN)
@example(b"\x1f\x8b\x08\xff" + b"\xff" * 30)
def test_any_bytes_give_an_array_or_a_config_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(content)
    try:
        images = read_idx(path)
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert images.dtype == np.uint8
        assert 1 <= images.ndim <= 4
