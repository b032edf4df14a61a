"""Writes an output file of a command atomically."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ganrun.errors import GanrunError


def write_whole(out: Path, content: bytes | np.ndarray | dict[str, np.ndarray]) -> None:
    """Write ``content`` to a temporary file and rename it, so that ``out`` is either complete or unchanged.

    Args:
        out: the file. If it exists and is not a regular file, such as ``/dev/stdout``, it is written to directly.
        content: its bytes, an array for an .npy file, or arrays by name for an .npz file.

    Raises:
        GanrunError: the folder of ``out`` cannot be written.
    """
    try:
        if out.exists() and not out.is_file():  # such as /dev/stdout, which must not be replaced
            _save(out, content)
            return
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".ganrun-") as folder:
            _save(Path(folder) / out.name, content)
            (Path(folder) / out.name).replace(out)
    except OSError as error:
        raise GanrunError(f"cannot write {out}: {error.strerror}.") from error


def _save(path: Path, content: bytes | np.ndarray | dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        elif isinstance(content, dict):
            np.savez_compressed(file, **content)  # type: ignore[arg-type]
        else:
            np.save(file, content, allow_pickle=False)
