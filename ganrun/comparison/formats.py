"""The comparison as text, Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ganrun.comparison.statistics import NO_VARIANCE, comparable
from ganrun.comparison.table import ALWAYS, FEW, Comparison

UNLIMITED = 100_000  # columns that no table fills


def keys(comparison: Comparison) -> list[str]:
    """Return the settings in which the groups differ."""
    return list(dict.fromkeys(key for group in comparison.groups for key in group.settings))


def heads(comparison: Comparison) -> list[str]:
    """Return the column names of a metric's table."""
    counts = comparison.counts[0] if comparison.counts else ALWAYS
    return [*keys(comparison), *counts, "n", comparison.statistic, f"{comparison.level:.4g} interval", "best"]


def rows(comparison: Comparison, metric: int) -> list[list[str]]:
    """Return the rows of one metric's table as text, one per group; n is the number of runs in the mean."""
    lines = []
    tag = comparison.metrics[metric]
    for group, cells, best, counts in zip(
        comparison.groups, comparison.cells, comparison.best, comparison.counts, strict=True
    ):
        cell = cells[metric]
        settings = [group.shown.get(key, "") for key in keys(comparison)]
        interval = f"{cell.low:.4g} to {cell.high:.4g}"
        if math.isnan(cell.low):
            interval = NO_VARIANCE if comparable([group.values(tag)]) else ""
        numbers = ["" if math.isnan(value) else f"{value:.4g}" for value in (cell.value, best[metric])]
        count = str(len(group.values(tag)))
        lines.append([*settings, *map(str, counts.values()), count, numbers[0], interval, numbers[1]])
    return lines


def gap_lines(comparison: Comparison) -> list[str]:
    """Return a line for each difference in the first metric."""
    lines = []
    for gap, improvement in zip(comparison.gaps, comparison.improvements, strict=True):
        value, low, high = gap.interval.value, gap.interval.low, gap.interval.high
        p = "< 0.0001" if gap.adjusted < 1e-4 else f"= {gap.adjusted:.4f}"
        if not math.isnan(low):
            how = f"[{low:+.4g}, {high:+.4g}], p {p}"
        elif not math.isnan(gap.p):
            how = f"({NO_VARIANCE}, so no interval; exact permutation test: p {p})"
        else:
            how = "(too few runs for an interval)" if math.isfinite(value) else "(no interval)"
        pair = comparison.groups[gap.first], comparison.groups[gap.second]
        names = " minus ".join(group.label for group in pair)
        missing = [group.label for group in pair if not len(group.values(comparison.metrics[0]))]
        if missing:
            lines.append(f"{names}: not known, no run of {' nor of '.join(missing)} that counts has it")
        else:
            shown = "" if math.isnan(improvement) else f"; probability of improvement {improvement:.3g}"
            lines.append(f"{names}: {value:+.4g} {how}{shown}")
    return lines


def gap_title(comparison: Comparison) -> str:
    """Return a heading for :func:`gap_lines` that states the test and the correction."""
    how = {"none": "not corrected", "holm": "Bonferroni intervals, Holm p", "bonferroni": "Bonferroni"}
    shown = ", those with the best shown" if len(comparison.groups) > FEW else ""
    correction = how[comparison.correction]
    return f"differences in {comparison.metrics[0]} (Welch; {comparison.pairs} at once{shown}: {correction})"


def terminal_width() -> int | None:
    """Return the columns of standard output: those of the terminal, or ``$COLUMNS``; None if neither limits a line."""
    return Console().width if sys.stdout.isatty() or os.environ.get("COLUMNS") else None


def as_text(comparison: Comparison, width: int | None = None) -> str:
    """Return a table for each metric, then the differences in the first, in at most ``width`` columns."""
    file = io.StringIO()
    console = Console(file=file, width=width or UNLIMITED, highlight=False, markup=False, emoji=False)
    for i, tag in enumerate(comparison.metrics):
        table = Table(box=SIMPLE_HEAD, padding=(0, 1), title=Text(tag), title_justify="left")
        for head in heads(comparison):
            table.add_column(head, overflow="fold")
        for row in rows(comparison, i):
            table.add_row(*map(Text, row))
        console.print(table)
    gaps = gap_lines(comparison)
    if gaps:
        console.print("\n".join([f"{gap_title(comparison)}:", *(f"  {line}" for line in gaps)]), soft_wrap=True)
    for note in comparison.notes:
        console.print(f"note: {note}", soft_wrap=True)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def as_markdown(comparison: Comparison) -> str:
    """Return the tables and the differences as Markdown."""
    lines: list[str] = []
    for i, tag in enumerate(comparison.metrics):
        table = [heads(comparison), ["---"] * len(heads(comparison)), *rows(comparison, i)]
        lines += [f"**{tag}**", "", *(" | ".join(["", *map(_escaped, cells), ""]).strip() for cells in table), ""]
    gaps = gap_lines(comparison)
    if gaps:
        lines += [f"{gap_title(comparison)}:", "", *(f"- {line}" for line in gaps), ""]
    lines += [f"note: {note}\n" for note in comparison.notes]
    return "\n".join(lines).rstrip() + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def as_records(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one flat record per group: its settings, counts, and each metric's mean, ends and best."""
    records = []
    for group, cells, best, counts in zip(
        comparison.groups, comparison.cells, comparison.best, comparison.counts, strict=True
    ):
        record: dict[str, Any] = {key: group.settings.get(key) for key in keys(comparison)} | counts
        for tag, cell, top in zip(comparison.metrics, cells, best, strict=True):
            record |= {
                f"{tag} n": len(group.values(tag)),
                f"{tag} {comparison.statistic}": cell.value,
                f"{tag} low": cell.low,
                f"{tag} high": cell.high,
                f"{tag} best": top,
            }
        records.append(record)
    return records


def as_csv(comparison: Comparison) -> str:
    """Return the records as CSV."""
    records, file = as_records(comparison), io.StringIO()
    writer = csv.DictWriter(file, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue()


def as_json(comparison: Comparison) -> str:
    """Return groups and differences as one JSON object; values that are not finite are null."""
    gaps = [
        {
            "metric": comparison.metrics[0],
            "first": comparison.groups[gap.first].label,
            "second": comparison.groups[gap.second].label,
            "difference": gap.interval.value,
            "low": gap.interval.low,
            "high": gap.interval.high,
            "p": gap.p,
            "adjusted": gap.adjusted,
            "probability_of_improvement": improvement,
        }
        for gap, improvement in zip(comparison.gaps, comparison.improvements, strict=True)
    ]
    content = {
        "level": comparison.level,
        "interval": comparison.interval,
        "statistic": comparison.statistic,
        "correction": comparison.correction,
        "pairs": comparison.pairs,
        "groups": as_records(comparison),
        "differences": gaps,
        "notes": comparison.notes,
    }
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
