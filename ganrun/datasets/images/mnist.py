"""MNIST and the datasets in its format: Fashion-MNIST and Kuzushiji-MNIST.

An option finds its files, checks them before any work begins, and loads them. Labels are read only on request, since
an unconditional GAN does not use them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path
from typing import ClassVar

import numpy as np

from ganrun.config.registry import register
from ganrun.datasets import download
from ganrun.datasets.download import announce
from ganrun.datasets.idx import read_idx_hashed
from ganrun.datasets.images.arrays import ImageArrays
from ganrun.errors import ConfigError

FILES = {"train": "train-images-idx3-ubyte", "held_out": "t10k-images-idx3-ubyte"}
LABEL_FILES = {"train_labels": "train-labels-idx1-ubyte", "held_out_labels": "t10k-labels-idx1-ubyte"}
CLASSES = 10
MAX = 1 << 26  # bytes of a decompressed file that are read in any case, so that another file of this kind is named
HEADER = 64  # bytes: more than an idx header has
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FASHION_MIRRORS = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
KMNIST_MIRRORS = ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",)


@dataclasses.dataclass(frozen=True)
class IdxImages:
    """28x28 grey images in two idx files, downloaded if missing: the base class of MNIST and the datasets like it.

    The labels are in two more files, which are needed only if labels are requested.
    """

    name: str
    download: bool = True
    mirrors: tuple[str, ...] = ()

    torchvision: ClassVar[str]  # torchvision's folder name for this dataset
    counts: ClassVar[dict[str, int]] = {"train": 60_000, "held_out": 10_000}
    sha256: ClassVar[dict[str, str]] = {}  # of the decompressed files, if known, by key of FILES and LABEL_FILES
    md5: ClassVar[dict[str, str]] = {}  # of the published .gz files, likewise

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(height, width, channel)`` of one example."""
        return 28, 28, 1

    @property
    def examples(self) -> int:
        """Number of training examples."""
        return self.counts["train"]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return CLASSES

    def find(self, data_dir: Path, labels: bool = False) -> dict[str, Path]:
        """Return the paths of the images of each split (``train``, ``held_out``), without those that are missing.

        With ``labels``, also return those of ``train_labels`` and ``held_out_labels``.
        """
        files = {}
        for part, stem in self._stems(labels).items():
            # The second form is that of the original site and of many copies of it.
            stems = (stem, stem.replace("-idx", ".idx"))
            names = [f"{form}{suffix}" for form in stems for suffix in ("", ".gz")]
            paths = [folder / name for folder in self._folders(data_dir) for name in names]
            present = [path for path in paths if is_file(path)]
            if present:
                files[part] = present[0]
        return files

    def check(self, data_dir: Path, labels: bool = False) -> None:
        """Ensure that the files exist: download missing ones into ``data_dir/<name>/``.

        Raises:
            ConfigError: A file is missing and may not or cannot be downloaded.
        """
        files = self.find(data_dir, labels)
        for part, stem in self._stems(labels).items():
            if part in files:
                continue
            if not self.download:
                raise self._missing(stem, data_dir, "dataset.download is false, or the run is resumed.")
            verify = functools.partial(self._read, part)
            announce(self.name, f"{stem}.gz", data_dir / self.name)
            try:
                download.fetch(f"{stem}.gz", self.mirrors, data_dir / self.name, self.md5.get(part), verify=verify)
            except ConfigError as error:
                raise self._missing(stem, data_dir, str(error)) from error

    def load(self, data_dir: Path, labels: bool = False) -> ImageArrays:
        """Return the images, and with ``labels`` also their labels, after verifying the files.

        Raises:
            ConfigError: A file is missing, damaged, or not the published one.
        """
        self.check(data_dir, labels)
        arrays = {part: self._read(part, path) for part, path in self.find(data_dir, labels).items()}
        return ImageArrays(shape=self.shape, **arrays)

    def _stems(self, labels: bool) -> dict[str, str]:
        """Return the file name stems of the required files, by part of the dataset."""
        return FILES | LABEL_FILES if labels else FILES

    def _folders(self, data_dir: Path) -> tuple[Path, ...]:
        return data_dir / self.name, data_dir / self.torchvision / "raw"

    def _read(self, part: str, path: Path) -> np.ndarray:
        return self._checked(part, path, *self._from_file(part, path))

    def _from_file(self, part: str, path: Path) -> tuple[np.ndarray, str]:
        return read_idx_hashed(path, self._limit(part))

    def _limit(self, part: str) -> int:
        """Return the maximum bytes of the decompressed file of ``part``."""
        return max(MAX, math.prod(self._expected(part)) + HEADER)

    def _expected(self, part: str) -> tuple[int, ...]:
        """Return the shape of the array of ``part``."""
        count = self.counts[part.removesuffix("_labels")]
        return (count,) if part in LABEL_FILES else (count, *self.shape[:2])

    def _checked(self, part: str, path: Path, content: np.ndarray, sha256: str) -> np.ndarray:
        """Return ``content`` of the file ``path`` as rows or labels; refuse what is not that of ``part``."""
        expected = self._expected(part)
        if content.shape != expected:
            raise ConfigError(f"{path}: holds an array of shape {content.shape}; {self.name} has {expected}.")
        if part in LABEL_FILES and (largest := int(content.max())) >= self.classes:
            raise ConfigError(f"{path}: holds the label {largest}; those of {self.name} are 0..{self.classes - 1}.")
        if sha256 != self.sha256.get(part, sha256):
            raise ConfigError(f"{path}: is not the published {self.name} file (its sha256 is {sha256}).")
        return content if part in LABEL_FILES else content.reshape(len(content), -1)

    def _missing(self, stem: str, data_dir: Path, reason: str) -> ConfigError:
        searched = " and ".join(str(folder) for folder in self._folders(data_dir))
        source = f"{self.mirrors[0].rstrip('/')}/{stem}.gz" if self.mirrors else "a mirror"
        return ConfigError(
            f"{self.name}: {stem}[.gz] is missing in {searched}; {reason}\n"
            f"Set data_dir=... or $GANRUN_DATA to a folder that holds {self.name}/, "
            f"or put {source} into {data_dir / self.name}."
        )


@register("dataset", "mnist")
@dataclasses.dataclass(frozen=True)
class Mnist(IdxImages):
    """MNIST: 60 000 + 10 000 handwritten digits in 10 classes, 28x28 grey, verified by their sha256.

    The hash is that of the decompressed file, so it does not depend on the compression.

    Paper: LeCun et al. 1998, "Gradient-based learning applied to document recognition", section III.
    """

    name: str = "mnist"
    mirrors: tuple[str, ...] = dataclasses.field(default_factory=lambda: MNIST_MIRRORS)

    torchvision: ClassVar[str] = "MNIST"
    sha256: ClassVar[dict[str, str]] = {
        "train": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "held_out": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "train_labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "held_out_labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }


@register("dataset", "fashion_mnist")
@dataclasses.dataclass(frozen=True)
class FashionMnist(IdxImages):
    """Fashion-MNIST: 60 000 + 10 000 pieces of clothing in 10 classes, 28x28 grey.

    Only the md5 of the published .gz files is known. It is verified when this program downloads them. Of files that
    already exist, only the format, the shapes, (60000, 28, 28) and (10000, 28, 28), and the range of the labels are
    checked.

    Paper: Xiao et al. 2017, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms".
    """

    name: str = "fashion_mnist"
    mirrors: tuple[str, ...] = dataclasses.field(default_factory=lambda: FASHION_MIRRORS)

    torchvision: ClassVar[str] = "FashionMNIST"
    md5: ClassVar[dict[str, str]] = {
        "train": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "held_out": "bef4ecab320f06d8554ea6380940ec79",
        "train_labels": "25c81989df183df01b3e8a0aad5dffbe",
        "held_out_labels": "bb300cfdad3c16e7a12a480ee83cd310",
    }


@register("dataset", "kmnist")
@dataclasses.dataclass(frozen=True)
class Kmnist(IdxImages):
    """Kuzushiji-MNIST: 60 000 + 10 000 cursive Japanese characters in 10 classes, 28x28 grey.

    As with Fashion-MNIST, the md5 of the published .gz files is verified when this program downloads them.

    Paper: Clanuwat et al. 2018, "Deep learning for classical Japanese literature".
    """

    name: str = "kmnist"
    mirrors: tuple[str, ...] = dataclasses.field(default_factory=lambda: KMNIST_MIRRORS)

    torchvision: ClassVar[str] = "KMNIST"
    md5: ClassVar[dict[str, str]] = {
        "train": "bdb82020997e1d708af4cf47b453dcf7",
        "held_out": "5c965bf0a639b31b8f53240b1b52f4d7",
        "train_labels": "e144d726b3acfaa3e44228e80efcd344",
        "held_out_labels": "7320c461ea6c1c855c0b718fb2a4b134",
    }


def is_file(path: Path) -> bool:
    """Return whether the file ``path`` exists; False if its folder may not be entered."""
    try:
        return path.is_file()
    except OSError:  # for instance, the folder may not be entered: treat the file as missing
        return False
