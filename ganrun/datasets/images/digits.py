"""The digits of scikit-learn."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ganrun.config.registry import register
from ganrun.datasets.images.arrays import ImageArrays


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
        return 10

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
