"""The specification of a metric: its unit, its direction and a one-line description, written once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["lower", "higher"]
Place = Literal["bar", "line", "table"]  # the live progress bar, the lines of a log, the table at the end of a run
EVERYWHERE: tuple[Place, ...] = ("bar", "line", "table")
SHARE = (0.0, 1.0)  # the bounds of shares and probabilities
AT_LEAST_0 = (0.0, math.inf)  # those of counts, times, norms, divergences and standard errors


@dataclass(frozen=True)
class MetricSpec:
    """One metric, or a family of metrics.

    Attributes:
        name: the tag in TensorBoard and metrics.jsonl; a trailing ``*`` matches the tags of a family.
        meaning: a one-line description for tables.
        unit: nats, steps/s, ...; empty for counts, shares and scores without a unit.
        better: the direction of improvement; None if neither direction is better.
        shown: where it is printed during and after training. The table also has every metric with a direction. A
            comparison has those of ``table`` with a direction, and all with a direction of an option of the group
            ``metric`` that is not a default of ``train.yaml``.
        bounds: the lowest and the highest value that is possible, if there are: intervals of means end there.
    """

    name: str
    meaning: str
    unit: str = ""
    better: Direction | None = None
    shown: tuple[Place, ...] = ()
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Chart:
    """A chart of several metrics on TensorBoard's page of custom scalars.

    Attributes:
        title: of the chart.
        curves: the tags, each with a name of letters and underscores. TensorBoard cannot draw a tag with parentheses
            there, so the chart shows copies under ``chart/NAME``.
        reference: the name and the value of a horizontal line.
    """

    title: str
    curves: Mapping[str, str] = field(default_factory=dict)
    reference: tuple[str, float] | None = None
