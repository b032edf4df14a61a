"""The runs of a report, one by one: metrics, warnings, pictures and the command that repeats them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ganrun.comparison.runs import Run
from ganrun.comparison.table import Comparison
from ganrun.config.settings import Train
from ganrun.evaluation.metrics.spec import rating
from ganrun.methods.finding import Finding
from ganrun.report.repeat import Compose, run_command
from ganrun.report.run_pictures import last_pictures
from ganrun.storage.run_directory import MAX_SUMMARY
from ganrun.storage.safe_io import read_json
from ganrun.writers.closing import metric_rows
from ganrun.writers.newest import Newest

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


def cards_of(
    comparison: Comparison,
    configs: dict[int, Train],
    every: dict[int, dict[str, Any]],
    varied: list[str],
    compose: Compose,
) -> list[RunCard]:
    """Return the runs of ``comparison``, best first.

    Args:
        comparison: of their groups.
        configs: of the runs, by the identity of each.
        every: the hyperparameters of each run, likewise.
        varied: keys of the hyperparameters that differ between runs.
        compose: returns the config of a list of overrides of a run.
    """
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
                changed={key: plain(every[id(run)].get(key, "")) for key in varied},
                command=run_command(config, run.folder, compose),
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


def plain(value: Any) -> str:
    """Return a setting as text, as it is typed."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
