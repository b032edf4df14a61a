"""Mode coverage of stacked images, whose modes a classifier of their channels recognises."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ganrun.config.folders import data_folder
from ganrun.evaluation.features import PerChannel
from ganrun.evaluation.metrics.mode_kl import mode_kl

TAGS = ("modes/covered", "modes/kl", "modes/covered_data", "modes/kl_data")
PUBLISHED = 26_000  # samples that are counted in the papers
_floors: dict[tuple[str, str], dict[str, float]] = {}  # by classifier and examples: the runs of a sweep share them


def has_classified_modes(dataset: Any) -> bool:
    """Return whether the modes of the option ``dataset`` are the classes of its channels."""
    return hasattr(dataset, "channel_dataset")


def mode_weights(dataset: Any, data_dir: str | None) -> np.ndarray:
    """Return the probability of each mode in the data of the option ``dataset``, float64 ``(modes,)``.

    The channels are drawn independently, so it is the product of the frequencies of their classes in the training set.

    Raises:
        ConfigError: the files are missing or damaged.
    """
    channels = dataset.channel_dataset
    labels = channels.load(data_folder(data_dir), labels=True).train_labels
    frequencies = np.bincount(labels, minlength=channels.classes) / len(labels)
    weights = np.ones(1)
    for _ in range(dataset.shape[-1]):
        weights = np.multiply.outer(weights, frequencies).ravel()
    return weights


def classified_coverage(classifier: PerChannel, x: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Return the mode coverage of ``x``, counted as published.

    A mode is covered if at least one of ``x`` is classified as it. The KL is that of the distribution of ``x`` over the
    modes from that of the data; with n examples of the data themselves it is about (modes - 1) / 2 n.

    Paper: Srivastava et al. 2017, "VEEGAN", section 4; Lin et al. 2018, "PacGAN".

    Args:
        classifier: of the modes.
        x: images ``(n, *shape)`` in [-1, 1], or rows of as many numbers, or of uint8 pixels.
        weights: of the modes in the data, ``(modes,)``, positive.

    Returns:
        ``modes/covered`` (a count) and ``modes/kl`` (nats).
    """
    counts = np.bincount(classifier.labels(x), minlength=classifier.classes)
    return {"modes/covered": float(np.count_nonzero(counts)), "modes/kl": mode_kl(counts, weights)}


def classified_floor(classifier: PerChannel, held_out: np.ndarray, n: int, weights: np.ndarray) -> dict[str, float]:
    """Return the mode coverage of at most ``n`` examples of ``held_out``, the best that a generator can reach.

    Args:
        classifier: of the modes.
        held_out: rows of uint8 pixels ``(examples, d)``, in random order.
        n: number of samples that it is compared with.
        weights: of the modes in the data.

    Returns:
        ``modes/covered_data`` (a count) and ``modes/kl_data`` (nats).
    """
    rows = np.ascontiguousarray(held_out[:n])
    known = classifier.checksum, hashlib.sha256(rows.tobytes() + weights.tobytes()).hexdigest()
    if known not in _floors:
        found = classified_coverage(classifier, rows, weights)
        _floors[known] = {f"{tag}_data": value for tag, value in found.items()}
    return _floors[known]
