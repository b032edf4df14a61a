"""What a report shows, read from run directories: plain values, without a trace of HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ganrun import __version__
from ganrun.comparison import table
from ganrun.comparison.groups import Group, group, texts
from ganrun.comparison.runs import Run, chosen_metrics, read_comparable
from ganrun.comparison.table import Comparison, compare
from ganrun.config.hparams import flat, hyperparameters
from ganrun.config.schema import Train, to_dict
from ganrun.errors import ConfigError
from ganrun.evaluation.metrics.spec import rating, spec_of
from ganrun.methods.finding import Finding
from ganrun.report.charts import Chart, chart, group_colors
from ganrun.report.repeat import run_command, sweep_command
from ganrun.report.run_pictures import last_pictures
from ganrun.storage.run_directory import MAX_SUMMARY, load_config, relative
from ganrun.storage.safe_io import read_json
from ganrun.writers.closing import metric_rows
from ganrun.writers.newest import Newest

CURVES = ("D(x)", "D(G(z))", "loss", "loss/discriminator", "loss/generator")  # drawn besides the metrics compared
BYTES = 2_000_000  # of all pictures, about
PICTURED = 48  # maximum number of runs with pictures, besides those that are shown first
FAILED = 4  # maximum number of failed runs among those that are shown first


@dataclass
class RunCard:
    """A run on the page.

    Attributes:
        run: the run.
        config: its settings.
        group: number of its group, best first.
        label: what distinguishes it: its group's settings and its seed.
        value: its value of the first metric as text; empty if there is none.
        metrics: tag, value and meaning of each of its last metrics.
        findings: the training failures that were detected.
        pictures: step and address of each of its last pictures, by kind.
        changed: settings in which it differs from the others, as text.
        command: repeats it.
        facts: seconds, device and versions, as far as recorded.
        reason: why it ended early or failed.
        roles: why it is shown first: best, median, worst, failed.
    """

    run: Run
    config: Train
    group: int
    label: str
    value: str
    metrics: list[tuple[str, str, str]]
    findings: list[Finding]
    pictures: dict[str, tuple[int, str]]
    changed: dict[str, str]
    command: str
    facts: dict[str, str]
    reason: str = ""
    roles: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.run.folder.name


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
        raise ConfigError("no run has come far enough for a report.")
    groups = group(runs, tags, unfinished)
    comparison = compare(groups, tags, level, interval, more_notes=left_out)
    known = {tag for run in runs for tag in run.last}
    drawn = [*tags, *(tag for tag in CURVES if tag in known and tag not in tags)]
    charts = [chart(comparison.groups, tag, _meaning(tag), level, interval) for tag in drawn]
    configs = {id(run): load_config(run.folder) for run in runs}
    every = {id(run): hyperparameters(config) for run, config in zip(runs, configs.values(), strict=True)}
    varied, common = _settings(list(every.values()), [flat(to_dict(config)) for config in configs.values()])
    cards = _cards(comparison, configs, every, list(varied))
    return Content(
        title=_title(paths, runs),
        made=f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}, ganrun {__version__}",
        comparison=comparison,
        colors=group_colors(len(comparison.groups)),
        heads=[*table.keys(comparison), *(comparison.counts[0] if comparison.counts else ())],
        rows=[_row(comparison, i) for i in range(len(comparison.groups))],
        metrics=[(tag, _meaning(tag)) for tag in tags],
        gaps_title=table.gap_title(comparison),
        gaps=table.gap_lines(comparison),
        charts=[drawn for drawn in charts if any(curve["steps"] for curve in drawn.data["curves"])],
        cards=cards,
        varied=varied,
        common=common,
        command=sweep_command(list(configs.values())),
        counts=_counts(runs),
    )


def _title(paths: Sequence[str], runs: list[Run]) -> str:
    if len(runs) == 1:
        return f"Run {runs[0].folder.name}"
    where = Path(paths[0]).expanduser().name if len(paths) == 1 and paths[0] != "latest" else ""
    return f"{len(runs)} runs" + (f" of {where}" if where else "")


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
        if len({repr(value) for value in found}) > 1 or len(found) < len(every):
            varied[key] = list(dict.fromkeys(texts(found)))
    common = {
        key: _plain(value)
        for key, value in whole[0].items()
        if all(key in row and row[key] == value for row in whole[1:])
    }
    return varied, common


def _plain(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _row(comparison: Comparison, i: int) -> list[tuple[str, float | str]]:
    """Return the cells of group ``i``: the text of each, and the number or text to sort it by."""
    one, cells = comparison.groups[i], comparison.cells[i]
    found: list[tuple[str, float | str]] = []
    for key in table.keys(comparison):
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


def _cards(
    comparison: Comparison, configs: dict[int, Train], every: dict[int, dict[str, Any]], varied: list[str]
) -> list[RunCard]:
    tag = comparison.metrics[0]

    def rank(pair: tuple[int, Run]) -> tuple[bool, float]:
        value = pair[1].last.get(tag, math.nan)
        bad = pair[1].failed or not math.isfinite(value)
        return bad, 0.0 if bad else rating(tag, value)

    placed = sorted(((i, run) for i, one in enumerate(comparison.groups) for run in one.runs), key=rank)
    cards = []
    for i, run in placed:
        config, summary = configs[id(run)], _summary(run)
        seed = every[id(run)].get("seed", run.settings.get("seed"))
        label = comparison.groups[i].label
        value = run.last.get(tag, math.nan)
        cards.append(
            RunCard(
                run=run,
                config=config,
                group=i,
                label=f"seed={seed}" if label == "all runs" else f"{label}, seed={seed}",
                value="" if math.isnan(value) else f"{value:.4g}",
                metrics=metric_rows(run.last, Newest(), config.steps),
                findings=_findings(summary),
                pictures={},
                changed={key: _plain(every[id(run)].get(key, "")) for key in varied},
                command=run_command(config, run.folder),
                facts=_facts(summary),
                reason=str(summary.get("reason", "")),
            )
        )
    _give_roles(cards, tag)
    for i, card in enumerate(cards):
        if i < PICTURED or card.roles:
            card.pictures = last_pictures(card.run.folder, BYTES / min(len(cards), PICTURED))
    return cards


def _give_roles(cards: list[RunCard], tag: str) -> None:
    """Name the best, the median and the worst run by ``tag``, and the first failed ones."""
    rated = [card for card in cards if not card.run.failed and math.isfinite(card.run.last.get(tag, math.nan))]
    if rated:
        middle = int(np.ceil(len(rated) / 2)) - 1
        for place, role in ((0, "best"), (middle, "median"), (len(rated) - 1, "worst")):
            rated[place].roles.append(role)
    for card in [card for card in cards if card.run.failed][:FAILED]:
        card.roles.append("failed")


def _summary(run: Run) -> dict[str, Any]:
    try:
        summary = read_json(run.folder / "summary.json", MAX_SUMMARY)
    except (OSError, ValueError):  # a run that has not ended
        return {}
    return summary if isinstance(summary, dict) else {}


def _findings(summary: dict[str, Any]) -> list[Finding]:
    found = []
    for plain in summary.get("warnings", []) if isinstance(summary.get("warnings"), list) else []:
        try:
            found.append(Finding.of(plain))
        except (KeyError, TypeError, ValueError):
            continue
    return found


def _facts(summary: dict[str, Any]) -> dict[str, str]:
    facts = {}
    if isinstance(summary.get("seconds"), int | float):
        facts["time"] = f"{summary['seconds']:.1f} s"
    if isinstance(summary.get("steps"), int):
        facts["steps"] = str(summary["steps"])
    if isinstance(summary.get("device"), str):
        facts["device"] = summary["device"]
    if isinstance(versions := summary.get("versions"), dict):
        facts["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    return facts


def folder_of(card: RunCard) -> str:
    """Return the run directory of ``card`` as messages show it."""
    return relative(card.run.folder)


def group_names(groups: Sequence[Group]) -> list[str]:
    """Return the labels of ``groups``."""
    return [one.label for one in groups]
