"""Bounds the size of the folder of compiled programs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

MAX = 2 << 30  # bytes of compiled programs to keep
LEFT = 0.8  # fraction of the maximum that is left, so that not every start has to delete


def bound(folder: Path, maximum: int = MAX) -> int:
    """Delete the least recently used files of ``folder`` if all files together exceed ``maximum`` bytes.

    Files that another process deletes meanwhile are skipped; subfolders and links are left alone.

    Returns:
        The number of bytes deleted.
    """
    files = []
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                status = path.stat(follow_symlinks=False)
                if path.is_file() and not path.is_symlink():
                    files.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    total = sum(size for _, size, _ in files)
    if total <= maximum:
        return 0
    deleted = 0
    for _, size, path in sorted(files, key=lambda file: file[0]):
        if total - deleted <= LEFT * maximum:
            break
        with suppress(OSError):
            path.unlink()
            deleted += size
    return deleted
