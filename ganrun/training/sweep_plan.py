"""The plan of a sweep: which runs can share a program, and in which batches; stored in the sweep's directory."""

from __future__ import annotations

import resource
from collections.abc import Collection, Container, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from ganrun.config.settings import Train
from ganrun.errors import ConfigError, shown
from ganrun.storage.run_directory import MAX_SUMMARY, PLAN, STORAGE, completed
from ganrun.storage.safe_io import read_json
from ganrun.storage.sweep_directory import Contents, read_contents, write_contents

FILES = 4  # open files per run
MAX = {"cpu": 64}  # members of one program, by backend: more gain nothing on a few cores
MAX_ELSEWHERE = 4096


@dataclass(frozen=True)
class Job:
    """One run of a sweep: its config and its run directory."""

    config: Train
    folder: Path


@dataclass
class Plan:
    """The batches of a sweep, each trained as one program. A batch lists its jobs by their index in the sweep."""

    batches: list[list[int]]

    @classmethod
    def of(cls, jobs: Sequence[Job], programs: Sequence[Hashable] | None = None) -> Plan:
        """Group ``jobs`` by program, in batches of at most :func:`max_members`; ``programs``: theirs, if known."""
        groups: dict[Hashable, list[int]] = {}
        for i, job in enumerate(jobs):
            groups.setdefault(program(job.config) if programs is None else programs[i], []).append(i)
        return cls([part for group in groups.values() for part in cut(group, max_members(jobs[group[0]].config))])

    @classmethod
    def read(cls, folder: Path, jobs: Sequence[Job]) -> Plan | None:
        """Return the plan that :meth:`write` stored in ``folder`` for ``jobs``; None if there is none for them.

        Raises:
            ConfigError: the file is damaged.
        """
        path = folder / PLAN
        if not path.exists():
            return None
        contents = read_contents(folder)
        if contents.runs != _names(folder, jobs):
            return None  # the plan of another batch of a search
        if sorted(i for batch in contents.batches for i in batch) != list(range(len(jobs))):
            raise ConfigError(f"{path} cannot be read: its batches are not those of {len(jobs)} runs")
        return cls(contents.batches)

    def write(self, folder: Path, jobs: Sequence[Job], varied: Collection[str] = ()) -> None:
        """Write the plan and the runs' directories to ``folder``, after those that are stored there already.

        ``varied`` are the keys of the hyperparameters that vary in the sweep.
        """
        write_contents(folder, Contents(_names(folder, jobs), self.batches, varied=sorted(varied)))

    def next(self, done: Container[int]) -> list[int] | None:
        """Return the first batch with a run that is not ``done``; None if all are."""
        return next((batch for batch in self.batches if any(i not in done for i in batch)), None)

    def split(self, batch: list[int], limit: int) -> None:
        """Replace ``batch`` by batches of at most ``limit`` runs."""
        place = self.batches.index(batch)
        self.batches[place : place + 1] = cut(batch, limit)

    def describe(self) -> str:
        """Return a one-line description of the plan."""
        runs, sizes = sum(map(len, self.batches)), [len(batch) for batch in self.batches]
        listed = ", ".join(map(str, sizes[:8])) + (", ..." if len(sizes) > 8 else "")
        each = f" with {listed} runs" if len(sizes) > 1 else ""
        return f"{runs} runs in {len(sizes)} program{'s' if len(sizes) > 1 else ''}{each}"


def _names(folder: Path, jobs: Sequence[Job]) -> list[str]:
    return [job.folder.relative_to(folder).as_posix() for job in jobs]


def program(config: Train) -> Hashable:
    """Return a key that is equal for runs that can share a program."""
    dataset: Any = config.dataset
    if hasattr(dataset, "density"):
        density = dataset.density()
        dataset = (type(dataset), *(part.shape for part in (density.means, density.stds, density.weights)))
    # The loop decides for all members at once, by the settings of the first.
    when = (config.log, config.evaluate, config.checkpoint, config.probe, config.stop, config.ema.snapshots)
    loop = (config.steps, config.steps_per_call, config.feed, config.mesh, len(config.ema.sigma_rel), *when)
    return config.method.build(config, config.dataset.shape), dataset, config.data_dir, loop


def cut(group: list[int], limit: int) -> list[list[int]]:
    """Divide ``group`` into the fewest parts of at most ``limit`` items, of nearly equal size."""
    parts = -(-len(group) // limit)
    size = -(-len(group) // parts)
    return [group[start : start + size] for start in range(0, len(group), size)]


def max_members(config: Train) -> int:
    """Return the maximum number of members of one program.

    This is ``population.members`` or, by default, the number beyond which the backend gains nothing; reduced if the
    process may not open enough files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    by_files = (hard - 256) // FILES if hard != resource.RLIM_INFINITY else MAX_ELSEWHERE
    by_setting = config.population.members or MAX.get(jax.default_backend(), MAX_ELSEWHERE)
    return max(1, min(by_setting, by_files))


def ended(job: Job) -> int | None:
    """Return the exit code of a run that has ended (completed, failed or pruned); None if it can continue."""
    if completed(job.folder, job.config) or _summary(job.folder).get("status") == "pruned":
        return 0
    return None if reason(job.folder) is None else 1


def reason(folder: Path) -> str | None:
    """Return why the run in ``folder`` failed; None if it has not, or for no reason of its own.

    A file could not be written, or the process ended by an error that is not ganrun's: a resumed sweep tries it again.
    """
    summary = _summary(folder)
    failed = summary.get("status") == "failed" and summary.get("cause") != STORAGE and "reason" in summary
    return shown(str(summary["reason"]), 500) if failed else None


def warnings_of(runs: Sequence[Path]) -> dict[str, set[Path]]:
    """Return the warnings in the summaries of ``runs``: for the name of each finding, the runs that have it."""
    affected: dict[str, set[Path]] = {}
    for run in runs:
        warnings = _summary(run).get("warnings", [])
        for finding in warnings if isinstance(warnings, list) else []:
            if isinstance(finding, dict) and isinstance(finding.get("name"), str):
                affected.setdefault(shown(finding["name"]), set()).add(run)
    return affected


def _summary(folder: Path) -> dict[str, Any]:
    try:
        summary = read_json(folder / "summary.json", MAX_SUMMARY)
        return summary if isinstance(summary, dict) else {}
    except (OSError, ValueError):
        return {}
