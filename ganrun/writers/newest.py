"""The newest value of each metric, and the formatting of divergences: with their error, and with ≥ for lower bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

# In display order.
DIVERGENCES = ("jsd/exact", "jsd/smoothed", "jsd/probe")
ERRORS = {"jsd/exact": "jsd/exact_error", "jsd/smoothed": "jsd/smoothed_error", "jsd/probe": "jsd/probe_se"}
BOUNDS = ("jsd/probe",)  # lower bounds of the divergence
DIGITS = 4  # significant digits of a number without an error, or with an error too small to affect them


class Newest:
    """The newest value of each metric of a run, and its step."""

    def __init__(self) -> None:
        self._steps: dict[str, int] = {}
        self._values: dict[str, Any] = {}

    def see(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Record the ``scalars`` of ``step``."""
        values = {tag: value for tag, value in scalars.items() if tag != "step"}
        self._values.update(values)
        self._steps.update(dict.fromkeys(values, step))

    def restore(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Record the ``rows`` that a run has written before."""
        for row in rows:
            self.see(int(row["step"]), row)

    def value(self, tag: str) -> Any:
        """Return the newest value of ``tag``; None if there is none."""
        return self._values.get(tag)

    def step(self, tag: str) -> int | None:
        """Return the step of :meth:`value`."""
        return self._steps.get(tag)

    def divergences(self, step: int) -> list[str]:
        """Return the newest divergences as short texts, with their step if it is not ``step``."""
        return [
            f"{tag} {measured(tag, self._values)}" + ("" if self._steps[tag] == step else f" (step {self._steps[tag]})")
            for tag in DIVERGENCES
            if self._values.get(tag) is not None
        ]


def measured(tag: str, values: Mapping[str, Any]) -> str:
    """Return the value of ``tag`` in ``values`` with its error, and with ≥ for a lower bound: ``≥ 0.273 ± 0.004``."""
    text = rounded(values[tag], values.get(ERRORS.get(tag, "")))
    return f"≥ {text}" if tag in BOUNDS else text


def rounded(value: float, error: float | None = None) -> str:
    """Return ``value`` rounded to the first digit of ``error``, and ``error`` to one digit: ``0.273 ± 0.004``.

    An error too small to affect the first four digits of ``value`` is left out.
    """
    if not error or not math.isfinite(error) or not math.isfinite(value):
        return f"{value:.{DIGITS}g}"
    decimals = max(0, -math.floor(math.log10(error)))
    if value and decimals > DIGITS - 1 - math.floor(math.log10(abs(value))):
        return f"{value:.{DIGITS}g}"
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def medians(runs: Iterable[Newest]) -> list[str]:
    """Return the median over ``runs`` of each divergence that all have, with the latest step that all have reached."""
    known = list(runs)
    texts = []
    for tag in DIVERGENCES:
        pairs = [(run.value(tag), run.step(tag)) for run in known]
        values = sorted(value for value, _ in pairs if value is not None)
        if values and len(values) == len(known):
            middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
            step = min(step for _, step in pairs if step is not None)
            texts.append(f"{tag} {'≥ ' if tag in BOUNDS else ''}{rounded(middle)} (step {step})")
    return texts
