"""Stacked MNIST: three handwritten digits as the channels of one image, with 1000 modes that can be counted."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np

from ganrun.config.registry import register
from ganrun.datasets.images.arrays import ImageArrays
from ganrun.datasets.images.mnist import MNIST_MIRRORS, IdxImages, Mnist

CHANNELS = 3
SEEDS = {"train": 0, "held_out": 1}
BLOCK = 4096  # examples stacked at once


@register("dataset", "stacked_mnist")
@dataclasses.dataclass(frozen=True)
class StackedMnist:
    """Stacked MNIST: 28x28 images whose three channels are random MNIST digits, 1000 modes; 128 000 + 26 000 images.

    The digits of a training image are drawn uniformly from MNIST's 60 000 training images, with replacement and with a
    fixed seed; those of a held-out image from its 10 000 test images. They are stacked when the dataset is loaded and
    not stored. The label is the number that the three digits form, that of the first channel leading.

    Paper: Metz et al. 2017, "Unrolled generative adversarial networks"; in numbers as of Lin et al. 2018, "PacGAN:
    the power of two samples in generative adversarial networks".
    """

    name: str = "stacked_mnist"
    download: bool = True
    mirrors: tuple[str, ...] = dataclasses.field(default_factory=lambda: MNIST_MIRRORS)

    counts: ClassVar[dict[str, int]] = {"train": 128_000, "held_out": 26_000}

    @property
    def channel_dataset(self) -> IdxImages:
        """The dataset of one channel."""
        return Mnist(download=self.download, mirrors=self.mirrors)

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(height, width, channel)`` of one example."""
        return *self.channel_dataset.shape[:2], CHANNELS

    @property
    def examples(self) -> int:
        """Number of training examples."""
        return self.counts["train"]

    @property
    def classes(self) -> int:
        """Number of modes."""
        return self.channel_dataset.classes**CHANNELS

    def find(self, data_dir: Path, labels: bool = False) -> dict[str, Path]:
        """Return the paths of MNIST's files, without those that are missing."""
        return self.channel_dataset.find(data_dir, labels)

    def check(self, data_dir: Path, labels: bool = False) -> None:
        """Ensure that MNIST's files exist, also those of the labels, which a classifier of the modes is trained with.

        Raises:
            ConfigError: a file is missing and may not or cannot be downloaded.
        """
        del labels
        self.channel_dataset.check(data_dir, labels=True)

    def load(self, data_dir: Path, labels: bool = False) -> ImageArrays:
        """Return the stacked images as uint8 rows, 300 + 61 MB, and with ``labels`` the uint16 numbers of their modes.

        Raises:
            ConfigError: a file is missing, damaged, or not the published one.
        """
        digits = self.channel_dataset.load(data_dir, labels=labels)
        train = self._chosen("train", len(digits.train))
        held_out = self._chosen("held_out", len(digits.held_out))
        arrays = ImageArrays(
            stacked(np.asarray(digits.train), train), stacked(np.asarray(digits.held_out), held_out), self.shape
        )
        if digits.train_labels is None or digits.held_out_labels is None:
            return arrays
        base = self.channel_dataset.classes
        return dataclasses.replace(
            arrays,
            train_labels=numbered(digits.train_labels[train], base),
            held_out_labels=numbered(digits.held_out_labels[held_out], base),
        )

    def _chosen(self, split: str, digits: int) -> np.ndarray:
        """Return the rows of the digits of each example of ``split``, ``(examples, CHANNELS)``."""
        # RandomState and not Generator: NumPy guarantees that its stream never changes (NEP 19).
        return np.random.RandomState(SEEDS[split]).randint(digits, size=(self.counts[split], CHANNELS))


def stacked(digits: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return images whose channels are the rows ``chosen`` ``(n, channels)`` of ``digits`` ``(examples, pixels)``.

    Returns:
        uint8 rows ``(n, pixels * channels)``, with the channels of a pixel side by side.
    """
    rows = np.empty((len(chosen), digits.shape[1], chosen.shape[1]), digits.dtype)
    for start in range(0, len(chosen), BLOCK):
        part = chosen[start : start + BLOCK]
        for channel in range(chosen.shape[1]):
            rows[start : start + len(part), :, channel] = digits[part[:, channel]]
    return rows.reshape(len(chosen), -1)


def numbered(labels: np.ndarray, base: int) -> np.ndarray:
    """Return the numbers uint16 ``(n,)`` whose digits in ``base`` are ``labels`` ``(n, channels)``, leading first."""
    powers = base ** np.arange(labels.shape[1])[::-1]
    return (labels.astype(np.int64) @ powers).astype(np.uint16)
