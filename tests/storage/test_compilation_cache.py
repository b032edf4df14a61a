"""The size of the folder of compiled programs."""

from __future__ import annotations

import os

from ganrun.storage.compilation_cache import bound


def fill(folder, sizes: dict[str, int]) -> None:
    """Write files of these sizes, each used a second after the one before."""
    for i, (name, size) in enumerate(sizes.items()):
        (folder / name).write_bytes(b"x" * size)
        os.utime(folder / name, (1000 + i, 1000 + i))


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_least_recently_used_programs_are_deleted(tmp_path):
    fill(tmp_path, {"old": 40, "read lately": 40, "new": 30})
    os.utime(tmp_path / "read lately", (2000, 1001))
    assert bound(tmp_path, maximum=100) == 40  # 110 bytes, and 80 may be left
    assert names(tmp_path) == {"read lately", "new"}


def test_a_folder_within_its_size_is_left_alone(tmp_path):
    fill(tmp_path, {"a": 60, "b": 40})
    assert bound(tmp_path, maximum=100) == 0 and names(tmp_path) == {"a", "b"}


def test_links_and_folders_are_left_alone(tmp_path):
    folder, outside = tmp_path / "cache", tmp_path / "outside"
    folder.mkdir()
    outside.write_bytes(b"x" * 500)
    (folder / "link").symlink_to(outside)
    (folder / "inner").mkdir()
    fill(folder, {"a": 200})
    assert bound(folder, maximum=100) == 200
    assert names(folder) == {"link", "inner"} and outside.exists()


def test_a_missing_folder_is_empty(tmp_path):
    assert bound(tmp_path / "none") == 0
