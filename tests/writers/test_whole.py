"""A file that a command writes is whole or as it was."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ganrun.errors import GanrunError
from ganrun.writers.whole import write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_kind_of_content_is_read_back(tmp_path):
    write_whole(tmp_path / "x.png", b"bytes")
    write_whole(tmp_path / "x.npy", np.arange(3))
    write_whole(tmp_path / "x.npz", {"a": np.arange(4)})
    assert (tmp_path / "x.png").read_bytes() == b"bytes"
    assert np.load(tmp_path / "x.npy").tolist() == [0, 1, 2]
    with np.load(tmp_path / "x.npz") as file:
        assert file["a"].tolist() == [0, 1, 2, 3]
    assert names(tmp_path) == ["x.npy", "x.npz", "x.png"]


def test_what_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "x.npy").write_bytes(b"kept")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(GanrunError, match=r"cannot write .*x\.npy: No space left on device\."):
        write_whole(tmp_path / "x.npy", np.arange(3))
    assert names(tmp_path) == ["x.npy"] and (tmp_path / "x.npy").read_bytes() == b"kept"


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with os.fdopen(os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        write_whole(tmp_path / "pipe", b"bytes")
        assert reader.read() == b"bytes"
    assert not (tmp_path / "pipe").is_file() and names(tmp_path) == ["pipe"]
