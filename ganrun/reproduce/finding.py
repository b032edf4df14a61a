"""A number of ours beside the range in which it agrees with what a source claims."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from ganrun.comparison.statistics import Interval, mean_interval


@dataclasses.dataclass(frozen=True)
class Finding:
    """One quantity, as claimed and as found.

    Attributes:
        quantity: what is measured, with its unit.
        expected: the claimed value, as text.
        low, high: the range in which a value agrees with the claim, both ends included.
        values: what was found; one value per seed, or one value of a computation without randomness.
        claim: the number of the claim in :mod:`ganrun.reproduce.claims`; None: an entry of a published table.
        as_stated: the claim is tested as its source states it, where the statement is known to be wrong.
        every_seed: every seed must agree; otherwise the mean over the seeds.
        failed: runs that have no value because they failed.
    """

    quantity: str
    expected: str
    low: float
    high: float
    values: tuple[float, ...]
    claim: int | None = None
    as_stated: bool = False
    every_seed: bool = False
    failed: int = 0

    @property
    def interval(self) -> Interval:
        """The mean over the seeds with its 95 % interval of Student's t."""
        return mean_interval(np.array(self.values))

    @property
    def agrees(self) -> bool:
        """Whether the mean, or every seed, is in the range; never if there is no value or a run failed."""
        if not self.values or self.failed:
            return False
        tested = self.values if self.every_seed else (float(np.mean(self.values)),)
        return all(self.low <= value <= self.high for value in tested)

    @property
    def agrees_strictly(self) -> bool:
        """Whether also the ends of the interval are in the range."""
        ends = (self.interval.low, self.interval.high)
        return self.agrees and all(math.isnan(end) or self.low <= end <= self.high for end in ends)

    @property
    def ours(self) -> str:
        """The mean with its interval, as text; failed runs are counted."""
        found = self.interval
        text = "none" if not self.values else f"{found.value:.4g}"
        if not math.isnan(found.low):
            text += f" ({found.low:.3g} to {found.high:.3g})"
        return text + (f", {self.failed} failed" if self.failed else "")

    def record(self) -> dict[str, Any]:
        """Return the attributes as JSON can store them; infinite ends become None."""
        ends = {
            name: value if math.isfinite(value) else None for name, value in (("low", self.low), ("high", self.high))
        }
        return dataclasses.asdict(self) | ends | {"agrees": self.agrees}

    @classmethod
    def read(cls, record: dict[str, Any]) -> Finding:
        """Return the finding that :meth:`record` described."""
        known = {field.name: record[field.name] for field in dataclasses.fields(cls)}
        known["values"] = tuple(known["values"])
        known["low"] = -math.inf if known["low"] is None else known["low"]
        known["high"] = math.inf if known["high"] is None else known["high"]
        return cls(**known)


def near(
    quantity: str,
    expected: float,
    tolerance: float,
    values: float | tuple[float, ...],
    claim: int | None = None,
    **more: Any,
) -> Finding:
    """Return the finding of ``values`` that should be within ``tolerance`` of the number ``expected``."""
    found = values if isinstance(values, tuple) else (float(values),)
    text = f"{expected:.6g} ± {tolerance:.2g}"
    return Finding(quantity, text, expected - tolerance, expected + tolerance, found, claim, **more)
