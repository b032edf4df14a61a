"""What a report shows, read from run directories: plain values, without a trace of HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ganrun import __version__
from ganrun.comparison import formats
from ganrun.comparison.groups import Group, group, texts
from ganrun.comparison.runs import Run, chosen_metrics, read_comparable, too_early
from ganrun.comparison.table import Comparison, compare
from ganrun.config.hparams import flat, hyperparameters
from ganrun.config.hydra_bridge import composing
from ganrun.config.schema import to_dict
from ganrun.evaluation.metrics.spec import spec_of
from ganrun.methods.finding import Finding
from ganrun.report.cards import RunCard, cards_of, plain
from ganrun.report.charts import Chart, chart, group_colors
from ganrun.report.repeat import sweep_command
from ganrun.storage.run_directory import load_config, relative

CURVES = ("D(x)", "D(G(z))", "loss", "loss/discriminator", "loss/generator")  # drawn besides the metrics compared


@dataclass(frozen=True)
class Content:
    """What a report shows.

    Attributes:
        title: of the page.
        made: when and with which version it was made.
        comparison: of the groups of runs.
        colors: of the groups.
        heads: columns of the table of groups: settings and counts.
        rows: the settings and counts of each group, then a text for each metric, and the numbers to sort them by.
        metrics: tag and meaning of each metric compared.
        gaps_title: heading of the differences.
        gaps: a line for each difference between groups in the first metric.
        charts: curves of metrics.
        cards: all runs, best first.
        varied: the values of each setting that differs between runs.
        common: the settings that all runs share, by dotted key.
        command: repeats all of them as one sweep; empty if none does.
        counts: number of runs by status.
    """

    title: str
    made: str
    comparison: Comparison
    colors: list[str]
    heads: list[str]
    rows: list[list[tuple[str, float | str]]]
    metrics: list[tuple[str, str]]
    gaps_title: str
    gaps: list[str]
    charts: list[Chart]
    cards: list[RunCard]
    varied: dict[str, list[str]]
    common: dict[str, str]
    command: str
    counts: dict[str, int]

    @property
    def warnings(self) -> dict[str, list[tuple[RunCard, Finding]]]:
        """The failures that were detected, by name, the most frequent first."""
        found: dict[str, list[tuple[RunCard, Finding]]] = {}
        for card in self.cards:
            for finding in card.findings:
                found.setdefault(finding.name, []).append((card, finding))
        return dict(sorted(found.items(), key=lambda pair: -len(pair[1])))

    @property
    def featured(self) -> list[RunCard]:
        """The runs that are shown first: the best, the median and the worst one, and failed ones."""
        return [card for card in self.cards if card.roles]


def read_content(
    paths: Sequence[str], metrics: Sequence[str], level: float, interval: str, unfinished: bool
) -> Content:
    """Return what a report on the runs at ``paths`` shows.

    Args:
        paths: run directories, and sweep directories for all runs in them.
        metrics: tags to compare, the first determines the order; empty: the usual ones.
        level: confidence level of the intervals.
        interval: method for intervals of means: student or bootstrap.
        unfinished: whether runs that are running or were stopped count in means.

    Raises:
        ConfigError: a path is no run and no sweep, no run can be read, or none has the metrics.
    """
    runs, left_out = read_comparable(list(paths), curves=True)
    tags = chosen_metrics(list(metrics), runs)
    if not tags:
        raise too_early(runs, "for a report")
    groups = group(runs, tags, unfinished)
    comparison = compare(groups, tags, level, interval, more_notes=left_out)
    known = {tag for run in runs for tag in run.last}
    drawn = [*tags, *(tag for tag in CURVES if tag in known and tag not in tags)]
    charts = [chart(comparison.groups, tag, _meaning(tag), level, interval) for tag in drawn]
    configs = {id(run): run.config or load_config(run.folder) for run in runs}
    every = {id(run): hyperparameters(config) for run, config in zip(runs, configs.values(), strict=True)}
    varied, common = _settings(list(every.values()), [flat(to_dict(config)) for config in configs.values()])
    compose = composing("train")
    cards = cards_of(comparison, configs, every, list(varied), compose)
    return Content(
        title=_title(paths, runs),
        made=f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}, ganrun {__version__}",
        comparison=comparison,
        colors=group_colors(len(comparison.groups)),
        heads=[*formats.keys(comparison), *(comparison.counts[0] if comparison.counts else ())],
        rows=[_row(comparison, i) for i in range(len(comparison.groups))],
        metrics=[(tag, _meaning(tag)) for tag in tags],
        gaps_title=_as_heading(formats.gap_title(comparison)),
        gaps=formats.gap_lines(comparison),
        charts=[drawn for drawn in charts if any(curve["steps"] for curve in drawn.data["curves"])],
        cards=cards,
        varied=varied,
        common=common,
        command=sweep_command(list(configs.values()), compose),
        counts=_counts(runs),
    )


def _title(paths: Sequence[str], runs: list[Run]) -> str:
    if len(runs) == 1:
        return f"Run {runs[0].folder.name}"
    where = Path(paths[0]).expanduser().name if len(paths) == 1 and paths[0] != "latest" else ""
    return f"{len(runs)} runs" + (f" of {where}" if where else "")


def _as_heading(text: str) -> str:
    return text[:1].upper() + text[1:]


def _meaning(tag: str) -> str:
    spec = spec_of(tag)
    return spec.meaning if spec else ""


def _counts(runs: list[Run]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.status] = counts.get(run.status, 0) + 1
    return counts


def _settings(every: list[dict[str, Any]], whole: list[dict[str, Any]]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the settings that vary with their values, and all settings that are the same in all runs, as texts."""
    keys = list(dict.fromkeys(key for row in every for key in row))
    varied = {}
    for key in keys:
        found = [row[key] for row in every if key in row]
        if len({repr(value) for value in found}) > 1:  # not what only some options have, such as loss.margin
            varied[key] = list(dict.fromkeys(texts(found)))
    common = {
        key: plain(value)
        for key, value in whole[0].items()
        if all(key in row and row[key] == value for row in whole[1:])
    }
    return varied, common


def _row(comparison: Comparison, i: int) -> list[tuple[str, float | str]]:
    """Return the cells of group ``i``: the text of each, and the number or text to sort it by."""
    one, cells = comparison.groups[i], comparison.cells[i]
    found: list[tuple[str, float | str]] = []
    for key in formats.keys(comparison):
        value = one.settings.get(key, "")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        found.append((one.shown.get(key, ""), float(value) if number else str(value)))
    found += [(str(count), float(count)) for count in comparison.counts[i].values()]
    for cell in cells:
        text = "" if math.isnan(cell.value) else f"{cell.value:.4g}"
        if text and not math.isnan(cell.low):
            text += f" ({cell.low:.4g} to {cell.high:.4g})"
        found.append((text, cell.value if math.isfinite(cell.value) else ""))
    return found


def folder_of(card: RunCard) -> str:
    """Return the run directory of ``card`` as messages show it."""
    return relative(card.run.folder)


def group_names(groups: Sequence[Group]) -> list[str]:
    """Return the labels of ``groups``."""
    return [one.label for one in groups]
