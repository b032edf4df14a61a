"""Images as bytes: the digits that scikit-learn bundles, MNIST and Fashion-MNIST.

An option knows where its files lie, checks for them before any work begins, and loads them. Labels are not read:
a generative adversarial network in its original form has no use for them.
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
    """

    train: np.ndarray
    held_out: np.ndarray
    shape: tuple[int, int, int]


@register("dataset", "digits")
@dataclasses.dataclass(frozen=True)
class Digits:
    """1 797 handwritten digits, 8x8 grey, bundled with scikit-learn (UCI "Optical Recognition", Kaynak 1995)."""

    name: str = "digits"

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(height, width, channel)`` of one example."""
        return 8, 8, 1

    @property
    def examples(self) -> int:
        """How many examples there are to train on."""
        return 1437

    def find(self, data_dir: Path) -> dict[str, Path]:
        """Return no files: the images come with scikit-learn."""
        return {}

    def check(self, data_dir: Path) -> None:
        """Do nothing: there is nothing that could be missing."""

    def load(self, data_dir: Path) -> ImageArrays:
        """Return the images, 0..16 scaled to 0..255, in a split of 80 % and 20 % that is always the same."""
        from sklearn.datasets import load_digits  # takes a second to import

        flat = np.rint(np.asarray(load_digits(return_X_y=True)[0]) * (255 / 16)).astype(np.uint8)
        # RandomState and not a Generator: numpy promises that its numbers never change (NEP 19).
        order = np.random.RandomState(0).permutation(len(flat))
        train = int(0.8 * len(flat))
        return ImageArrays(flat[order[:train]], flat[order[train:]], self.shape)


@dataclasses.dataclass(frozen=True)
class IdxImages:
    """28x28 grey images in two idx files, downloaded when they are missing. The base of MNIST and Fashion-MNIST."""

    name: str
    download: bool = True
    mirrors: tuple[str, ...] = ()

    torchvision: ClassVar[str]  # the folder that torchvision gives this data set
    counts: ClassVar[dict[str, int]] = {"train": 60_000, "held_out": 10_000}
    sha256: ClassVar[dict[str, str]] = {}  # of the decompressed files, where known
    md5: ClassVar[dict[str, str]] = {}  # of the .gz files as published, where known

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(height, width, channel)`` of one example."""
        return 28, 28, 1

    @property
    def examples(self) -> int:
        """How many examples there are to train on."""
        return self.counts["train"]

    def find(self, data_dir: Path) -> dict[str, Path]:
        """Return the path of each split's images (``train``, ``held_out``); a split that is not there is left out."""
        found = {}
        for split, stem in FILES.items():
            names = (stem, f"{stem}.gz")
            paths = [folder / name for folder in self._folders(data_dir) for name in names]
            present = [path for path in paths if _is_file(path)]
            if present:
                found[split] = present[0]
        return found

    def check(self, data_dir: Path) -> None:
        """See to it that the files are there, downloading what is missing into ``data_dir/<name>/``.

        Raises:
            ConfigError: A file is missing and may not or cannot be downloaded.
        """
        missing = [split for split in FILES if split not in self.find(data_dir)]
        for split in missing:
            if not self.download:
                raise self._missing(split, data_dir, "dataset.download is false.")
            verify = functools.partial(self._read, split)
            print(f"{self.name}: downloading {FILES[split]}.gz into {data_dir / self.name}", file=sys.stderr)
            try:
                fetch(f"{FILES[split]}.gz", self.mirrors, data_dir / self.name, self.md5.get(split), verify=verify)
            except ConfigError as error:
                raise self._missing(split, data_dir, str(error)) from error

    def load(self, data_dir: Path) -> ImageArrays:
        """Return the images after comparing their content with what was published.

        Raises:
            ConfigError: A file is missing, damaged, or not the published one.
        """
        self.check(data_dir)
        found = self.find(data_dir)
        return ImageArrays(self._read("train", found["train"]), self._read("held_out", found["held_out"]), self.shape)

    def _folders(self, data_dir: Path) -> tuple[Path, ...]:
        return data_dir / self.name, data_dir / self.torchvision / "raw"

    def _read(self, split: str, path: Path) -> np.ndarray:
        images, sha256 = read_idx_hashed(path)
        height, width, _ = self.shape
        expected = (self.counts[split], height, width)
        if images.shape != expected:
            raise ConfigError(f"{path}: holds an array of shape {images.shape}; {self.name} has {expected}.")
        if sha256 != self.sha256.get(split, sha256):
            raise ConfigError(f"{path}: is not the published {self.name} file (its sha256 is {sha256}).")
        return images.reshape(len(images), -1)

    def _missing(self, split: str, data_dir: Path, reason: str) -> ConfigError:
        searched = " and ".join(str(folder) for folder in self._folders(data_dir))
        source = f"{self.mirrors[0].rstrip('/')}/{FILES[split]}.gz" if self.mirrors else "a mirror"
        return ConfigError(
            f"{self.name}: {FILES[split]}[.gz] is missing in {searched}; {reason}\n"
            f"Set data_dir=... or $GANRUN_DATA to a folder that holds {self.name}/, "
            f"or put {source} into {data_dir / self.name}."
        )


@register("dataset", "mnist")
@dataclasses.dataclass(frozen=True)
class Mnist(IdxImages):
    """MNIST (LeCun, Cortes and Burges 1998): 60 000 + 10 000 handwritten digits, verified by their sha256.

    The hash is of the decompressed file, so that it holds however the file was compressed.
    """

    name: str = "mnist"
    mirrors: tuple[str, ...] = dataclasses.field(default_factory=lambda: MNIST_MIRRORS)

    torchvision: ClassVar[str] = "MNIST"
    sha256: ClassVar[dict[str, str]] = {
        "train": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "held_out": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    }


@register("dataset", "fashion_mnist")
@dataclasses.dataclass(frozen=True)
class FashionMnist(IdxImages):
    """Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747): 60 000 + 10 000 pieces of clothing.

    What is known of it is the md5 of the published .gz files. They are compared when this program downloads them;
    of files that are already there only the format and the shapes, (60000, 28, 28) and (10000, 28, 28), are checked.
    """

    name: str = "fashion_mnist"
    mirrors: tuple[str, ...] = dataclasses.field(default_factory=lambda: FASHION_MIRRORS)

    torchvision: ClassVar[str] = "FashionMNIST"
    md5: ClassVar[dict[str, str]] = {
        "train": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "held_out": "bef4ecab320f06d8554ea6380940ec79",
    }


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that may not be entered: to the user the file is not there
        return False
