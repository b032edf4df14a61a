"""Decoded images in a folder of the cache: written once, completely or not at all, and mapped into memory.

The key of a folder is a hash of the names and stamps of all files, of the settings, and of the version of the decoder.
A folder contains ``train.bin`` and ``held_out.bin`` (rows of bytes), the labels likewise if there are some
(little-endian uint16), ``manifest.json``, and ``left_out.txt`` with the files that were left out.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from ganrun.config.folders import cache_folder
from ganrun.datasets.images.arrays import ImageArrays
from ganrun.errors import ConfigError, shown
from ganrun.storage.safe_io import read_json

FOLDER = "datasets"  # in the cache folder
MANIFEST = "manifest.json"
LEFT_OUT = "left_out.txt"
UNFINISHED = ".unfinished"
SPLITS = ("train", "held_out")
MAX_MANIFEST = 1 << 24  # bytes
STALE = 86_400  # seconds after which an unfinished folder is that of a process that was killed
LABEL = np.dtype("<u2")


@dataclass(frozen=True)
class Manifest:
    """The description of a folder.

    Attributes:
        shape: ``(height, width, channel)`` of an image.
        counts: number of images of each split.
        classes: names of the classes; empty without labels.
        content: hash of the images and labels, hexadecimal.
        left_out: number of files for each reason.
    """

    shape: tuple[int, int, int]
    counts: dict[str, int]
    classes: tuple[str, ...] = ()
    content: str = ""
    left_out: dict[str, int] = field(default_factory=dict)


def datasets_folder() -> Path:
    """Return the folder that contains the decoded images of all datasets."""
    return cache_folder() / FOLDER


def key_of(settings: Any, listing: Iterable[tuple[str, tuple[int, ...]]]) -> str:
    """Return the name of the folder for the files of ``listing``, names and stamps, with ``settings``."""
    digest = hashlib.sha256(repr(settings).encode())
    for name, stamp in listing:
        digest.update(os.fsencode(name) + b"\0" + repr(stamp).encode() + b"\n")
    return digest.hexdigest()[:32]


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of ``folder`` if it exists and its files have the sizes that it states, else None."""
    try:
        plain = read_json(folder / MANIFEST, MAX_MANIFEST)
        manifest = Manifest(
            tuple(plain["shape"]),
            {split: int(plain["counts"][split]) for split in SPLITS},
            tuple(plain["classes"]),
            str(plain["content"]),
            dict(plain["left_out"]),
        )
        row = math.prod(manifest.shape)
        for split, count in manifest.counts.items():
            if (folder / f"{split}.bin").stat().st_size != count * row:
                return None
            if manifest.classes and (folder / f"{split}_labels.bin").stat().st_size != count * LABEL.itemsize:
                return None
        return manifest
    except (OSError, ValueError, KeyError, TypeError):
        return None


def mapped(folder: Path, manifest: Manifest, labels: bool) -> ImageArrays:
    """Return the images of ``folder`` as arrays that are mapped into memory, with their labels if ``labels``."""
    row = math.prod(manifest.shape)
    arrays: dict[str, Any] = {
        split: np.memmap(folder / f"{split}.bin", np.uint8, "r", shape=(manifest.counts[split], row))
        for split in SPLITS
    }
    if labels and manifest.classes:
        arrays |= {f"{split}_labels": np.fromfile(folder / f"{split}_labels.bin", LABEL) for split in SPLITS}
    return ImageArrays(shape=manifest.shape, **arrays)


class Writer:
    """Writes a folder of the cache under a temporary name; :meth:`finish` renames it, :meth:`discard` removes it.

    Args:
        folder: the final folder.

    Raises:
        OSError: the cache folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: dict[str, int] = dict.fromkeys(SPLITS, 0)
        self._temporary = folder.with_name(f"{folder.name}.{os.getpid()}{UNFINISHED}")
        self._numbers: dict[str, int] = {}  # of the classes, in the order of their first appearance
        self._labels: dict[str, list[int]] = {split: [] for split in SPLITS}
        self._shape: tuple[int, int, int] = (0, 0, 0)
        # Of each split the image that moves to the other one if that is empty: the hash of its file, and its row.
        self._nearest: dict[str, tuple[int, int]] = {}
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent)
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir()
        self._files: dict[str, IO[bytes]] = {split: (self._temporary / f"{split}.bin").open("w+b") for split in SPLITS}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes so far, sorted."""
        return tuple(sorted(self._numbers))

    def add(self, image: np.ndarray, held_out: bool, rank: int, label: str | None) -> None:
        """Append ``image``, uint8 ``(height, width, channel)`` of the class ``label``; ``rank`` is the file's hash."""
        split = "held_out" if held_out else "train"
        nearest = self._nearest.get(split)
        if nearest is None or (rank > nearest[0] if held_out else rank < nearest[0]):
            self._nearest[split] = rank, self.counts[split]
        self._shape = image.shape  # type: ignore[assignment]
        self._files[split].write(image.tobytes())
        if label is not None:
            self._labels[split].append(self._numbers.setdefault(label, len(self._numbers)))
        self.counts[split] += 1

    def finish(self, left_out: list[tuple[str, str]]) -> Manifest:
        """Complete the folder; ``left_out`` are the names that were left out, each with the reason."""
        for split, other in (SPLITS, SPLITS[::-1]):
            if self.counts[other] == 0 and self.counts[split] > 1:
                self._move(self._nearest[split][1], split, other)
        self._write_labels()
        reasons = dict(sorted(Counter(reason for _, reason in left_out).items()))
        counts = {split: self.counts[split] for split in SPLITS}
        manifest = Manifest(self._shape, counts, self.classes, self._content(), reasons)
        lines = "".join(f"{reason}\t{shown(name, 4096)}\n" for name, reason in sorted(left_out))
        (self._temporary / LEFT_OUT).write_text(lines, encoding="utf-8")
        (self._temporary / MANIFEST).write_text(json.dumps(asdict(manifest)), encoding="utf-8")
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        if read_manifest(self.folder) is None:  # unless another process has written the same folder in the meantime
            shutil.rmtree(self.folder, ignore_errors=True)
            self._temporary.rename(self.folder)
        return manifest

    def discard(self) -> None:
        """Close the files, and remove what has been written under the temporary name."""
        for file in self._files.values():
            file.close()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _move(self, row: int, split: str, other: str) -> None:
        """Move image ``row`` of ``split`` to the ``other`` one, which is empty: there are few images."""
        file, size = self._files[split], math.prod(self._shape)
        file.seek(0)
        content = file.read()
        file.seek(0)
        file.truncate()
        file.write(content[: row * size] + content[(row + 1) * size :])
        self._files[other].write(content[row * size : (row + 1) * size])
        if self._labels[split]:
            self._labels[other].append(self._labels[split].pop(row))
        self.counts[split] -= 1
        self.counts[other] += 1

    def _write_labels(self) -> None:
        """Write the labels, which count the classes in the order of their names."""
        if not self._numbers:
            return
        sorted_number = {name: number for number, name in enumerate(self.classes)}
        numbers = np.array([sorted_number[name] for name in self._numbers], LABEL)
        for split in SPLITS:
            file = (self._temporary / f"{split}_labels.bin").open("w+b")
            self._files[f"{split}_labels"] = file
            file.write(numbers[np.array(self._labels[split], np.int64)].tobytes())

    def _content(self) -> str:
        """Return the hash of the images, their shape and their labels."""
        digest = hashlib.sha256(repr((self._shape, self.counts, self.classes)).encode("utf-8", "surrogateescape"))
        for name in sorted(self._files):
            file = self._files[name]
            file.flush()
            file.seek(0)
            digest.update(hashlib.file_digest(file, "sha256").digest())  # type: ignore[arg-type]
        return digest.hexdigest()[:16]


def sweep(parent: Path) -> None:
    """Delete the unfinished folders in ``parent`` that killed processes have left."""
    for path in parent.glob(f"*{UNFINISHED}"):
        try:
            if time.time() - path.stat().st_mtime > STALE:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue


def describe(left_out: Mapping[str, int]) -> str:
    """Return the counts of ``left_out`` as text: ``3 left out (2 corrupt, 1 truncated)``; empty if there are none."""
    parts = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    return f"{sum(left_out.values())} left out ({parts})" if left_out else ""


def cannot_cache(error: OSError) -> ConfigError:
    """Return the error for a cache folder that cannot be written."""
    return ConfigError(
        f"decoded images cannot be stored in {datasets_folder()} ({error.strerror or error}): "
        "set GANRUN_CACHE to a folder with enough room."
    )
