"""Images of an array file that is mapped into memory: which are held out, and the hash of all.

Both take a pass over the whole file, and are kept in the cache folder until its size or its time of change differs.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from pathlib import Path

import numpy as np

from ganrun.datasets.images.cache import datasets_folder
from ganrun.datasets.images.progress import progress
from ganrun.datasets.rows import Rows, blocks
from ganrun.datasets.split import held_out_of_ranks, rank_of
from ganrun.storage.run_directory import write_atomically
from ganrun.storage.safe_io import read_json

MAX_BYTES = 1 << 28  # of a file in the cache: enough for 10^9 images


def divided(
    place: Path, rows: np.ndarray, shape: tuple[int, ...], share: float
) -> tuple[np.ndarray | Rows, np.ndarray | Rows, str]:
    """Return the training and the held-out rows of ``rows``, and the hash of both, hexadecimal.

    They are those of :func:`ganrun.datasets.array.ArrayFile.load` for a file that is not mapped.

    Args:
        place: the file.
        rows: its images ``(n, prod(shape))``, mapped.
        shape: of one image.
        share: fraction of the images that are held out.
    """
    status = place.stat()
    key = repr((str(place.resolve()), status.st_mtime_ns, status.st_size, shape, share))
    cached = datasets_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.split.json"
    known = _read(cached, len(rows))
    if known is None:
        with progress(place.name, 2 * len(rows)) as advance:
            ranks = []
            for block in blocks(rows):
                ranks += [rank_of(row.tobytes()) for row in block]
                advance(len(block))
            mask = held_out_of_ranks(ranks, share)
            parts = Rows(rows, np.flatnonzero(~mask)), Rows(rows, np.flatnonzero(mask))
            digest = begun_digest(shape, len(parts[0]), rows.dtype.name)
            for part in parts:
                for block in blocks(part):
                    digest.update(block.data)
                    advance(len(block))
        known = mask, digest.hexdigest()[:16]
        _write(cached, *known)
    mask, content = known
    return Rows(rows, np.flatnonzero(~mask)), Rows(rows, np.flatnonzero(mask)), content


def begun_digest(
    shape: tuple[int, ...], train: int, dtype: str, scales: tuple[object, object] = ((), ())
) -> hashlib._Hash:
    """Return the hash of a dataset so far, before its examples.

    Args:
        shape: of one example.
        train: number of training examples.
        dtype: name of their type.
        scales: mean and standard deviation of each column of vectors.
    """
    return hashlib.sha256(repr((shape, train, dtype, *scales)).encode())


def _read(cached: Path, count: int) -> tuple[np.ndarray, str] | None:
    try:
        plain = read_json(cached, MAX_BYTES)
        bits = np.frombuffer(base64.b64decode(plain["held_out"], validate=True), np.uint8)
        mask, content = np.unpackbits(bits)[:count].astype(bool), str(plain["content"])
        return (mask, content) if len(mask) == count and mask.any() and not mask.all() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(cached: Path, mask: np.ndarray, content: str) -> None:
    """Keep the result; without a cache folder that can be written, the next start takes as long."""
    text = json.dumps({"held_out": base64.b64encode(np.packbits(mask).tobytes()).decode(), "content": content})
    with contextlib.suppress(OSError):
        cached.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cached, text)
