"""Image datasets: scikit-learn's digits, MNIST and Fashion-MNIST.

An option finds its files, checks them before any work begins, and loads them. Labels are read only on request, since
an unconditional GAN does not use them.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np

from ganrun.config.registry import register
from ganrun.datasets.download import fetch
from ganrun.datasets.idx import read_idx_hashed
from ganrun.errors import ConfigError

FILES = {"train": "train-images-idx3-ubyte", "held_out": "t10k-images-idx3-ubyte"}
LABEL_FILES = {"train_labels": "train-labels-idx1-ubyte", "held_out_labels": "t10k-labels-idx1-ubyte"}
CLASSES = 10
MAX = 1 << 26  # maximum bytes of one decompressed file: the largest has 47 million
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FASHION_MIRRORS = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)


@dataclasses.dataclass(frozen=True)
class ImageArrays:
    """A dataset in memory.

    Attributes:
        train: uint8 ``(examples, height * width * channel)``.
        held_out: The held-out examples, in the same layout.
        shape: ``(height, width, channel)`` of one example.
        train_labels: uint8 ``(examples,)``; None if labels were not requested.
        held_out_labels: The labels of the held-out examples, likewise.
    """

    train: np.ndarray
    held_out: np.ndarray
    shape: tuple[int, int, int]
    train_labels: np.ndarray | None = None
    held_out_labels: np.ndarray | None = None


@register("dataset", "digits")
@dataclasses.dataclass(frozen=True)
class Digits:
    """1 797 handwritten digits in 10 classes, 8x8 grey, bundled with scikit-learn.

    They are the test set of UCI's "Optical Recognition of Handwritten Digits".

    Paper: Alpaydin and Kaynak 1998, "Cascading classifiers".
    """

    name: str = "digits"

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(height, width, channel)`` of one example."""
        return 8, 8, 1

    @property
    def examples(self) -> int:
        """Number of training examples."""
        return 1437

    @property
    def classes(self) -> int:
        """Number of classes."""
        return CLASSES

    def find(self, data_dir: Path, labels: bool = False) -> dict[str, Path]:
        """Return no files: images and labels are part of scikit-learn."""
        return {}

    def check(self, data_dir: Path, labels: bool = False) -> None:
        """Do nothing: no files are needed."""

    def load(self, data_dir: Path, labels: bool = False) -> ImageArrays:
        """Return the images, scaled from 0..16 to 0..255, in a fixed split of 80 % and 20 %."""
        from sklearn.datasets import load_digits  # takes a second to import

        values, targets = load_digits(return_X_y=True)
        flat = np.rint(np.asarray(values) * (255 / 16)).astype(np.uint8)
        # RandomState and not Generator: NumPy guarantees that its stream never changes (NEP 19).
        order = np.random.RandomState(0).permutation(len(flat))
        train, held_out = np.split(order, [int(0.8 * len(flat))])
        if not labels:
            return ImageArrays(flat[train], flat[held_out], self.shape)
        all_labels = np.asarray(targets).astype(np.uint8)
        return ImageArrays(flat[train], flat[held_out], self.shape, all_labels[train], all_labels[held_out])


@dataclasses.dataclass(frozen=True)
class IdxImages:
    """28x28 grey images in two idx files, downloaded if missing. The base class of MNIST and Fashion-MNIST.

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
        for part, stem in _stems(labels).items():
            # The second form is that of the original site and of many copies of it.
            stems = (stem, stem.replace("-idx", ".idx"))
            names = [f"{form}{suffix}" for form in stems for suffix in ("", ".gz")]
            paths = [folder / name for folder in self._folders(data_dir) for name in names]
            present = [path for path in paths if _is_file(path)]
            if present:
                files[part] = present[0]
        return files

    def check(self, data_dir: Path, labels: bool = False) -> None:
        """Ensure that the files exist: download missing ones into ``data_dir/<name>/``.

        Raises:
            ConfigError: A file is missing and may not or cannot be downloaded.
        """
        files = self.find(data_dir, labels)
        for part, stem in _stems(labels).items():
            if part in files:
                continue
            if not self.download:
                raise self._missing(stem, data_dir, "dataset.download is false, or the run is resumed.")
            verify = functools.partial(self._read, part)
            print(f"{self.name}: downloading {stem}.gz into {data_dir / self.name}", file=sys.stderr)
            try:
                fetch(f"{stem}.gz", self.mirrors, data_dir / self.name, self.md5.get(part), verify=verify)
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

    def _folders(self, data_dir: Path) -> tuple[Path, ...]:
        return data_dir / self.name, data_dir / self.torchvision / "raw"

    def _read(self, part: str, path: Path) -> np.ndarray:
        content, sha256 = read_idx_hashed(path, MAX)
        of_labels = part in LABEL_FILES
        count = self.counts[part.removesuffix("_labels")]
        expected = (count,) if of_labels else (count, *self.shape[:2])
        if content.shape != expected:
            raise ConfigError(f"{path}: holds an array of shape {content.shape}; {self.name} has {expected}.")
        if of_labels and (largest := int(content.max())) >= self.classes:
            raise ConfigError(f"{path}: holds the label {largest}; those of {self.name} are 0..{self.classes - 1}.")
        if sha256 != self.sha256.get(part, sha256):
            raise ConfigError(f"{path}: is not the published {self.name} file (its sha256 is {sha256}).")
        return content if of_labels else content.reshape(count, -1)

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


def _stems(labels: bool) -> dict[str, str]:
    """Return the file name stems of the required files, by part of the dataset."""
    return FILES | LABEL_FILES if labels else FILES


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # for instance, the folder may not be entered: treat the file as missing
        return False
