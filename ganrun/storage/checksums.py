"""Folders with checksums: written atomically, and verified byte for byte when they are read.

Each folder contains ``SHA256SUMS``, which ``sha256sum -c SHA256SUMS`` can check. A folder is written under a temporary
name, synced to disk and renamed, so a kill or a power cut at any moment leaves the previous content.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from ganrun.errors import shown
from ganrun.storage.safe_io import open_file

SUMS = "SHA256SUMS"
UNFINISHED = ".unfinished"  # suffix of a folder that is being written
LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_][A-Za-z0-9_.]*)")
MAX_SUMS = 1 << 16  # bytes of SHA256SUMS


class Damaged(Exception):
    """A folder with checksums has changed since it was written; the message names the file and the problem."""


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files``, contents by name, to ``folder`` with checksums.

    ``folder`` must not exist, its parent must.

    Raises:
        OSError: the folder could not be written; nothing of it is left.
    """
    temporary = folder.with_name(folder.name + UNFINISHED)
    shutil.rmtree(temporary, ignore_errors=True)
    sums = _listed({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})
    try:
        temporary.mkdir()
        for name, content in {**files, SUMS: sums.encode()}.items():
            with (temporary / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        _sync(temporary)
        temporary.rename(folder)
        _sync(folder.parent)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read(folder: Path, limits: Mapping[str, int]) -> dict[str, bytes]:
    """Return the contents of the files of ``folder`` by name, after verifying their checksums.

    ``limits`` is the maximum size of each file in bytes.

    Raises:
        Damaged: a file is missing, unknown, too large, or has changed since it was written.
        OSError: a file cannot be read.
    """
    sums = _sums(folder)
    if unknown := sorted({path.name for path in folder.iterdir()} - sums.keys() - {SUMS}):
        raise Damaged(f"{shown(unknown[0])} does not belong to it")
    files = {}
    for name, digest in sums.items():
        if name not in limits:
            raise Damaged(f"{SUMS} names {name}, which no such folder has")
        files[name] = _content(folder / name, limits[name])
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise Damaged(f"{name} is not as it was written (its SHA-256 differs)")
    return files


def is_whole(folder: Path) -> bool:
    """Return whether ``folder`` was written completely; its files may have changed since."""
    return not folder.name.endswith(UNFINISHED) and folder.is_dir()


def sweep(parent: Path) -> None:
    """Delete the unfinished folders that killed processes have left in ``parent``."""
    for path in parent.glob(f"*{UNFINISHED}"):
        shutil.rmtree(path, ignore_errors=True)


def _sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 digest of each file by its name."""
    text = _content(folder / SUMS, MAX_SUMS).decode("ascii", errors="replace")
    sums = {match[2]: match[1] for match in LINE.finditer(text)}
    if not sums or _listed(sums) != text:
        raise Damaged(f"{SUMS} is not as it was written")
    return sums


def _listed(sums: Mapping[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items())


def _content(path: Path, limit: int) -> bytes:
    try:
        with open_file(path) as file:
            content = file.read(limit + 1)
    except FileNotFoundError as error:
        raise Damaged(f"{path.name} is missing") from error
    if len(content) > limit:
        raise Damaged(f"{path.name} is larger than it can be ({limit} bytes)")
    return content


def _sync(folder: Path) -> None:
    """Sync the directory entries of ``folder`` to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
