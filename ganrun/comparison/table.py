"""The comparison as a table: to read, or as Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ganrun.comparison.groups import Group, notes
from ganrun.comparison.statistics import NO_VARIANCE, Difference, Interval, comparable, differences, mean_interval
from ganrun.metrics.spec import better

ALWAYS = ("runs", "failed")  # counts that a table has in any case
FEW = 6  # groups up to which every pair is compared; beyond, each is compared with the best


@dataclass(frozen=True)
class Comparison:
    """What is known of ``groups``, best first.

    Attributes:
        metrics: the tags compared; the first decides the order.
        cells: by group and metric: the mean over the runs that count, with its interval.
        best: by group and metric: the best single run's value (NaN where there is none, or none is better than others).
        gaps: differences in the first metric, corrected for all pairs of groups.
        level: of the intervals.
        interval: how those of means are had: student or bootstrap.
        counts: by group: how many runs it has, and how many of them do not count, or may not, by the reason.
        pairs: how many pairs of groups could be tested.
        notes: what does not count or compare, a line each.
    """

    groups: list[Group]
    metrics: list[str]
    cells: list[list[Interval]]
    best: list[list[float]]
    gaps: list[Difference]
    level: float
    interval: str
    correction: str
    counts: list[dict[str, int]]
    pairs: int
    notes: list[str]


def compare(
    groups: list[Group], metrics: list[str], level: float = 0.95, interval: str = "student", correction: str = "holm"
) -> Comparison:
    """Aggregate ``groups`` over their runs, sorted by the first of ``metrics``, best first."""
    first = metrics[0] if metrics else ""

    def rank(one: Group) -> tuple[bool, float]:
        mean = mean_interval(one.values(first)).value
        return math.isnan(mean), -mean if better(first) == "higher" else mean

    groups = sorted(groups, key=rank)
    cells = [[mean_interval(one.values(tag), level, interval) for tag in metrics] for one in groups]
    best = [[_best(one.values(tag), tag) for tag in metrics] for one in groups]
    every = [(i, j) for i in range(len(groups)) for j in range(i + 1, len(groups))]
    pairs = every if len(groups) <= FEW else [(0, j) for j in range(1, len(groups))]
    values = [one.values(first) for one in groups] if first else []
    gaps = differences(values, pairs, level, correction) if first else []
    return Comparison(
        groups,
        metrics,
        cells,
        best,
        gaps,
        level,
        interval,
        correction,
        _counts(groups),
        len(list(combinations(comparable(values), 2))),
        notes(groups, metrics),
    )


def _counts(groups: list[Group]) -> list[dict[str, int]]:
    """Count the runs of each of ``groups`` by what becomes of them; what none has but failures is left out."""
    counts = [
        {
            "runs": len(one.observations),
            "failed": sum(run.failed for run in one.observations),
            "pruned": sum(run.pruned for run in one.observations),
            "unfinished": sum(run.unfinished for run in one.observations),
            "repeated": len(one.repeated),
        }
        for one in groups
    ]
    heads = [head for head in counts[0] if any(own[head] for own in counts)] if counts else []
    return [{head: own[head] for head in own if head in (*ALWAYS, *heads)} for own in counts]


def _best(values: np.ndarray, tag: str) -> float:
    direction = better(tag)
    if not len(values) or direction is None:
        return math.nan
    return float(values.max() if direction == "higher" else values.min())


def keys(found: Comparison) -> list[str]:
    """Return the settings in which the groups differ."""
    return list(dict.fromkeys(key for one in found.groups for key in one.settings))


def heads(found: Comparison) -> list[str]:
    """Return the heads of a metric's table."""
    counts = found.counts[0] if found.counts else ALWAYS
    return [*keys(found), *counts, "n", "mean", f"{found.level:.4g} interval", "best"]


def rows(found: Comparison, metric: int) -> list[list[str]]:
    """Return the rows of one metric's table, one for each group, as people read numbers; n runs are in the mean."""
    lines = []
    tag = found.metrics[metric]
    for one, cells, best, counts in zip(found.groups, found.cells, found.best, found.counts, strict=True):
        cell = cells[metric]
        settings = [one.shown.get(key, "") for key in keys(found)]
        around = f"{cell.low:.4g} to {cell.high:.4g}"
        if math.isnan(cell.low):
            around = NO_VARIANCE if comparable([one.values(tag)]) else ""
        numbers = ["" if math.isnan(value) else f"{value:.4g}" for value in (cell.value, best[metric])]
        count = str(len(one.values(tag)))
        lines.append([*settings, *map(str, counts.values()), count, numbers[0], around, numbers[1]])
    return lines


def gap_lines(found: Comparison) -> list[str]:
    """Return a line for each difference in the first metric."""
    lines = []
    for gap in found.gaps:
        value, low, high = gap.interval.value, gap.interval.low, gap.interval.high
        p = "< 0.0001" if gap.adjusted < 1e-4 else f"= {gap.adjusted:.4f}"
        if not math.isnan(low):
            how = f"[{low:+.4g}, {high:+.4g}], p {p}"
        elif not math.isnan(gap.p):
            how = f"({NO_VARIANCE}, so no interval; exact permutation test: p {p})"
        else:
            how = "(too few runs for an interval)" if math.isfinite(value) else "(no interval)"
        pair = found.groups[gap.first], found.groups[gap.second]
        names = " minus ".join(one.label for one in pair)
        missing = [one.label for one in pair if not len(one.values(found.metrics[0]))]
        if missing:
            lines.append(f"{names}: not known, no run of {' nor of '.join(missing)} that counts has it")
        else:
            lines.append(f"{names}: {value:+.4g} {how}")
    return lines


def gap_title(found: Comparison) -> str:
    """Return what the lines of :func:`gap_lines` are, with how they were corrected."""
    how = {"none": "not corrected", "holm": "Bonferroni intervals, Holm p", "bonferroni": "Bonferroni"}
    shown = ", those with the best shown" if len(found.groups) > FEW else ""
    return f"differences in {found.metrics[0]} (Welch; {found.pairs} at once{shown}: {how[found.correction]})"


def as_text(found: Comparison, width: int = 100) -> str:
    """Return a table for each metric, then the differences in the first, for a person's terminal."""
    file = io.StringIO()
    console = Console(file=file, width=width, highlight=False, markup=False, emoji=False)
    for i, tag in enumerate(found.metrics):
        table = Table(box=SIMPLE_HEAD, padding=(0, 1), title=Text(tag), title_justify="left")
        for head in heads(found):
            table.add_column(head, overflow="fold")
        for row in rows(found, i):
            table.add_row(*map(Text, row))
        console.print(table)
    gaps = gap_lines(found)
    if gaps:
        console.print("\n".join([f"{gap_title(found)}:", *(f"  {line}" for line in gaps)]), soft_wrap=True)
    for note in found.notes:
        console.print(f"note: {note}", soft_wrap=True)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def as_markdown(found: Comparison) -> str:
    """Return table and differences as Markdown."""
    lines: list[str] = []
    for i, tag in enumerate(found.metrics):
        table = [heads(found), ["---"] * len(heads(found)), *rows(found, i)]
        lines += [f"**{tag}**", "", *(" | ".join(["", *map(_escaped, cells), ""]).strip() for cells in table), ""]
    gaps = gap_lines(found)
    if gaps:
        lines += [f"{gap_title(found)}:", "", *(f"- {line}" for line in gaps), ""]
    lines += [f"note: {note}\n" for note in found.notes]
    return "\n".join(lines).rstrip() + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def as_records(found: Comparison) -> list[dict[str, Any]]:
    """Return one flat record per group: its settings, counts, and each metric's mean, ends and best."""
    records = []
    for one, cells, best, counts in zip(found.groups, found.cells, found.best, found.counts, strict=True):
        record: dict[str, Any] = {key: one.settings.get(key) for key in keys(found)} | counts
        for tag, cell, top in zip(found.metrics, cells, best, strict=True):
            record |= {
                f"{tag} n": len(one.values(tag)),
                f"{tag} mean": cell.value,
                f"{tag} low": cell.low,
                f"{tag} high": cell.high,
                f"{tag} best": top,
            }
        records.append(record)
    return records


def as_csv(found: Comparison) -> str:
    """Return the records as CSV."""
    records, file = as_records(found), io.StringIO()
    writer = csv.DictWriter(file, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue()


def as_json(found: Comparison) -> str:
    """Return groups and differences as one JSON object; what is not finite is null."""
    gaps = [
        {
            "metric": found.metrics[0],
            "first": found.groups[gap.first].label,
            "second": found.groups[gap.second].label,
            "difference": gap.interval.value,
            "low": gap.interval.low,
            "high": gap.interval.high,
            "p": gap.p,
            "adjusted": gap.adjusted,
        }
        for gap in found.gaps
    ]
    content = {
        "level": found.level,
        "interval": found.interval,
        "correction": found.correction,
        "pairs": found.pairs,
        "groups": as_records(found),
        "differences": gaps,
        "notes": found.notes,
    }
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
