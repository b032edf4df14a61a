"""Images as bytes: the digits that scikit-learn bundles, MNIST and Fashion-MNIST.

An option knows where its files lie, checks for them before any work begins, and loads them. Labels are read only
where they are asked for: a generative adversarial network in its original form has no use for them.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np

from ganrun.datasets.download import fetch
from ganrun.datasets.idx import read_idx_hashed
from ganrun.errors import ConfigError
from ganrun.registry import register

FILES = {"train": "train-images-idx3-ubyte", "held_out": "t10k-images-idx3-ubyte"}
LABEL_FILES = {"train_labels": "train-labels-idx1-ubyte", "held_out_labels": "t10k-labels-idx1-ubyte"}
CLASSES = 10
MOST = 1 << 26  # bytes of one file, unpacked: the largest has 47 million
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FASHION_MIRRORS = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)


@dataclasses.dataclass(frozen=True)
class ImageArrays:
    """A data set in memory.

    Attributes:
        train: uint8 ``(examples, height * width * channel)``.
        held_out: The examples kept from training, in the same layout.
        shape: ``(height, width, channel)`` of one example.
        train_labels: uint8 ``(examples,)``; None where labels were not asked for.
        held_out_labels: Those of the examples kept from training.
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
        """How many examples there are to train on."""
        return 1437

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return CLASSES

    def find(self, data_dir: Path, labels: bool = False) -> dict[str, Path]:
        """Return no files: images and labels come with scikit-learn."""
        return {}

    def check(self, data_dir: Path, labels: bool = False) -> None:
        """Do nothing: there is nothing that could be missing."""

    def load(self, data_dir: Path, labels: bool = False) -> ImageArrays:
        """Return the images, 0..16 scaled to 0..255, in a split of 80 % and 20 % that is always the same."""
        from sklearn.datasets import load_digits  # takes a second to import

        values, targets = load_digits(return_X_y=True)
        flat = np.rint(np.asarray(values) * (255 / 16)).astype(np.uint8)
        # RandomState and not a Generator: numpy promises that its numbers never change (NEP 19).
        order = np.random.RandomState(0).permutation(len(flat))
        train, held_out = np.split(order, [int(0.8 * len(flat))])
        if not labels:
            return ImageArrays(flat[train], flat[held_out], self.shape)
        kinds = np.asarray(targets).astype(np.uint8)
        return ImageArrays(flat[train], flat[held_out], self.shape, kinds[train], kinds[held_out])


@dataclasses.dataclass(frozen=True)
class IdxImages:
    """28x28 grey images in two idx files, downloaded when they are missing. The base of MNIST and Fashion-MNIST.

    Their labels are in two more files, which nobody needs who does not ask for labels.
    """

    name: str
    download: bool = True
    mirrors: tuple[str, ...] = ()

    torchvision: ClassVar[str]  # the folder that torchvision gives this data set
    counts: ClassVar[dict[str, int]] = {"train": 60_000, "held_out": 10_000}
    sha256: ClassVar[dict[str, str]] = {}  # of the decompressed files, by key of FILES and LABEL_FILES, where known
    md5: ClassVar[dict[str, str]] = {}  # of the .gz files as published, likewise

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(height, width, channel)`` of one example."""
        return 28, 28, 1

    @property
    def examples(self) -> int:
        """How many examples there are to train on."""
        return self.counts["train"]

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return CLASSES

    def find(self, data_dir: Path, labels: bool = False) -> dict[str, Path]:
        """Return the path of each split's images (``train``, ``held_out``); a split that is not there is left out.

        With ``labels``, those of ``train_labels`` and ``held_out_labels`` too.
        """
        found = {}
        for part, stem in _wanted(labels).items():
            # The second form is that of the original site and of many copies of it.
            stems = (stem, stem.replace("-idx", ".idx"))
            names = [f"{one}{suffix}" for one in stems for suffix in ("", ".gz")]
            paths = [folder / name for folder in self._folders(data_dir) for name in names]
            present = [path for path in paths if _is_file(path)]
            if present:
                found[part] = present[0]
        return found

    def check(self, data_dir: Path, labels: bool = False) -> None:
        """See to it that the files are there, downloading what is missing into ``data_dir/<name>/``.

        Raises:
            ConfigError: A file is missing and may not or cannot be downloaded.
        """
        found = self.find(data_dir, labels)
        for part, stem in _wanted(labels).items():
            if part in found:
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
        """Return the images, with ``labels`` theirs too, after comparing the files with what was published.

        Raises:
            ConfigError: A file is missing, damaged, or not the published one.
        """
        self.check(data_dir, labels)
        arrays = {part: self._read(part, path) for part, path in self.find(data_dir, labels).items()}
        return ImageArrays(shape=self.shape, **arrays)

    def _folders(self, data_dir: Path) -> tuple[Path, ...]:
        return data_dir / self.name, data_dir / self.torchvision / "raw"

    def _read(self, part: str, path: Path) -> np.ndarray:
        content, sha256 = read_idx_hashed(path, MOST)
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

    The hash is of the decompressed file, so that it holds however the file was compressed.

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

    What is known of it is the md5 of the published .gz files. They are compared when this program downloads them;
    of files that are already there only the format, the shapes, (60000, 28, 28) and (10000, 28, 28), and the range of
    the labels are checked.

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


def _wanted(labels: bool) -> dict[str, str]:
    """Return the stems of the files that are needed, by what they hold."""
    return FILES | LABEL_FILES if labels else FILES


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be entered: to the user the file is not there
        return False
