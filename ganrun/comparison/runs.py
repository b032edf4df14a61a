"""Reading runs, and grouping them by the settings in which they differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ganrun.errors import ConfigError, did_you_mean
from ganrun.labels import short_keys
from ganrun.metrics.spec import latest
from ganrun.rundir import (
    MOST_SUMMARY,
    PLAN,
    find_run,
    find_sweep,
    hyperparameters,
    load_config,
    numbered_runs,
    relative,
    runs_of,
)
from ganrun.untrusted import read_json
from ganrun.writers.jsonl import numbers, rows_of

# Metrics of which more is better, and how those begin of which less is; of the others neither is.
MORE = ("modes/covered", "modes/high_quality", "modes/kl", "steps_per_second")
LESS = ("jsd/", "kl/", "w1", "data_missed")
USUAL = ("jsd/exact", "jsd/probe", "modes/covered", "D(x)", "D(G(z))", "critic/real", "critic/fake")


@dataclass(frozen=True)
class Run:
    """A run as far as it has come.

    Attributes:
        settings: by dotted key, seed and all.
        status: completed, stopped, pruned or failed; ``running`` where there is no summary.
        last: the last value of each metric; infinite where JSON has null.
    """

    folder: Path
    settings: dict[str, Any]
    status: str
    last: dict[str, float]

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    @property
    def pruned(self) -> bool:
        """Whether a search ended it early: its last numbers are not those of a whole run."""
        return self.status == "pruned"

    def curve(self, tag: str) -> tuple[list[int], list[float]]:
        """Return the steps at which ``tag`` was written, and its values."""
        rows = [row for row in rows_of(self.folder) if tag in row]
        return [int(row["step"]) for row in rows], [row[tag] for row in rows]


@dataclass
class Group:
    """Runs that differ in nothing but the seed; ``settings`` are those in which groups differ."""

    settings: dict[str, Any]
    runs: list[Run] = field(default_factory=list)

    @property
    def label(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.settings.items()) or "all runs"

    @property
    def sound(self) -> list[Run]:
        """The runs that have neither failed nor been pruned."""
        return [run for run in self.runs if not run.failed and not run.pruned]

    def values(self, tag: str) -> np.ndarray:
        """Return the last values of ``tag`` of the sound runs that have one."""
        return np.array([run.last[tag] for run in self.sound if tag in run.last], np.float64)


def read_runs(paths: list[str]) -> list[Run]:
    """Return the runs at ``paths``: run directories, and sweep directories for all that lie in them.

    Raises:
        ConfigError: a path is neither, or a run's files cannot be read.
    """
    folders: list[Path] = []
    for path in paths:
        folders += _folders(path)
    return [_read(folder) for folder in dict.fromkeys(folders)]


def group(runs: list[Run]) -> list[Group]:
    """Group ``runs`` by the settings in which they differ, the seed apart; in the order in which they come."""
    keys = [key for key in dict.fromkeys(key for run in runs for key in run.settings) if key != "seed"]
    differing = [key for key in keys if len({str(run.settings.get(key)) for run in runs}) > 1]
    # What follows from another choice says nothing: loss.name tells what loss.beta, which only one loss has, would.
    common = [key for key in differing if all(key in run.settings for run in runs)]
    extra = [key for key in differing if key not in common and _tells_more(key, common, runs)]
    names = short_keys([*common, *extra])
    groups: dict[tuple[str, ...], Group] = {}
    for run in runs:
        settings = {names[key]: run.settings[key] for key in (*common, *extra) if key in run.settings}
        groups.setdefault(tuple(map(str, settings.items())), Group(settings)).runs.append(run)
    return list(groups.values())


def chosen_metrics(asked: list[str], runs: list[Run]) -> list[str]:
    """Return the metrics to compare: those ``asked`` for, or the usual ones that some run has."""
    known = list(dict.fromkeys(tag for run in runs for tag in run.last))
    for tag in asked:
        if tag not in known:
            raise ConfigError(
                f"no run has the metric '{tag}' (they have {', '.join(known) or 'none yet'}).{did_you_mean(tag, known)}"
            )
    return asked or [tag for tag in USUAL if tag in known] or known[:4]


def _tells_more(key: str, common: list[str], runs: list[Run]) -> bool:
    seen: dict[tuple[str, ...], set[str]] = {}
    for run in runs:
        if key in run.settings:
            seen.setdefault(tuple(str(run.settings[one]) for one in common), set()).add(str(run.settings[key]))
    return any(len(values) > 1 for values in seen.values())


def _folders(path: str) -> list[Path]:
    sweep = find_sweep(path)
    if sweep is not None:
        return runs_of(sweep)
    folder = Path(path).expanduser()
    if path != "latest" and folder.is_dir() and not (folder / "config.yaml").exists():
        inside = numbered_runs(folder.resolve())
        if inside:
            return inside
        raise ConfigError(f"{path} holds no run: neither config.yaml nor {PLAN}.")
    return [find_run(path)]


def _read(folder: Path) -> Run:
    config = load_config(folder)
    settings = hyperparameters(config) | {"seed": config.seed}
    try:
        summary = read_json(folder / "summary.json", MOST_SUMMARY)
        status, metrics = str(summary["status"]), numbers(summary["metrics"])
    except FileNotFoundError:
        status, metrics = "running", {}
        for row in rows_of(folder):
            metrics = latest(metrics, row)
        metrics.pop("step", None)
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ConfigError(f"{relative(folder / 'summary.json')} cannot be read: {error}") from error
    return Run(folder, settings, status, metrics)
