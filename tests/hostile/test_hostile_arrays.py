"""Sample files and pictures that a stranger made: numbers of bounded size, or refused in one line."""

from __future__ import annotations

import io
import pickle
import struct
import time
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from stranger import Payload, in_place_of

from ganrun.errors import ConfigError
from ganrun.latent_space.inputs import read_inputs


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def described(shape: str, descr: str = "'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


def objects(path) -> bytes:
    held = io.BytesIO()
    np.save(held, np.array([Payload(path)] * 200, dtype=object), allow_pickle=True)
    return held.getvalue()


def archive(content: bytes, name: str = "x.npy", more: tuple[str, ...] = ()) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
        for other in more:
            file.writestr(other, content)
    return held.getvalue()


ARRAYS = {
    "a shape beyond all memory": npy(described("(10000000000000, 2)")),
    "a shape that overflows": npy(described(f"({2**62}, {2**62}, {2**62})")),
    "a shape of a million sizes": npy(described("(" + 4000 * "1," + "2)")),
    "a negative shape": npy(described("(-1, 2)"), bytes(800)),
    "a call for a header": npy("__import__('os').system('true')"),
    "a call for a shape": npy(described("(__import__('os').getpid(), 2)")),
    "a call for a type": npy(described("(200, 2)", "__import__('os')"), bytes(1600)),
    "a power for a shape": npy(described("(9**9**9, 2)")),
    "many minus signs": npy(described("(" + 9000 * "-" + "1, 2)")),
    "many brackets": npy(9000 * "("),
    "many dictionaries": npy(1500 * "{1:" + "1" + 1500 * "}"),
    "a huge type": npy(described("(200,)", "'V2147483647'")),
    "a type of types": npy(described("(200,)", "[('a', '<f4', (1000000, 1000000))]")),
    "no text": b"\x93NUMPY\x01\x00\x10\x00" + 16 * b"\xff",
}


@pytest.mark.parametrize("command", ["jsd", "project"])
@pytest.mark.parametrize("content", ARRAYS.values(), ids=ARRAYS.keys())
def test_an_array_that_is_none_is_refused(command, content, stranger, tmp_path, refused):
    (tmp_path / "x.npy").write_bytes(content)
    (tmp_path / "x.npz").write_bytes(archive(content))
    for name in ("x.npy", "x.npz"):
        words = ("jsd", name, "ring") if command == "jsd" else ("sample", "run=stranger", f"project={name}")
        assert name in refused(*words)


@pytest.mark.parametrize("form", ["objects", "objects in an archive", "a pickle", "a pickle in an archive"])
def test_what_would_run_when_it_is_unpickled_is_never_unpickled(form, stranger, outside, tmp_path, refused):
    content = objects(outside / "canary") if form.startswith("objects") else pickle.dumps(Payload(outside / "canary"))
    name = "x.npz" if "archive" in form else "x.npy"
    (tmp_path / name).write_bytes(archive(content) if "archive" in form else content)
    for words in (("jsd", name, "ring"), ("sample", "run=stranger", f"reconstruct={name}", "out=y.npz")):
        assert "never loaded" in refused(*words)


def test_names_in_an_archive_that_lead_out_of_it_are_names(tmp_path, inside):
    held = io.BytesIO()
    np.save(held, np.random.default_rng(0).normal(size=(200, 2)))
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    names = ("../../evil.npy", "/tmp/ganrun-evil.npy", "../../evil.py", "..\\evil.npy", "\x1b[2J.npy")
    (deep / "x.npz").write_bytes(archive(held.getvalue(), names[0], names[1:]))
    done = inside("jsd", "x.npz", "ring", cwd=deep)
    assert done.returncode == 2 and "key=NAME" in done.stderr and "\x1b" not in done.stderr
    done = inside("jsd", "x.npz", "ring", "key=../../evil", "estimator=knn", "floor=false", cwd=deep)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["x.npz"]


def bomb(size: int) -> bytes:
    """An archive of ``size`` bytes of zeros, as an array."""
    held = io.BytesIO()
    header = npy(described(f"({size // 8}, 2)"))
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file, file.open("x.npy", "w", force_zip64=True) as member:
        member.write(header)
        for start in range(0, size, 1 << 24):
            member.write(bytes(min(1 << 24, size - start)))
    return held.getvalue()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, refused):
    (tmp_path / "x.npz").write_bytes(bomb(300 << 20))
    assert (tmp_path / "x.npz").stat().st_size < 1 << 20
    tracemalloc.start()
    assert "would unpack to" in refused("jsd", "x.npz", "ring")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.png"])
def test_what_is_no_file_is_refused_and_not_waited_for(name, kind, stranger, outside, tmp_path, refused):
    in_place_of(tmp_path / name, kind, outside)
    refused("sample", "run=stranger", f"project={name}")
    refused("jsd", name, "ring")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes, *more: bytes, depth: int = 8, colour: int = 0) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


ROWS = zlib.compress(9 * (b"\0" + bytes(8)))  # of a picture of 8 x 8 pixels, and one more
SQUARE = zlib.compress(8 * (b"\0" + bytes(8)))
ZEROS = zlib.compress(bytes(40 << 20), 9)
PICTURES = {
    "50 000 x 50 000 pixels": png(50_000, 50_000, ZEROS),
    "10 000 x 10 000 pixels": png(10_000, 10_000, ZEROS),
    "more pixels than there are": png(2**31 - 1, 2**31 - 1, SQUARE),
    "no pixels": png(0, 8, SQUARE),
    "no rows": png(8, 8, b""),
    "rows that are none": png(8, 8, b"\xff" * 50),
    "a filter that is none": png(8, 8, zlib.compress(8 * (b"\x09" + bytes(8)))),
    "a long comment": png(8, 8, SQUARE, chunk(b"zTXt", b"a\0\0" + ZEROS)),
    "a long international comment": png(8, 8, SQUARE, chunk(b"iTXt", b"a\0\x01\0\0\0" + ZEROS)),
    "a short header": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\0\0\0\x08"),
    "a colour that is none": png(8, 8, SQUARE, colour=5),
    "a chunk beyond the file": png(8, 8, SQUARE)[:40] + b"\x7f\xff\xff\xffIDAT",
    "a GIF": b"GIF89a" + bytes(20),
    "a program for a printer": b"%!PS-Adobe-3.0\n%%BoundingBox: 0 0 8 8\n",
    "nothing": b"",
}


@pytest.mark.parametrize("content", PICTURES.values(), ids=PICTURES.keys())
def test_a_picture_that_is_none_is_refused_and_not_unpacked(content, tmp_path):
    (tmp_path / "x.png").write_bytes(content)
    tracemalloc.start()
    begun = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        read_inputs(tmp_path / "x.png", None, (8, 8, 1))
    peak, took = tracemalloc.get_traced_memory()[1], time.monotonic() - begun
    tracemalloc.stop()
    assert len(str(caught.value).splitlines()) == 1 and "x.png" in str(caught.value)
    assert peak < 8 << 20 and took < 5


def test_pixels_beyond_the_last_row_are_never_unpacked(tmp_path):
    (tmp_path / "x.png").write_bytes(png(8, 8, ZEROS))
    tracemalloc.start()
    found = read_inputs(tmp_path / "x.png", None, (8, 8, 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (1, 8, 8, 1) and peak < 8 << 20


def test_links_in_circles_are_no_picture(stranger, tmp_path, refused):
    (tmp_path / "x.png").symlink_to("y.png")
    (tmp_path / "y.png").symlink_to("x.png")
    refused("sample", "run=stranger", "project=x.png")


def test_a_picture_cut_anywhere_is_a_picture_or_refused(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8), np.uint8)).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    for end in range(len(content)):
        (tmp_path / "x.png").write_bytes(content[:end])
        try:
            read_inputs(tmp_path / "x.png", None, (8, 8, 1))
        except ConfigError as error:
            assert len(str(error).splitlines()) == 1
