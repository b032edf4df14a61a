"""Features of examples, on which distances between samples and data are measured."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ganrun.errors import ConfigError, did_you_mean, shown
from ganrun.evaluation.features.base import Extractor
from ganrun.evaluation.features.cached import classifier_of, why_no_classifier
from ganrun.evaluation.features.classifier import Classifier
from ganrun.evaluation.features.inception import CHECKED, InceptionFeatures, read_inception
from ganrun.evaluation.features.per_channel import PerChannel
from ganrun.evaluation.features.raw import Raw

EXTRACTORS = ("auto", "raw", "classifier", "inception")

__all__ = [
    "EXTRACTORS",
    "Classifier",
    "Extractor",
    "InceptionFeatures",
    "PerChannel",
    "Raw",
    "chosen",
    "classifier",
    "extractor",
    "of_shape",
    "read_inception",
]


def extractor(name: str, dataset: Any, data_dir: str | None = None, weights: Path | None = None) -> Extractor:
    """Return the feature extractor ``name`` for examples of the option ``dataset``.

    A classifier is trained when it is first needed, and kept in the cache folder.

    Args:
        name: ``raw``, ``classifier``, ``inception``, or ``auto``: ``classifier`` for images with labels, else ``raw``.
        dataset: the dataset's option, resolved.
        data_dir: the setting ``data_dir``; None: ganrun's default.
        weights: the file of the weights, for ``inception`` only, see :func:`read_inception`.

    Raises:
        ConfigError: ``name`` is unknown, no classifier can be trained on ``dataset``, its files are missing, or
            ``weights`` are missing, not needed or not readable.
    """
    if name not in EXTRACTORS:
        guess = did_you_mean(name, EXTRACTORS)
        raise ConfigError(f"features must be one of {', '.join(EXTRACTORS)}, not '{shown(name)}'.{guess}")
    name = chosen(name, dataset)
    if name == "classifier" and weights is None:
        return classifier(dataset, data_dir)
    return of_shape(name, tuple(dataset.shape), weights)


def chosen(name: str, dataset: Any) -> str:
    """Return the extractor that ``name`` stands for with the option ``dataset``: ``auto`` is resolved."""
    if name != "auto":
        return name
    return "classifier" if len(dataset.shape) == 3 and not why_no_classifier(dataset) else "raw"


def of_shape(name: str, shape: tuple[int, ...], weights: Path | None = None) -> Extractor:
    """Return the extractor ``name``, ``raw`` or ``inception``, for examples of ``shape``, as :func:`extractor`."""
    if (name == "inception") != (weights is not None):
        raise ConfigError("features=inception and weights=FILE belong together: ganrun has no weights of Inception.")
    return Raw(shape) if weights is None else _inception(shape, weights)


def _inception(shape: tuple[int, ...], weights: Path) -> InceptionFeatures:
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ConfigError(f"features=inception needs images with 1 or 3 channels, not examples of shape {shape}.")
    found = read_inception(weights)
    print(f"inception: {CHECKED}; SHA-256 of the weights: {found.checksum}", file=sys.stderr)
    return found


def classifier(dataset: Any, data_dir: str | None = None) -> Classifier | PerChannel:
    """Return the classifier of the option ``dataset``, or for stacked images that of a channel, applied to all.

    Raises:
        ConfigError: no classifier can be trained on ``dataset``, or its files are missing.
    """
    if hasattr(dataset, "channel_dataset"):
        return PerChannel(classifier_of(dataset.channel_dataset, data_dir), dataset.shape[-1])
    if reason := why_no_classifier(dataset):
        raise ConfigError(f"features=classifier: {reason}.")
    return classifier_of(dataset, data_dir)
