"""The table of metrics printed at the end of a run, with their meanings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from ganrun.evaluation.metrics.spec import spec_of, specs
from ganrun.writers.newest import DIVERGENCES, Newest, measured, rounded

ELSEWHERE = ("jsd/probe_lower", "steps_per_second")  # not shown: jsd/probe and the time are
HEADINGS = ("metric", "value", "what it is")
GAP = "  "


def as_lines(metrics: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return ``metrics`` (tag, value and meaning of each) as plain lines with aligned columns."""
    rows = [HEADINGS, *metrics]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def as_table(metrics: Sequence[tuple[str, str, str]]) -> Table:
    """Return ``metrics`` as a table for a terminal."""
    table = Table(*HEADINGS, box=None, pad_edge=False, header_style="bold")
    for row in metrics:
        table.add_row(*map(Text, row))
    return table


def metric_rows(values: Mapping[str, Any], newest: Newest, step: int) -> list[tuple[str, str, str]]:
    """Return the rows of the metrics to show.

    Args:
        values: the latest value of each metric of the run; None for infinity.
        newest: provides the steps of these values.
        step: the step at which the run ended; the step of a value is shown if it differs.
    """
    order = {spec.name: place for place, spec in enumerate(specs())}
    tags = sorted(filter(_is_shown, values), key=lambda tag: (tag not in DIVERGENCES, order.get(tag, len(order))))
    return [_row(tag, values, newest.step(tag), step) for tag in tags]


def _is_shown(tag: str) -> bool:
    spec = spec_of(tag)
    listed = spec is not None and ("table" in spec.shown or spec.better is not None)
    return tag in DIVERGENCES or (listed and tag not in ELSEWHERE)


def _row(tag: str, values: Mapping[str, Any], of: int | None, step: int) -> tuple[str, str, str]:
    spec = spec_of(tag)
    known = {name: math.inf if value is None else value for name, value in values.items()}
    text = measured(tag, known) if tag in DIVERGENCES else rounded(known[tag], known.get(f"{tag}_se"))
    text += f" {spec.unit}" if spec and spec.unit else ""
    text += f" (step {of})" if of not in (None, step) else ""
    return tag, text, spec.meaning if spec else ""
