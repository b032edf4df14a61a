"""The entries passed to writers, and the protocol of a writer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass
class Entry:
    """Everything that is logged at one step.

    Attributes:
        step: steps of Algorithm 1 done.
        scalars: values by tag, in display order.
        histograms: arrays of values by tag.
        pictures: PNGs by tag.
        findings: problems detected by the monitor, one line each.
        milestone: whether plain logs show this step (about ten per run).
    """

    step: int
    scalars: dict[str, float]
    histograms: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    milestone: bool = False


class Writer(Protocol):
    """Stores or displays entries. ``write`` and ``flush`` are called from one thread, in order of the steps."""

    def write(self, entry: Entry) -> None: ...

    def flush(self) -> None: ...

    def close(self, status: str) -> None: ...
