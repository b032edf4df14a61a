"""Bounds the size of the cache of decoded images: the least recently used datasets are deleted first.

A process that has opened a dataset holds a shared lock on its folder until it ends, however it ends. Only a folder
that no process holds is deleted.
"""

from __future__ import annotations

import fcntl
import math
import os
import shutil
from contextlib import suppress
from pathlib import Path

from ganrun.errors import ConfigError, shown

VARIABLE = "GANRUN_DATASETS_GIB"
MAX_GIB = 32.0  # GiB of decoded images to keep
DELETED = ".unfinished"  # ends the name of a folder that is being deleted, which a later process then removes
_held: dict[str, int] = {}  # descriptors of the folders that this process uses, by their path


def maximum() -> float:
    """Return the maximum bytes of decoded images to keep: ``$GANRUN_DATASETS_GIB``, infinite if it is ``off``.

    Raises:
        ConfigError: the variable is neither a number of GiB nor ``off``.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if text.lower() == "off":
        return math.inf
    try:
        gib = float(text) if text else MAX_GIB
    except ValueError:
        gib = math.nan
    if not gib >= 0:
        raise ConfigError(f"{VARIABLE} must be a number of GiB, or off, not '{shown(text)}'.")
    return gib * 2**30


def hold(folder: Path) -> bool:
    """Keep ``folder`` from being deleted until this process ends; return whether it is there."""
    key = str(folder)
    if key in _held:
        if _is(_held[key], folder):
            return True
        os.close(_held.pop(key))  # it was deleted by hand
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    with suppress(OSError):  # a file system without locks
        fcntl.flock(number, fcntl.LOCK_SH)
    if not _is(number, folder):  # deleted since it was opened
        os.close(number)
        return False
    _held[key] = number
    return True


def bound(parent: Path, most: float) -> list[str]:
    """Delete the least recently used folders in ``parent`` while all of them together take more than ``most`` bytes.

    Folders that a process uses are left alone, and so is what is unfinished or no folder.

    Returns:
        The names of the deleted folders.
    """
    folders = []
    with suppress(OSError):
        for path in parent.iterdir():
            with suppress(OSError):
                if path.is_dir() and not path.is_symlink() and not path.name.endswith(DELETED):
                    size = sum(file.stat(follow_symlinks=False).st_size for file in path.iterdir())
                    folders.append((path.stat().st_mtime, size, path))
    total = sum(size for _, size, _ in folders)
    deleted = []
    for _, size, path in sorted(folders, key=lambda folder: folder[0]):
        if total <= most:
            break
        if _deleted(path):
            total -= size
            deleted.append(path.name)
    return deleted


def _deleted(folder: Path) -> bool:
    """Delete ``folder`` unless a process uses it; return whether it was deleted."""
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden = folder.with_name(f"{folder.name}.{os.getpid()}{DELETED}")
        folder.rename(hidden)  # at once, so that no process opens a part of it
        shutil.rmtree(hidden, ignore_errors=True)
    except OSError:  # in use, deleted by another process, or a file system without locks
        return False
    finally:
        os.close(number)
    return True


def _is(number: int, folder: Path) -> bool:
    """Return whether the open descriptor ``number`` is that of ``folder``."""
    try:
        return os.path.samestat(os.fstat(number), folder.stat())
    except OSError:
        return False
