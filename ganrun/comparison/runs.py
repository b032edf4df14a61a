"""Reads runs: their settings, status and last metrics."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ganrun.config.hparams import hyperparameters
from ganrun.config.registry import options
from ganrun.config.schema import METRICS
from ganrun.config.settings import Train
from ganrun.errors import WIDTH, ConfigError, instead, shown
from ganrun.evaluation.metrics.spec import LIST_TAGS, latest, specs
from ganrun.storage.metrics_file import numbers, rows_of
from ganrun.storage.run_directory import MAX_SUMMARY, PLAN, find_run, load_config, relative
from ganrun.storage.safe_io import read_json
from ganrun.storage.sweep_directory import find_sweep, numbered_runs, runs_of

PROBE = ("probe.name", "probe.budget")  # settings that affect the probe's values; its frequency does not
USUAL = ("jsd/exact", "jsd/probe", "modes/covered", "D(x)", "D(G(z))", "critic/real", "critic/fake")
LISTED = 3  # maximum number of runs that a note lists


@dataclass(frozen=True)
class Run:
    """A run up to its latest row of metrics.

    Attributes:
        settings: by dotted key, including the seed; ``penalty`` joins the penalties' names (none, r1, r1+r2).
        status: completed, stopped, pruned or failed; ``running`` if there is no summary.
        last: the last value of each metric; infinite where JSON has null.
        config: the settings as they were recorded.
        rows: all rows of metrics, if they have been read.
    """

    folder: Path
    settings: dict[str, Any]
    status: str
    last: dict[str, float]
    config: Train | None = field(default=None, repr=False, compare=False)
    rows: list[dict[str, float]] | None = field(default=None, repr=False, compare=False)

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    @property
    def pruned(self) -> bool:
        """Whether a search ended it early: its last values are not those of a completed run."""
        return self.status == "pruned"

    @property
    def finished(self) -> bool:
        """Whether it has completed all its steps."""
        return self.status == "completed"

    @property
    def unfinished(self) -> bool:
        """Whether it is running or was stopped, and may continue."""
        return not (self.finished or self.failed or self.pruned)

    def curve(self, tag: str) -> tuple[list[int], list[float]]:
        """Return the steps at which ``tag`` was logged, and its values."""
        rows = [row for row in (rows_of(self.folder) if self.rows is None else self.rows) if tag in row]
        return [int(row["step"]) for row in rows], [row[tag] for row in rows]


def read_runs(paths: list[str]) -> list[Run]:
    """Return the runs at ``paths``: run directories, and sweep directories for all runs in them.

    Raises:
        ConfigError: a path is neither, or a run's files cannot be read.
    """
    return [_read(folder) for folder in _run_folders(paths)]


def read_comparable(paths: list[str], curves: bool = False) -> tuple[list[Run], list[str]]:
    """Return the runs at ``paths`` whose files can be read, and a note on the others, if there are any.

    Each of the others is reported on standard error with the reason.

    Args:
        paths: as of :func:`read_runs`.
        curves: whether the metrics at all steps are needed, and not the last ones only.

    Raises:
        ConfigError: a path is no run and no sweep, or no run can be read.
    """
    runs: list[Run] = []
    damaged: dict[Path, ConfigError] = {}
    for folder in _run_folders(paths):
        try:
            run = _read(folder)
            runs.append(replace(run, rows=rows_of(folder)) if curves else run)
        except ConfigError as error:
            damaged[folder] = error
    if damaged and not runs:
        raise next(iter(damaged.values()))
    for folder, error in damaged.items():
        print(f"ganrun: {shown(f'{relative(folder)} is left out: {error}', WIDTH)}", file=sys.stderr)
    return runs, [_left_out(list(damaged))] if damaged else []


def _left_out(folders: list[Path]) -> str:
    listed = ", ".join(map(relative, folders[:LISTED])) + (", ..." if len(folders) > LISTED else "")
    return f"{len(folders)} {'run' if len(folders) == 1 else 'runs'} cannot be read, so not compared: {listed}"


def too_early(runs: list[Run], purpose: str) -> ConfigError:
    """Return the error of ``runs`` without metrics, which says how many of them failed, are running or were stopped."""
    counts = Counter(run.status for run in runs)
    listed = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return ConfigError(f"no run has come far enough {purpose}: {listed}.")


def chosen_metrics(requested: list[str], runs: list[Run]) -> list[str]:
    """Return the metrics to compare: ``requested``, or by default those of the usual ones that some run has.

    The usual ones include those with a direction of every option of the group ``metric`` that is not a default one: a
    run has them only because it was asked to.
    """
    known = list(dict.fromkeys(tag for run in runs for tag in run.last))
    for tag in requested:
        if tag not in known:
            names = instead(tag, known or ["none yet"], "They have", LIST_TAGS)
            raise ConfigError(f"no run has the metric '{tag}'.{names}")
    shown = [spec.name for spec in specs() if "table" in spec.shown and spec.better]
    chosen = [option for name, option in options("metric").items() if name not in METRICS]
    asked = [spec.name for option in chosen for spec in getattr(option, "SPECS", ()) if spec.better]
    usual = [tag for name in (*USUAL, *shown, *asked) for tag in known if tag == name or fnmatchcase(tag, name)]
    return requested or list(dict.fromkeys(usual)) or known[:4]


def _run_folders(paths: list[str]) -> list[Path]:
    return list(dict.fromkeys(folder for path in paths for folder in _folders(path)))


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
    try:
        summary = read_json(folder / "summary.json", MAX_SUMMARY)
        status, metrics = str(summary["status"]), numbers(summary["metrics"])
    except FileNotFoundError:
        status, metrics = "running", {}
        for row in rows_of(folder):
            metrics = latest(metrics, row)
        metrics.pop("step", None)
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ConfigError(f"{relative(folder / 'summary.json')} cannot be read: {error}") from error
    return Run(folder, settings_of(config), status, metrics, config)


def settings_of(config: Train) -> dict[str, Any]:
    """Return the settings on which the metrics of a run depend, by dotted key: of training and of its evaluation."""
    settings = hyperparameters(config)
    settings["penalty"] = "+".join(penalty.name for penalty in config.penalty) or "none"
    settings["probe.name"] = config.probe.name
    if config.probe.name != "off":
        settings["probe.budget"] = config.probe.budget
    return settings | {"seed": config.seed}
