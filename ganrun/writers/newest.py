"""The newest value of each metric, and how a divergence is written: with its error, and as a bound where it is one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

# In the order in which they are shown.
DIVERGENCES = ("jsd/exact", "jsd/smoothed", "jsd/probe")
ERRORS = {"jsd/exact": "jsd/exact_error", "jsd/smoothed": "jsd/smoothed_error", "jsd/probe": "jsd/probe_se"}
BOUNDS = ("jsd/probe",)  # the truth is at least that
DIGITS = 4  # of a number without an error, or with one that these do not show


class Newest:
    """The last value of each metric of a run and the step that it is of."""

    def __init__(self) -> None:
        self._steps: dict[str, int] = {}
        self._values: dict[str, Any] = {}

    def see(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Take in what is known of ``step``."""
        found = {tag: value for tag, value in scalars.items() if tag != "step"}
        self._values.update(found)
        self._steps.update(dict.fromkeys(found, step))

    def restore(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in the rows that a run has written before."""
        for row in rows:
            self.see(int(row["step"]), row)

    def value(self, tag: str) -> Any:
        """Return the newest value of ``tag``; None where there is none."""
        return self._values.get(tag)

    def step(self, tag: str) -> int | None:
        """Return the step of :meth:`value`."""
        return self._steps.get(tag)

    def divergences(self, step: int) -> list[str]:
        """Return the newest divergences, a few words each, those not of ``step`` with the step that they are of."""
        return [
            f"{tag} {measured(tag, self._values)}" + ("" if self._steps[tag] == step else f" (step {self._steps[tag]})")
            for tag in DIVERGENCES
            if self._values.get(tag) is not None
        ]


def measured(tag: str, values: Mapping[str, Any]) -> str:
    """Return the value of ``tag`` with its error among ``values``; a bound has its sign: ``≥ 0.273 ± 0.004``."""
    text = rounded(values[tag], values.get(ERRORS.get(tag, "")))
    return f"≥ {text}" if tag in BOUNDS else text


def rounded(value: float, error: float | None = None) -> str:
    """Return ``value`` to the digit that ``error`` leaves certain, and ``error`` in one digit: ``0.273 ± 0.004``.

    An error that the first four digits of ``value`` do not show is left out.
    """
    if not error or not math.isfinite(error) or not math.isfinite(value):
        return f"{value:.{DIGITS}g}"
    decimals = max(0, -math.floor(math.log10(error)))
    if value and decimals > DIGITS - 1 - math.floor(math.log10(abs(value))):
        return f"{value:.{DIGITS}g}"
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def medians(runs: Iterable[Newest]) -> list[str]:
    """Return the median over ``runs`` of each divergence, with the step that all of them have come to."""
    known = list(runs)
    shown = []
    for tag in DIVERGENCES:
        pairs = [(one.value(tag), one.step(tag)) for one in known]
        found = sorted(value for value, _ in pairs if value is not None)
        if found and len(found) == len(known):
            middle = (found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2
            step = min(step for _, step in pairs if step is not None)
            shown.append(f"{tag} {'≥ ' if tag in BOUNDS else ''}{rounded(middle)} (step {step})")
    return shown
