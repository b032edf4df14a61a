"""CIFAR-10 and CIFAR-100 from their published binary archives, which are read in place."""

from __future__ import annotations

import dataclasses
import gzip
import tarfile
from pathlib import Path
from typing import ClassVar

import numpy as np

from ganrun.config.registry import choice, register
from ganrun.datasets import download
from ganrun.datasets.download import announce
from ganrun.datasets.idx import refusing
from ganrun.datasets.images.arrays import ImageArrays
from ganrun.datasets.images.mnist import is_file
from ganrun.errors import ConfigError, shown
from ganrun.storage.safe_io import open_file, read_bytes

MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
SIDE, CHANNELS = 32, 3
PIXELS = SIDE * SIDE * CHANNELS
MAX_MEMBERS = 100  # entries of an archive that are looked at; the published ones have less than ten
MAX_MEMBER = 1 << 28  # bytes of an entry
MAX_PADDING = 1 << 20  # bytes of zeros after the last entry


@dataclasses.dataclass(frozen=True)
class CifarImages:
    """32x32 colour images in the binary format of CIFAR, downloaded if missing: the base class of both datasets.

    A file is a sequence of records: the labels, one byte each, then the red, green and blue planes of an image.
    """

    name: str
    download: bool = True
    mirrors: tuple[str, ...] = dataclasses.field(default_factory=lambda: MIRRORS)
    flip: bool = False

    archive: ClassVar[str]
    md5: ClassVar[str]
    folder: ClassVar[str]  # in the archive
    files: ClassVar[dict[str, tuple[str, ...]]]
    records: ClassVar[dict[str, int]]  # examples in each file of a split
    label_bytes: ClassVar[int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(height, width, channel)`` of one example."""
        return SIDE, SIDE, CHANNELS

    @property
    def examples(self) -> int:
        """Number of training examples."""
        return self.records["train"] * len(self.files["train"])

    @property
    def classes(self) -> int:
        """Number of classes."""
        return 10

    @property
    def label_column(self) -> int:
        """Index of the byte of a record that is the label."""
        return 0

    def find(self, data_dir: Path, labels: bool = False) -> dict[str, Path]:
        """Return the path of each split: its first file, or the archive. The labels are in the same files."""
        del labels
        found = {}
        for split, names in self.files.items():
            folders = self._folders(data_dir)
            whole = [folder for folder in folders if all(is_file(folder / name) for name in names)]
            archives = [folder / self.archive for folder in folders if is_file(folder / self.archive)]
            paths = [folder / names[0] for folder in whole] + archives
            if paths:
                found[split] = paths[0]
        return found

    def check(self, data_dir: Path, labels: bool = False) -> None:
        """Ensure that the files exist: download the archive into ``data_dir/<name>/`` if one is missing.

        Raises:
            ConfigError: a file is missing, and the archive may not or cannot be downloaded.
        """
        if len(self.find(data_dir, labels)) == len(self.files):
            return
        if not self.download:
            raise self._missing(data_dir, "dataset.download is false, or the run is resumed.")
        announce(self.name, self.archive, data_dir / self.name)
        try:
            folder = data_dir / self.name
            download.fetch(self.archive, self.mirrors, folder, self.md5 or None, verify=self._from_archive)
        except ConfigError as error:
            raise self._missing(data_dir, str(error)) from error

    def load(self, data_dir: Path, labels: bool = False) -> ImageArrays:
        """Return the images, and with ``labels`` also their labels.

        Raises:
            ConfigError: a file is missing or damaged.
        """
        self.check(data_dir, labels)
        found = self.find(data_dir, labels)
        packed = {path for path in found.values() if path.name == self.archive}
        contents = self._from_archive(packed.pop()) if packed else {}
        arrays: dict[str, np.ndarray] = {}
        for split, names in self.files.items():
            path = found[split]
            if path.name != self.archive:
                contents |= {name: self._from_file(split, path.with_name(name)) for name in names}
            records = np.concatenate([self._records(contents[name]) for name in names])
            # Planes to pixels: the channel is the last axis everywhere else.
            planes = records[:, self.label_bytes :].reshape(-1, CHANNELS, SIDE, SIDE)
            arrays[split] = planes.transpose(0, 2, 3, 1).reshape(-1, PIXELS)
            if labels:
                arrays[f"{split}_labels"] = self._labels(path, records[:, self.label_column])
        return ImageArrays(shape=self.shape, **arrays)

    def _folders(self, data_dir: Path) -> tuple[Path, ...]:
        return data_dir / self.name, data_dir / self.name / self.folder, data_dir / self.folder, data_dir

    def _size(self, split: str) -> int:
        """Return the bytes of each file of ``split``."""
        return self.records[split] * (self.label_bytes + PIXELS)

    def _records(self, content: bytes) -> np.ndarray:
        return np.frombuffer(content, np.uint8).reshape(-1, self.label_bytes + PIXELS)

    def _labels(self, path: Path, labels: np.ndarray) -> np.ndarray:
        if (largest := int(labels.max())) >= self.classes:
            raise ConfigError(f"{path}: holds the label {largest}; those of {self.name} are 0..{self.classes - 1}.")
        return np.ascontiguousarray(labels)

    def _from_file(self, split: str, path: Path) -> bytes:
        with refusing(str(path)):
            content = read_bytes(path, self._size(split))
            if len(content) != self._size(split):
                raise ValueError(f"it has {len(content)} bytes; that of {self.name} has {self._size(split)}")
            return content

    def _from_archive(self, path: Path) -> dict[str, bytes]:
        """Return the contents of the files of the dataset in the archive ``path``, by name. Nothing is extracted."""
        sizes = {name: self._size(split) for split, names in self.files.items() for name in names}
        found: dict[str, bytes] = {}
        with refusing(shown(str(path))):
            try:
                with open_file(path) as file, gzip.GzipFile(fileobj=file) as unpacked:
                    with tarfile.open(fileobj=unpacked, mode="r|") as archive:
                        for number, member in enumerate(archive):
                            if number >= MAX_MEMBERS or member.size > MAX_MEMBER:
                                raise ValueError(f"it is not the archive of {self.name}")
                            folder, _, name = member.name.removeprefix("./").rpartition("/")
                            if folder == self.folder and name in sizes and name not in found:
                                found[name] = _content(archive, member, sizes[name])
                    # gzip verifies its checksum at the end, which is behind the padding of the archive.
                    if len(unpacked.read(MAX_PADDING)) == MAX_PADDING:
                        raise ValueError("there are trailing bytes after the archive")
            except tarfile.TarError as error:
                raise ValueError(f"the archive is damaged ({error})") from error
            if missing := sorted(sizes.keys() - found.keys()):
                raise ValueError(f"the archive has no {self.folder}/{missing[0]}")
        return found

    def _missing(self, data_dir: Path, reason: str) -> ConfigError:
        source = f"{self.mirrors[0].rstrip('/')}/{self.archive}" if self.mirrors else "a mirror"
        return ConfigError(
            f"{self.name}: {self.archive} is missing in {data_dir / self.name} and {data_dir}; {reason}\n"
            f"Set data_dir=... or $GANRUN_DATA to a folder that holds {self.name}/, "
            f"or put {source} into {data_dir / self.name}."
        )


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, size: int) -> bytes:
    """Return the content of ``member``, a regular file of ``size`` bytes; raise ValueError if it is none."""
    stream = archive.extractfile(member) if member.isreg() and member.size == size else None
    content = stream.read(size) if stream is not None else b""
    if len(content) != size:
        raise ValueError(f"{shown(member.name)} has {member.size} bytes; the published file has {size}")
    return content


@register("dataset", "cifar10")
@dataclasses.dataclass(frozen=True)
class Cifar10(CifarImages):
    """CIFAR-10: 50 000 + 10 000 photographs in 10 classes, 32x32 colour.

    The md5 of the archive (the binary version) is verified when this program downloads it. Of files that already exist,
    the sizes and the range of the labels are checked.

    Paper: Krizhevsky 2009, "Learning multiple layers of features from tiny images", chapter 3.
    """

    name: str = "cifar10"

    archive: ClassVar[str] = "cifar-10-binary.tar.gz"
    md5: ClassVar[str] = "c32a1d4ab5d03f1284b67883e8d87530"
    folder: ClassVar[str] = "cifar-10-batches-bin"
    files: ClassVar[dict[str, tuple[str, ...]]] = {
        "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        "held_out": ("test_batch.bin",),
    }
    records: ClassVar[dict[str, int]] = {"train": 10_000, "held_out": 10_000}
    label_bytes: ClassVar[int] = 1


@register("dataset", "cifar100")
@dataclasses.dataclass(frozen=True)
class Cifar100(CifarImages):
    """CIFAR-100: 50 000 + 10 000 photographs in 100 classes, or 20 groups of classes, 32x32 colour.

    The files are verified as those of CIFAR-10.

    Paper: Krizhevsky 2009, "Learning multiple layers of features from tiny images", chapter 3.

    Attributes:
        labels: ``fine``, the 100 classes, or ``coarse``, the 20 groups of five classes.
    """

    name: str = "cifar100"
    labels: str = choice("fine", ("fine", "coarse"))

    archive: ClassVar[str] = "cifar-100-binary.tar.gz"
    md5: ClassVar[str] = "03b5dce01913d631647c71ecec9e9cb8"
    folder: ClassVar[str] = "cifar-100-binary"
    files: ClassVar[dict[str, tuple[str, ...]]] = {"train": ("train.bin",), "held_out": ("test.bin",)}
    records: ClassVar[dict[str, int]] = {"train": 50_000, "held_out": 10_000}
    label_bytes: ClassVar[int] = 2

    @property
    def classes(self) -> int:
        """Number of classes."""
        return 100 if self.labels == "fine" else 20

    @property
    def label_column(self) -> int:
        """Index of the byte of a record that is the label: the group is the first, the class the second."""
        return 1 if self.labels == "fine" else 0
