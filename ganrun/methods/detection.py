"""Detectors of training failures: functions of the most recent rows of metrics, and the settings they suggest.

A detector gets the last rows, at most :data:`MEMORY`, newest last, and returns its evidence or None. It must not report
anything on a healthy run, even at the start of training: warnings that are often wrong are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganrun.config.settings import Train

Row = dict[str, Any]
# A function of a run's config and the step; returns a setting to try, or None if the run already has it.
Suggestion = Callable[["Train", int], "str | None"]

MEMORY = 96  # rows that detectors get


@dataclass(frozen=True)
class RunFacts:
    """Facts about a run that detectors need.

    Attributes:
        steps: total number of steps.
        modes: number of modes of the data; 0 if unknown.
        lag: steps by which the weights that samples are drawn from lag behind the trained ones.
    """

    steps: int
    modes: int = 0
    lag: float = 0.0


@dataclass(frozen=True)
class Detector:
    """A kind of failure: its name, a function that returns evidence of it, and settings to try."""

    name: str
    evidence: Callable[[Sequence[Row], RunFacts], str | None]
    suggestions: tuple[Suggestion, ...]


def chosen(suggestions: tuple[Suggestion, ...], config: Train, step: int) -> tuple[str, ...]:
    """Return the first two of ``suggestions`` that the run of ``config`` does not already have."""
    return tuple(filter(None, (suggestion(config, step) for suggestion in suggestions)))[:2]
