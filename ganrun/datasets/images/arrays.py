"""A finite dataset in memory, as the options of this package load it."""

from __future__ import annotations

import dataclasses

import numpy as np

from ganrun.datasets.rows import Rows


@dataclasses.dataclass(frozen=True)
class ImageArrays:
    """A dataset in memory, or mapped from files.

    Attributes:
        train: The training examples as rows ``(examples, prod(shape))``: uint8 or uint16 pixels, or float32 vectors.
        held_out: The held-out examples, in the same layout.
        shape: ``(height, width, channel)`` of one example, or ``(dim,)``.
        train_labels: uint8 or uint16 ``(examples,)``; None if labels were not requested.
        held_out_labels: The labels of the held-out examples, likewise.
    """

    train: np.ndarray | Rows
    held_out: np.ndarray | Rows
    shape: tuple[int, ...]
    train_labels: np.ndarray | None = None
    held_out_labels: np.ndarray | None = None
