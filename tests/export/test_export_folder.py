"""The folder of an export: written whole or not at all, and never in place of anything else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ganrun.errors import ConfigError, StorageError
from ganrun.export.folder import require_room, write_folder

OLD, NEW = {"config.json": b"old"}, {"config.json": b"new", "model.stablehlo": b"\x00"}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_has_the_files_and_their_checksums(tmp_path):
    write_folder(tmp_path / "out", NEW)
    sums = b"".join(f"{hashlib.sha256(NEW[name]).hexdigest()}  {name}\n".encode() for name in NEW)
    assert content(tmp_path / "out") == {**NEW, "SHA256SUMS": sums}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_filled_and_an_export_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    write_folder(require_room(str(tmp_path / "out"), False), OLD)
    with pytest.raises(ConfigError, match="holds an export already: choose another folder, or add overwrite=true"):
        require_room(str(tmp_path / "out"), False)
    write_folder(require_room(str(tmp_path / "out"), True), NEW)
    assert content(tmp_path / "out")["config.json"] == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_with_anything_else_is_never_replaced(tmp_path):
    write_folder(tmp_path / "out", OLD)
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"holds thesis\.txt, which no export writes"):
        require_room(str(tmp_path / "out"), True)


@pytest.mark.parametrize("kind", ["file", "link", "nowhere", "long"])
def test_what_is_no_folder_is_refused(kind, tmp_path):
    path = tmp_path / "out"
    if kind == "file":
        path.write_text("")
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "nowhere":
        path = tmp_path / "no" / "out"
    else:
        path = tmp_path / ("x" * 300)
    with pytest.raises(ConfigError):
        require_room(str(path), True)


def test_a_failure_leaves_the_old_export_and_nothing_else(tmp_path, monkeypatch):
    write_folder(tmp_path / "out", OLD)
    before = content(tmp_path / "out")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "new" and Path(target).name == "out":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(StorageError, match="No space left"):
        write_folder(tmp_path / "out", NEW)
    assert content(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ganrun.storage.checksums.os.fsync", full)
    with pytest.raises(StorageError):
        write_folder(tmp_path / "out", NEW)
    assert list(tmp_path.iterdir()) == []
