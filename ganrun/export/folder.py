"""The folder of an export, which is written whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ganrun.errors import ConfigError, cannot_write, shown
from ganrun.storage import checksums
from ganrun.storage.run_directory import named_folder

# The files of an export, besides its checksums.
FILES = re.compile(
    r"(model|sample)\.(stablehlo|onnx)|model\.safetensors|config\.json|README\.md|samples\.png|SHA256SUMS"
)


def require_room(out: str, overwrite: bool) -> Path:
    """Return the folder ``out``.

    Raises:
        ConfigError: its parent does not exist or is not writable, it is not empty and ``overwrite`` is false, or it
            holds anything that no export writes.
    """
    folder = named_folder(out)
    parent = Path(os.path.abspath(folder)).parent  # noqa: PTH100 (the folder itself may be a link)
    if not parent.is_dir():
        raise ConfigError(f"out: there is no folder {parent}.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigError(f"out: {parent} cannot be written.")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ConfigError(f"out: {shown(out)} is not a folder.")
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if stray := next((name for name in names if not FILES.fullmatch(name)), None):
        raise ConfigError(f"out: {shown(out)} holds {shown(stray)}, which no export writes: choose another folder.")
    if names and not overwrite:
        raise ConfigError(f"out: {shown(out)} holds an export already: choose another folder, or add overwrite=true.")
    return folder


def write_folder(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """Write ``files``, contents by name, with their checksums to ``folder``, in place of an export that is there.

    They are written to a hidden folder beside it, which is then renamed. A kill leaves the old export or the new one;
    between the two renamings of a replacement, both are in the hidden folder.

    Returns:
        The names of all files of the folder, that of the checksums last.

    Raises:
        StorageError: the folder could not be written; the old export is still there.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".ganrun-", ignore_cleanup_errors=True) as hidden:
            new, old = Path(hidden) / "new", Path(hidden) / "old"
            checksums.write(new, files)
            if folder.exists():
                folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
    except OSError as error:
        raise cannot_write(error, folder) from error
    return [*files, checksums.SUMS]
