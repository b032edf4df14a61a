"""The comparison as a table: to read, or as Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ganrun.comparison.runs import LESS, MORE, Group
from ganrun.comparison.statistics import Difference, Interval, differences, mean_interval

FEW = 6  # groups up to which every pair is compared; beyond, each is compared with the best


@dataclass(frozen=True)
class Comparison:
    """What is known of ``groups``, best first.

    Attributes:
        metrics: the tags compared; the first decides the order.
        cells: by group and metric: the mean over the runs that have not failed, with its interval.
        best: by group and metric: the best single run's value (NaN where there is none, or none is better than others).
        gaps: differences in the first metric.
    """

    groups: list[Group]
    metrics: list[str]
    cells: list[list[Interval]]
    best: list[list[float]]
    gaps: list[Difference]
    level: float
    correction: str


def compare(
    groups: list[Group], metrics: list[str], level: float = 0.95, interval: str = "student", correction: str = "holm"
) -> Comparison:
    """Aggregate ``groups`` over their runs, sorted by the first of ``metrics``, best first."""
    first = metrics[0] if metrics else ""

    def rank(one: Group) -> tuple[bool, float]:
        mean = mean_interval(one.values(first)).value
        return math.isnan(mean), -mean if first in MORE else mean

    groups = sorted(groups, key=rank)
    cells = [[mean_interval(one.values(tag), level, interval) for tag in metrics] for one in groups]
    best = [[_best(one.values(tag), tag) for tag in metrics] for one in groups]
    every = [(i, j) for i in range(len(groups)) for j in range(i + 1, len(groups))]
    pairs = every if len(groups) <= FEW else [(0, j) for j in range(1, len(groups))]
    gaps = differences([one.values(first) for one in groups], pairs, level, correction) if first else []
    return Comparison(groups, metrics, cells, best, gaps, level, correction)


def _best(values: np.ndarray, tag: str) -> float:
    if not len(values) or not tag.startswith((*MORE, *LESS)):
        return math.nan
    return float(values.max() if tag in MORE else values.min())


def keys(found: Comparison) -> list[str]:
    """Return the settings in which the groups differ."""
    return list(dict.fromkeys(key for one in found.groups for key in one.settings))


def heads(found: Comparison) -> list[str]:
    """Return the heads of a metric's table."""
    return [
        *keys(found),
        "n",
        "failed",
        *(["pruned"] if _some_pruned(found) else []),
        "mean",
        f"{found.level:.4g} interval",
        "best",
    ]


def rows(found: Comparison, metric: int) -> list[list[str]]:
    """Return the rows of one metric's table, one for each group, as people read numbers."""
    lines = []
    for one, cells, best in zip(found.groups, found.cells, found.best, strict=True):
        cell = cells[metric]
        settings = [str(one.settings.get(key, "")) for key in keys(found)]
        counts = list(map(str, _counts(found, one).values()))
        around = "" if math.isnan(cell.low) else f"{cell.low:.4g} to {cell.high:.4g}"
        numbers = ["" if math.isnan(value) else f"{value:.4g}" for value in (cell.value, best[metric])]
        lines.append([*settings, *counts, numbers[0], around, numbers[1]])
    return lines


def _counts(found: Comparison, one: Group) -> dict[str, int]:
    """Return how many runs ``one`` has, and how many do not count; pruned ones only where ``found`` has any at all."""
    some = {"pruned": sum(run.pruned for run in one.runs)} if _some_pruned(found) else {}
    return {"n": len(one.runs), "failed": sum(run.failed for run in one.runs), **some}


def _some_pruned(found: Comparison) -> bool:
    return any(run.pruned for one in found.groups for run in one.runs)


def gap_lines(found: Comparison) -> list[str]:
    """Return a line for each difference in the first metric."""
    lines = []
    for gap in found.gaps:
        names = f"{found.groups[gap.first].label} minus {found.groups[gap.second].label}"
        if math.isnan(gap.interval.low):
            why = "too few runs for an interval" if math.isfinite(gap.interval.value) else "no interval"
            lines.append(f"{names}: {gap.interval.value:+.4g} ({why})")
        else:
            p = "< 0.0001" if gap.adjusted < 1e-4 else f"= {gap.adjusted:.4f}"
            lines.append(
                f"{names}: {gap.interval.value:+.4g} [{gap.interval.low:+.4g}, {gap.interval.high:+.4g}], p {p}"
            )
    return lines


def gap_title(found: Comparison) -> str:
    """Return what the lines of :func:`gap_lines` are, with how they were corrected."""
    how = {"none": "not corrected", "holm": "Bonferroni intervals, Holm p", "bonferroni": "Bonferroni"}
    tested = sum(not math.isnan(gap.interval.low) for gap in found.gaps)
    return f"differences in {found.metrics[0]} (Welch; {tested} at once: {how[found.correction]})"


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
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def as_markdown(found: Comparison) -> str:
    """Return table and differences as Markdown."""
    lines: list[str] = []
    for i, tag in enumerate(found.metrics):
        table = [heads(found), ["---"] * len(heads(found)), *rows(found, i)]
        lines += [f"**{tag}**", "", *(" | ".join(["", *map(_escaped, cells), ""]).strip() for cells in table), ""]
    gaps = gap_lines(found)
    if gaps:
        lines += [f"{gap_title(found)}:", "", *(f"- {line}" for line in gaps)]
    return "\n".join(lines).rstrip() + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def as_records(found: Comparison) -> list[dict[str, Any]]:
    """Return one flat record per group: its settings, counts, and each metric's mean, ends and best."""
    records = []
    for one, cells, best in zip(found.groups, found.cells, found.best, strict=True):
        record: dict[str, Any] = {key: one.settings.get(key) for key in keys(found)}
        record |= _counts(found, one)
        for tag, cell, top in zip(found.metrics, cells, best, strict=True):
            record |= {f"{tag} mean": cell.value, f"{tag} low": cell.low, f"{tag} high": cell.high, f"{tag} best": top}
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
    content = {"level": found.level, "correction": found.correction, "groups": as_records(found), "differences": gaps}
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
