"""A data folder that a stranger filled: idx files of the size that is known, or refused in one line."""

from __future__ import annotations

import gzip
import http.server
import struct
import threading

import pytest
from stranger import TINY, in_place_of

from ganrun.datasets import download
from ganrun.datasets.download import fetch
from ganrun.datasets.images import FILES
from ganrun.errors import ConfigError

TRAIN = ("train", "dataset=mnist", "data_dir=data", "dataset.download=false", "steps=1", *TINY)
IMAGES, HELD_OUT = FILES.values()


def idx(shape: tuple[int, ...], data: bytes = b"", kind: int = 8) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape) + data


CONTENTS = {
    "a huge shape": idx((60_000, 28_000, 28_000)),
    "the largest shape": idx((2**32 - 1,) * 4),
    "a shape of one GiB": idx((1 << 30,)),
    "a bomb": gzip.compress(idx((1 << 26,)) + bytes(1 << 26)),
    "a bomb behind a small shape": gzip.compress(idx((60_000, 28, 28)) + bytes(1 << 27)),
    "a shape of one GiB in little": gzip.compress(idx((1 << 30,)) + bytes(1 << 26)),
    "no members": gzip.compress(b"") * 1000,
    "a long name": b"\x1f\x8b\x08\x08" + bytes(6) + 100_000 * b"x",
    "a pickle": b"\x80\x04cos\nsystem\n.",
    "an array of objects": b"\x93NUMPY\x01\x00",
    "nothing": b"",
}


@pytest.fixture
def data(tmp_path):
    """A folder that seems to hold MNIST."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    (folder / HELD_OUT).write_bytes(idx((10_000, 28, 28), bytes(10_000 * 28 * 28)))
    return folder


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_a_file_that_is_no_data_set_is_refused(content, data, refused):
    (data / IMAGES).write_bytes(content)
    assert IMAGES in refused(*TRAIN)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_not_there(kind, data, outside, refused):
    in_place_of(data / IMAGES, kind, outside)
    assert f"{IMAGES}[.gz] is missing" in refused(*TRAIN)


def test_links_in_circles_are_not_there(data, refused):
    (data / IMAGES).symlink_to(f"{IMAGES}.gz")
    (data / f"{IMAGES}.gz").symlink_to(IMAGES)
    assert f"{IMAGES}[.gz] is missing" in refused(*TRAIN)


def test_a_mirror_that_never_ends_is_left(tmp_path, monkeypatch):
    class Endless(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(1 << 16))
            except OSError:
                pass

        def log_message(self, *_):
            pass

    monkeypatch.setattr(download, "MAX", 1 << 20)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        with pytest.raises(ConfigError, match="sends more than 1048576 bytes"):
            fetch("x.gz", [f"http://127.0.0.1:{serving.server_address[1]}/"], tmp_path / "data")
        serving.shutdown()
        thread.join()
    assert list(tmp_path.iterdir()) == []
