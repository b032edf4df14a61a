"""The features and the mode of an image whose channels are images of another dataset, such as stacked digits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ganrun.evaluation.features.classifier import Classifier


@dataclass(frozen=True, eq=False)
class PerChannel:
    """Applies the classifier of grey images to every channel.

    The class of an image, its mode, is the number whose digits, in base :attr:`Classifier.classes`, are the classes of
    its channels, the first one leading.

    Attributes:
        classifier: of images with one channel.
        channels: number of channels.
    """

    classifier: Classifier
    channels: int
    name: str = "classifier"

    @property
    def checksum(self) -> str:
        """SHA-256 of the weights of the classifier."""
        return self.classifier.checksum

    @property
    def size(self) -> int:
        """Number of features: those of all channels."""
        return self.channels * self.classifier.size

    @property
    def classes(self) -> int:
        """Number of modes."""
        return self.classifier.classes**self.channels

    def features(self, x: np.ndarray) -> np.ndarray:
        """Return the features of the channels side by side, float32 ``(n, size)``.

        Args:
            x: images ``(n, height, width, channel)`` in [-1, 1], or uint8 pixels; or rows of as many numbers.
        """
        return self.classifier.features(self._apart(x)).reshape(len(x), self.size)

    def labels(self, x: np.ndarray) -> np.ndarray:
        """Return the mode, int64 ``(n,)``, of images as of :meth:`features`."""
        digits = self.classifier.labels(self._apart(x)).reshape(len(x), self.channels)
        return digits @ self.classifier.classes ** np.arange(self.channels)[::-1]

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Return the probability of each mode, float64 ``(n, classes)``: the product of those of the channels."""
        parts = self.classifier.probabilities(self._apart(x)).reshape(len(x), self.channels, -1)
        product = parts[:, 0]
        for channel in range(1, self.channels):
            product = (product[:, :, None] * parts[:, channel, None, :]).reshape(len(x), -1)
        return product

    def _apart(self, x: np.ndarray) -> np.ndarray:
        """Return the channels of all images as rows ``(n * channels, height * width)``, those of an image together."""
        pixels = np.asarray(x).reshape(len(x), -1, self.channels)
        return np.swapaxes(pixels, 1, 2).reshape(len(x) * self.channels, -1)
