"""A plugin of ganrun with random images of the size of CIFAR-10, for benchmarks: pixels do not change the speed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganrun.config.registry import register
from ganrun.datasets.images import ImageArrays


@register("dataset", "random_images")
@dataclass(frozen=True)
class RandomImages:
    """10 000 training and 1 000 held-out images of 32x32 pixels with 3 channels, whose bytes are uniformly random."""

    name: str = "random_images"

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(height, width, channel)`` of one example."""
        return 32, 32, 3

    @property
    def examples(self) -> int:
        """Number of training examples."""
        return 10_000

    @property
    def classes(self) -> int:
        """Number of classes; 0: there are none."""
        return 0

    def load(self, data_dir: Path, labels: bool = False) -> ImageArrays:
        """Return the images, the same ones every time."""
        del data_dir, labels
        rows = np.random.default_rng(0).integers(0, 256, (self.examples + 1000, 32 * 32 * 3), dtype=np.uint8)
        return ImageArrays(rows[: self.examples], rows[self.examples :], self.shape)
