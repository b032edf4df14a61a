"""Files of weights by a stranger: no code, no memory beyond their size, and one line."""

import json
import os
import struct

import pytest

from ganrun.errors import ConfigError
from ganrun.evaluation.features import inception
from ganrun.evaluation.features.inception import read_inception


def of_header(header, content=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


ONE = {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}
HOSTILE = {
    "nothing": b"",
    "a header longer than the file": struct.pack("<Q", 1 << 40) + b"{}",
    "no JSON": struct.pack("<Q", 4) + b"{{{{",
    "an array beyond the file": of_header({"a": ONE}),
    "arrays that overlap": of_header(
        {name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for name in "ab"}, bytes(8)
    ),
    "a pickle": b"\x80\x04\x95\x20\0\0\0\0\0\0\0cos\nsystem\n(S'touch owned'\ntR.",
    "an archive": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_file_of_weights_is_refused_in_a_line(kind, tmp_path):
    path = tmp_path / "weights\x1b[2J.safetensors"
    path.write_bytes(HOSTILE[kind])
    with pytest.raises(ConfigError, match=r"^weights: .*it is not a safetensors file") as caught:
        read_inception(path)
    assert str(caught.value).isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["weights\x1b[2J.safetensors"]


def test_a_pipe_does_not_block_and_a_large_file_is_not_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="Not a regular file"):
        read_inception(tmp_path / "pipe")
    monkeypatch.setattr(inception, "MAX_BYTES", 10)
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(ConfigError, match="larger than 10 bytes"):
        read_inception(tmp_path / "large")
