"""A sweep before it begins: which runs can be lanes of one program, how many at a time, and what is written of that."""

from __future__ import annotations

import resource
from collections.abc import Collection, Container, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from ganrun.config import Train
from ganrun.errors import ConfigError, shown
from ganrun.game.rules import game_of
from ganrun.rundir import MOST_SUMMARY, PLAN, STORAGE, completed
from ganrun.sweep_folder import Contents, read_contents, write_contents
from ganrun.untrusted import read_json

FILES = 4  # that a lane keeps open
MOST = {"cpu": 64}  # lanes of one program: more gain nothing on a few cores
MOST_ELSEWHERE = 4096


@dataclass(frozen=True)
class Job:
    """One run of a sweep: what it is and where it goes."""

    config: Train
    folder: Path


@dataclass
class Plan:
    """What trains together: every batch is one program. The numbers count the jobs of the sweep."""

    batches: list[list[int]]

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> Plan:
        """Group ``jobs`` by their programs, in batches that are not too large."""
        groups: dict[Hashable, list[int]] = {}
        for i, job in enumerate(jobs):
            groups.setdefault(program(job.config), []).append(i)
        return cls([part for group in groups.values() for part in cut(group, most_lanes(jobs[group[0]].config))])

    @classmethod
    def read(cls, folder: Path, jobs: Sequence[Job]) -> Plan | None:
        """Return the plan that :meth:`write` left in ``folder`` for ``jobs``; None where there is none for them.

        Raises:
            ConfigError: the file is damaged.
        """
        path = folder / PLAN
        if not path.exists():
            return None
        found = read_contents(folder)
        if found.runs != _names(folder, jobs):
            return None  # of another batch of a search
        if sorted(i for batch in found.batches for i in batch) != list(range(len(jobs))):
            raise ConfigError(f"{path} cannot be read: its batches are not those of {len(jobs)} runs")
        return cls(found.batches)

    def write(self, folder: Path, jobs: Sequence[Job], varied: Collection[str] = ()) -> None:
        """Leave the plan in ``folder``, with the runs' directories, after those that are there already.

        ``varied`` are the keys of the hyperparameters that vary in the sweep.
        """
        write_contents(folder, Contents(_names(folder, jobs), self.batches, varied=sorted(varied)))

    def next(self, done: Container[int]) -> list[int] | None:
        """Return the first batch with a run that is not ``done``."""
        return next((batch for batch in self.batches if any(i not in done for i in batch)), None)

    def split(self, batch: list[int], most: int) -> None:
        """Put smaller batches in the place of ``batch``."""
        place = self.batches.index(batch)
        self.batches[place : place + 1] = cut(batch, most)

    def told(self) -> str:
        """Return the plan in words."""
        runs, sizes = sum(map(len, self.batches)), [len(batch) for batch in self.batches]
        listed = ", ".join(map(str, sizes[:8])) + (", ..." if len(sizes) > 8 else "")
        each = f" with {listed} runs" if len(sizes) > 1 else ""
        return f"{runs} runs as lanes of {len(sizes)} program{'s' if len(sizes) > 1 else ''}{each}"


def _names(folder: Path, jobs: Sequence[Job]) -> list[str]:
    return [job.folder.relative_to(folder).as_posix() for job in jobs]


def program(config: Train) -> Hashable:
    """Return what two runs must have in common to be lanes of one program."""
    dataset: Any = config.dataset
    if hasattr(dataset, "density"):
        density = dataset.density()
        dataset = (type(dataset), *(part.shape for part in (density.means, density.stds, density.weights)))
    loop = (config.steps, config.steps_per_call, config.log, config.checkpoint, config.probe)
    return game_of(config, config.dataset.shape), dataset, config.data_dir, loop


def cut(group: list[int], most: int) -> list[list[int]]:
    """Cut ``group`` into as few parts of at most ``most`` as there can be, nearly equal in size."""
    parts = -(-len(group) // most)
    size = -(-len(group) // parts)
    return [group[start : start + size] for start in range(0, len(group), size)]


def most_lanes(config: Train) -> int:
    """Return how many lanes one program may have: as asked for, or as many as do some good; all keep files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    by_files = (hard - 256) // FILES if hard != resource.RLIM_INFINITY else MOST_ELSEWHERE
    wanted = config.population.lanes or MOST.get(jax.default_backend(), MOST_ELSEWHERE)
    return max(1, min(wanted, by_files))


def ended(job: Job) -> int | None:
    """Return the exit code of a run with nothing left to do (it has arrived, failed or been pruned); else None."""
    if completed(job.folder, job.config.steps) or _summary(job.folder).get("status") == "pruned":
        return 0
    return None if reason(job.folder) is None else 1


def reason(folder: Path) -> str | None:
    """Return why the run in ``folder`` failed for good; None where it has not."""
    summary = _summary(folder)
    failed = summary.get("status") == "failed" and summary.get("cause") != STORAGE
    return shown(str(summary.get("reason", "it failed")), 500) if failed else None


def warnings_of(runs: Sequence[Path]) -> dict[str, set[Path]]:
    """Return what was found to be wrong with ``runs``, by name, and with which of them."""
    found: dict[str, set[Path]] = {}
    for run in runs:
        told = _summary(run).get("warnings", [])
        for one in told if isinstance(told, list) else []:
            if isinstance(one, dict) and isinstance(one.get("name"), str):
                found.setdefault(shown(one["name"]), set()).add(run)
    return found


def _summary(folder: Path) -> dict[str, Any]:
    try:
        summary = read_json(folder / "summary.json", MOST_SUMMARY)
        return summary if isinstance(summary, dict) else {}
    except (OSError, ValueError):
        return {}
