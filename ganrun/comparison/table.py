"""The comparison of groups of runs: statistics with intervals, differences, and counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ganrun.comparison.groups import Group, notes
from ganrun.comparison.robust import bootstrapped, probability_of_improvement
from ganrun.comparison.statistics import Difference, Interval, comparable, differences, mean_interval
from ganrun.evaluation.metrics.spec import better, bounds

ALWAYS = ("runs", "failed")  # counts that are always shown
FEW = 6  # maximum number of groups for which every pair is compared; otherwise each is compared with the best


@dataclass(frozen=True)
class Comparison:
    """The comparison of ``groups``, best first.

    Attributes:
        groups: the groups.
        metrics: the tags compared; the first determines the order.
        cells: by group and metric: the statistic over the runs that count, with its interval inside the metric's
            bounds.
        best: by group and metric: the best run's value (NaN if there is none, or the metric has no direction).
        gaps: differences of the means of the first metric, corrected for all pairs of groups.
        improvements: for each of ``gaps``, the probability that a run of its first group is better than one of its
            second; NaN if the metric has no direction.
        level: confidence level of the intervals.
        interval: method for intervals of means: student or bootstrap.
        statistic: what the cells are: mean, iqm (interquartile mean) or median.
        correction: for multiple comparisons: holm, bonferroni or none.
        counts: by group: the number of runs, and of those that do not or may not count, by reason.
        pairs: the number of pairs of groups that could be tested.
        notes: a line for each reason why runs do not count or are not comparable.
    """

    groups: list[Group]
    metrics: list[str]
    cells: list[list[Interval]]
    best: list[list[float]]
    gaps: list[Difference]
    improvements: list[float]
    level: float
    interval: str
    statistic: str
    correction: str
    counts: list[dict[str, int]]
    pairs: int
    notes: list[str]


def compare(
    groups: list[Group],
    metrics: list[str],
    level: float = 0.95,
    interval: str = "student",
    correction: str = "holm",
    more_notes: Sequence[str] = (),
    statistic: str = "mean",
) -> Comparison:
    """Aggregate ``groups`` over their runs, sorted by the first of ``metrics``, best first.

    Args:
        groups: to be compared.
        metrics: tags.
        level: confidence level of the intervals.
        interval: method for intervals of means: student or bootstrap. Those of other statistics are bootstrapped.
        correction: for multiple comparisons: holm, bonferroni or none.
        more_notes: on runs that are in none of the groups.
        statistic: of the runs of a group: mean, iqm or median.
    """
    first = metrics[0] if metrics else ""

    def cell(group: Group, tag: str) -> Interval:
        if statistic == "mean":
            return mean_interval(group.values(tag), level, interval)
        return Interval(*bootstrapped(group.values(tag), statistic, level))

    def rank(group: Group) -> tuple[bool, float]:
        value = cell(group, first).value
        return math.isnan(value), -value if better(first) == "higher" else value

    groups = sorted(groups, key=rank)
    cells = [[_within(cell(group, tag), tag) for tag in metrics] for group in groups]
    best = [[_best(group.values(tag), tag) for tag in metrics] for group in groups]
    every = [(i, j) for i in range(len(groups)) for j in range(i + 1, len(groups))]
    pairs = every if len(groups) <= FEW else [(0, j) for j in range(1, len(groups))]
    values = [group.values(first) for group in groups] if first else []
    gaps = differences(values, pairs, level, correction) if first else []
    direction = better(first) if first else None
    improvements = [
        math.nan if direction is None else probability_of_improvement(values[i], values[j], direction == "higher")
        for i, j in ((gap.first, gap.second) for gap in gaps)
    ]
    return Comparison(
        groups,
        metrics,
        cells,
        best,
        gaps,
        improvements,
        level,
        interval,
        statistic,
        correction,
        _counts(groups),
        len(list(combinations(comparable(values), 2))),
        [*notes(groups, metrics), *more_notes],
    )


def _within(interval: Interval, tag: str) -> Interval:
    """Return ``interval`` without what is beyond the bounds of ``tag``, where no mean is: its coverage stays."""
    low, high = np.clip([interval.low, interval.high], *bounds(tag))
    return replace(interval, low=float(low), high=float(high))


def _counts(groups: list[Group]) -> list[dict[str, int]]:
    """Count the runs of each of ``groups`` by status; statuses that no group has are left out, except failures."""
    counts = [
        {
            "runs": len(group.observations),
            "failed": sum(run.failed for run in group.observations),
            "pruned": sum(run.pruned for run in group.observations),
            "unfinished": sum(run.unfinished for run in group.observations),
            "repeated": len(group.repeated),
        }
        for group in groups
    ]
    heads = [head for head in counts[0] if any(count[head] for count in counts)] if counts else []
    return [{head: count[head] for head in count if head in (*ALWAYS, *heads)} for count in counts]


def _best(values: np.ndarray, tag: str) -> float:
    direction = better(tag)
    if not len(values) or direction is None:
        return math.nan
    return float(values.max() if direction == "higher" else values.min())
