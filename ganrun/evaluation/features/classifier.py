"""The classifier of a dataset as a feature extractor: trained by ganrun on the labelled training examples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.datasets.images import ImageArrays
from ganrun.datasets.sampler import to_unit_range
from ganrun.evaluation.features.network import FEATURES, ClassifierNetwork
from ganrun.evaluation.features.training import trained
from ganrun.methods.precision import with_float32_products

CHUNK = 500  # examples per call: one shape, compiled once


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained :class:`~ganrun.evaluation.features.network.ClassifierNetwork`.

    Distances between its features are not those between Inception's features (FID, KID): they are comparable only with
    others on the features of the same weights, which :attr:`checksum` identifies.

    Attributes:
        shape: of one example.
        classes: number of classes.
        params: of the network.
        checksum: SHA-256 of the weights, hexadecimal; empty if they were not stored.
        accuracy: share of the held-out examples that are classified correctly.
        held_out: number of these examples.
    """

    shape: tuple[int, ...]
    classes: int
    params: Any
    checksum: str = ""
    accuracy: float = float("nan")
    held_out: int = 0
    name: str = "classifier"

    @property
    def size(self) -> int:
        """Number of features."""
        return FEATURES

    def features(self, x: np.ndarray) -> np.ndarray:
        """Return the activations of the penultimate layer, float32 ``(n, size)``.

        Args:
            x: examples ``(n, *shape)`` or ``(n, prod(shape))``: images in [-1, 1] as floats, or uint8 or uint16 pixels.
        """
        return self._outputs(x, 0)

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Return the probability of each class, float64 ``(n, classes)``, for examples as of :meth:`features`."""
        logits = self._outputs(x, 1).astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def labels(self, x: np.ndarray) -> np.ndarray:
        """Return the most probable class, int64 ``(n,)``, of examples as of :meth:`features`."""
        return self._outputs(x, 1).argmax(axis=1)

    def _outputs(self, x: np.ndarray, which: int) -> np.ndarray:
        """Return the features (0) or the logits (1)."""
        size = self.size if which == 0 else self.classes
        rows = np.asarray(x)
        rows = rows.reshape(len(rows), math.prod(self.shape))
        parts = [np.zeros((0, size), np.float32)]
        network = ClassifierNetwork(self.classes)
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            padded = np.zeros((CHUNK, rows.shape[1]), part.dtype)
            padded[: len(part)] = part
            outputs = _apply(network, self.shape, self.params, jnp.asarray(padded))[which]
            parts.append(np.asarray(outputs)[: len(part)])
        return np.concatenate(parts)


def train_classifier(arrays: ImageArrays, classes: int, what: str = "") -> Classifier:
    """Return a classifier trained on the training examples of ``arrays``, with its accuracy on those held out.

    Args:
        arrays: examples with labels.
        classes: number of classes, at least 2.
        what: title of the progress that is shown; empty for none.

    Raises:
        ValueError: the labels were not read.
    """
    if arrays.train_labels is None or arrays.held_out_labels is None:
        raise ValueError("a classifier needs examples that were loaded with their labels")
    params = trained(np.asarray(arrays.train), arrays.train_labels, arrays.shape, classes, what)
    classifier = Classifier(arrays.shape, classes, params)
    right = classifier.labels(np.asarray(arrays.held_out)) == arrays.held_out_labels
    return Classifier(arrays.shape, classes, params, accuracy=float(right.mean()), held_out=len(right))


@partial(jax.jit, static_argnums=(0, 1))
@with_float32_products
def _apply(
    network: ClassifierNetwork, shape: tuple[int, ...], params: Any, rows: jax.Array
) -> tuple[jax.Array, jax.Array]:
    return network.apply(params, to_unit_range(rows).reshape(-1, *shape))  # type: ignore[return-value]
