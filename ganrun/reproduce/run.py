"""Runs experiments one after the other, keeps their findings, and continues after an interruption."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ganrun import __version__
from ganrun.errors import cannot_write, shown
from ganrun.reproduce.experiments import Experiment, named
from ganrun.reproduce.finding import Finding
from ganrun.reproduce.workspace import Interrupted, Workspace, terminable
from ganrun.storage.run_directory import write_atomically
from ganrun.storage.safe_io import read_json
from ganrun.training import device
from ganrun.writers.console import Terminal

RESULT = "result.json"
MAX_RESULT = 1 << 22  # bytes of a result that are read
SKIPPED, FAILED = "needs a GPU", "failed"


@dataclass(frozen=True)
class Budget:
    """Where and how long experiments run.

    Attributes:
        folder: the folder of all experiments.
        full: budget=full instead of quick.
        seeds: number of seeds that was asked for; None: what each experiment chooses.
    """

    folder: Path
    full: bool = False
    seeds: int | None = None


@dataclass(frozen=True)
class Result:
    """The outcome of an experiment.

    Attributes:
        name: of the experiment.
        findings: its numbers.
        commands: the commands that it ran.
        figures: names of its pictures in its folder, with captions.
        seconds: how long it took, without what was there from an interrupted attempt.
        kept: number of commands whose results were there.
        date: when it ended, UTC.
        about: versions, device.
        problem: why there are no findings, or empty.
    """

    name: str
    findings: tuple[Finding, ...] = ()
    commands: tuple[str, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    kept: int = 0
    date: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def agrees(self) -> bool:
        """Whether every number agrees, and every statement known to be wrong was shown to be so."""
        return not self.problem and all(one.agrees != one.as_stated for one in self.findings)

    def agrees_strictly(self) -> bool:
        """Whether that holds for the whole intervals."""
        found = [not one.agrees if one.as_stated else one.agrees_strictly for one in self.findings]
        return not self.problem and all(found)


def reproduce(names: Iterable[str], budget: Budget, again: bool = False) -> list[Result]:
    """Run the experiments called ``names`` that have no result in the folder yet, and return all their results.

    An experiment that fails has a result that says so, and the others go on.

    Raises:
        Interrupted: by a signal; the state of the run that was training is saved.
        StorageError: a file cannot be written.
    """
    terminal = Terminal(markup=False, emoji=False, highlight=False, soft_wrap=True)
    chosen, about = named(names), device.describe()
    try:
        budget.folder.mkdir(parents=True, exist_ok=True)  # before the first experiment takes its time
        with terminable():
            return _run_each(chosen, budget, again, about, terminal)
    except OSError as error:
        raise cannot_write(error, budget.folder) from error


def _run_each(
    chosen: list[tuple[Experiment, bool]], budget: Budget, again: bool, about: dict[str, Any], terminal: Terminal
) -> list[Result]:
    results, has_gpu = [], "cpu" not in about["device"].lower()
    for i, (experiment, fits) in enumerate(chosen):
        place = f"[{i + 1}/{len(chosen)}] {experiment.name}"
        folder = budget.folder / experiment.name
        kept = None if again else _read(folder)
        if kept is not None:
            terminal.print(f"{place}: done on {kept.date}")
        elif not (fits or has_gpu):
            terminal.print(f"{place}: not run: it {SKIPPED} (its name instead of all runs it anyway)")
            kept = Result(experiment.name, problem=SKIPPED)
        else:
            minutes = experiment.minutes[budget.full]
            terminal.print(f"{place}: {experiment.shows} (about {minutes:g} minutes)")
        results.append(kept or _run(experiment, budget, again, about, terminal))
    return results


def _run(experiment: Experiment, budget: Budget, again: bool, about: dict[str, Any], terminal: Terminal) -> Result:
    folder = budget.folder / experiment.name
    workspace = Workspace(folder, budget.full, budget.seeds, lambda line: terminal.print(f"    {line}"))
    if again:
        workspace.clear()
    begun = time.perf_counter()
    try:
        findings = []
        for one in experiment.run(workspace):
            findings.append(one)
            terminal.print(f"    {mark(one)}: {one.quantity}: {one.ours}, expected {one.expected}")
    except (Interrupted, KeyboardInterrupt):
        raise
    except Exception as error:  # the others go on
        message = shown(str(error).splitlines()[0] if str(error) else type(error).__name__)
        terminal.print(f"    failed: {message}")
        return Result(experiment.name, problem=f"{FAILED}: {message}")
    result = Result(
        experiment.name,
        tuple(findings),
        tuple(workspace.commands),
        tuple(workspace.figures),
        time.perf_counter() - begun,
        workspace.kept,
        f"{datetime.now(UTC):%Y-%m-%d}",
        about | {"ganrun": __version__},
    )
    folder.mkdir(parents=True, exist_ok=True)
    record = asdict(result) | {"findings": [one.record() for one in result.findings]}
    write_atomically(folder / RESULT, json.dumps(record, indent=1))
    return result


def mark(finding: Finding) -> str:
    """Return the verdict on one number, as text."""
    if finding.as_stated:
        return "true as stated" if finding.agrees else "false as stated"
    return "agrees" if finding.agrees else "disagrees"


def _read(folder: Path) -> Result | None:
    """Return the result in ``folder``; None if there is none, or if it is damaged."""
    try:
        record = read_json(folder / RESULT, MAX_RESULT)
        record["findings"] = tuple(map(Finding.read, record["findings"]))
        record["figures"] = tuple(map(tuple, record["figures"]))
        return Result(**record)
    except (OSError, ValueError, TypeError, KeyError):
        return None
