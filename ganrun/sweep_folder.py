"""The directory of a sweep: the plan that names its runs, where they lie, and finding them again.

Light enough to be imported by Hydra's plugins, which every command loads.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ganrun.errors import ConfigError, shown
from ganrun.labels import in_order
from ganrun.rundir import (
    FILES,
    FOLDERS,
    MOST_PLAN,
    PLAN,
    find_run,
    named_folder,
    relative,
    require_outside,
    require_own,
    write_atomically,
)
from ganrun.untrusted import is_one_line, read_json

DEEPEST = 8  # folders between a sweep's directory and a run's
LISTED = 3  # jobs that an error names


@dataclass(frozen=True)
class Contents:
    """What ``sweep.json`` says.

    Attributes:
        runs: the runs' directories, relative to the sweep's.
        batches: which runs train as one program, by their places in ``runs``.
        parts: subdirectories that are sweeps of their own, in one of which every run lies; mostly none. They are the
            jobs of a launcher of processes, of several runs each.
        varied: the keys of the hyperparameters that vary in the sweep.
    """

    runs: list[str] = field(default_factory=list)
    batches: list[list[int]] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    varied: list[str] = field(default_factory=list)


def read_contents(folder: Path) -> Contents:
    """Return what the plan in ``folder``, which may be a stranger's, says.

    Raises:
        ConfigError: the file is missing or damaged, or names what does not lie in ``folder``.
    """
    path = folder / PLAN
    try:
        content = read_json(path, MOST_PLAN)
        runs, batches, parts = content["runs"], content["batches"], content.get("parts", [])
        varied = content.get("varied", [])
        _require_names(runs, parts)
        if not all(isinstance(batch, list) and batch and all(type(i) is int for i in batch) for batch in batches):
            raise ValueError("its batches are no lists of numbers")
        if not isinstance(varied, list):
            raise ValueError("what varies is no list")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise ConfigError(f"{path} cannot be read: {reason}") from error
    return Contents(runs, batches, parts, [key for key in varied if isinstance(key, str)])


def _require_names(runs: Any, parts: Any) -> None:
    """Raise ``ValueError`` unless ``runs`` and ``parts`` are names of different directories inside the sweep's."""
    for names in (runs, parts):
        if not isinstance(names, list) or not all(isinstance(name, str) and _lies_inside(name) for name in names):
            raise ValueError("a run has a name that is none")
    if not runs:
        raise ValueError("it names no run")
    if len(set(runs)) < len(runs):
        raise ValueError("a run is named twice")
    if (pair := _nested(runs)) is not None:
        raise ValueError(f"the run {pair[1]} lies in the run {pair[0]}")
    if parts and not all(run.partition("/")[0] in parts and "/" in run for run in runs):
        raise ValueError("a run lies in none of its parts")


def _lies_inside(name: str) -> bool:
    """Return whether ``name`` is the relative path of a directory that a run may have."""
    parts = name.split("/")
    plain = not PurePosixPath(name).is_absolute() and name == str(PurePosixPath(name)) and is_one_line(name)
    return plain and len(parts) <= DEEPEST and not any(part in ("", ".", "..") or is_own(part) for part in parts)


def is_own(name: str) -> bool:
    """Return whether ganrun itself writes files or folders of this ``name``."""
    return name in FOLDERS or FILES.fullmatch(name) is not None


def _nested(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the first two of ``names`` of which one lies inside the other."""
    known = set(names)
    pairs = ((str(above), name) for name in names for above in PurePosixPath(name).parents if str(above) in known)
    return next(pairs, None)


def require_apart(names: Sequence[str], jobs: Sequence[str], first: int = 0) -> list[str]:
    """Return the directories ``names`` of the ``jobs`` of a sweep, each as a plain relative path.

    Args:
        names: what ``hydra.sweep.subdir`` gives for each job.
        jobs: what each job is, in words.
        first: the number of the first of them.

    Raises:
        ConfigError: two jobs would share a directory, or one would lie in another's or outside of the sweep's.
    """
    plain = [str(PurePosixPath(name)) for name in names]
    for i, name in enumerate(plain):
        if not _lies_inside(name):
            raise ConfigError(
                f"hydra.sweep.subdir must name a folder inside the sweep's, and none that ganrun itself writes; "
                f"job {first + i} ({jobs[i]}) would get '{shown(name)}'."
            )
    places: dict[str, list[int]] = {}
    for i, name in enumerate(plain):
        places.setdefault(name, []).append(i)
    for name, same in places.items():
        if len(same) > 1:
            told = " and ".join(f"job {first + i} ({jobs[i]})" for i in same[:LISTED])
            more = f" and {len(same) - LISTED} more" if len(same) > LISTED else ""
            raise ConfigError(
                f"hydra.sweep.subdir gives the folder '{shown(name)}' to {told}{more}: "
                "put what differs, or ${hydra.job.num}, into it."
            )
    if (pair := _nested(plain)) is not None:
        raise ConfigError(f"hydra.sweep.subdir puts the folder '{pair[1]}' of one job into another's, '{pair[0]}'.")
    return plain


def write_contents(folder: Path, new: Contents) -> None:
    """Leave the plan ``new`` in ``folder``, after what is planned there already.

    A search trains one batch of runs after another in the same folder.
    """
    before = Contents()
    if (folder / PLAN).exists():
        old = read_contents(folder)
        runs = [name for name in old.runs if name not in set(new.runs)]
        parts = [name for name in old.parts if name not in new.parts]
        before = Contents(runs, [batch for batch in old.batches if max(batch) < len(runs)], parts, old.varied)
    own = [[i + len(before.runs) for i in batch] for batch in new.batches]
    content: dict[str, Any] = {"runs": [*before.runs, *new.runs], "batches": [*before.batches, *own]}
    if before.parts or new.parts:
        content["parts"] = [*before.parts, *new.parts]
    if before.varied or new.varied:
        content["varied"] = sorted({*before.varied, *new.varied})
    write_atomically(folder / PLAN, json.dumps(content) + "\n")


def varied_in(folder: Path) -> frozenset[str]:
    """Return the keys of the hyperparameters that vary in the sweep in ``folder``; none where it says nothing."""
    try:
        return frozenset(read_contents(folder).varied)
    except ConfigError:
        return frozenset()


def runs_of(folder: Path) -> list[Path]:
    """Return the run directories of the sweep in ``folder``, in their order.

    Raises:
        ConfigError: the sweep's plan is damaged, or names what does not lie in ``folder``.
    """
    return [folder / name for name in read_contents(folder).runs]


def numbered_runs(folder: Path) -> list[Path]:
    """Return all run directories in ``folder``, ``2-seed=1`` before ``10-seed=0``."""
    runs = {found.parent for found in folder.glob("**/config.yaml")}
    return sorted(runs, key=lambda run: in_order(run.parts))


def find_sweep(name: str, outputs: Path = Path("outputs")) -> Path | None:
    """Return the sweep directory ``name``, or the sweep that the newest run belongs to for ``latest``; None if none."""
    if name != "latest":
        folder = named_folder(name)
        return folder.resolve() if (folder / PLAN).is_file() else None
    sweep, top = sweep_of(find_run(name, outputs)), outputs.resolve()
    return sweep if sweep is not None and (sweep == top or top in sweep.parents) else None


def sweep_of(run: Path) -> Path | None:
    """Return the directory of the sweep that the run in ``run`` belongs to; None where it is by itself."""
    above = list(run.absolute().parents)[:DEEPEST]
    sweep = next((folder for folder in above if (folder / PLAN).is_file() and _has(folder, run.absolute())), None)
    if sweep is not None and (sweep.parent / PLAN).is_file() and _has(sweep.parent, run.absolute()):
        return sweep.parent  # the run is of a job of several runs
    return sweep


def _has(sweep: Path, run: Path) -> bool:
    """Return whether ``run`` is one of ``sweep``, of which a damaged plan says nothing else."""
    try:
        return run in runs_of(sweep)
    except ConfigError:
        return run.parent == sweep


def begun(run: Path) -> bool:
    """Return whether the directory ``run`` holds more of a run than the config that a sweep's plan has left there."""
    left = {path.name for path in run.iterdir()} if run.is_dir() else set()
    return "config.yaml" in left and not left <= {"config.yaml", "config.yaml.tmp", ".lock"}


def is_taken(run: Path, sweep: Path) -> bool:
    """Return whether ``run`` holds one already. A kill before ``sweep`` had its plan has left configs only."""
    return begun(run) or ((run / "config.yaml").exists() and (sweep / PLAN).exists())


def require_room(sweep: Path, runs: Sequence[Path]) -> None:
    """Refuse directories that the ``runs`` of a new sweep in ``sweep`` cannot have, perhaps beside runs of another.

    Raises:
        ConfigError: one of them holds a run, lies in the directory of a run, or has one in it.
    """
    require_outside(sweep)
    taken = next((run for run in runs if is_taken(run, sweep)), None)
    if taken is not None:
        resume = shlex.quote(f"resume={relative(sweep)}")
        raise ConfigError(f"{relative(taken)} holds a run already: continue with {resume}, or choose another folder.")
    before = read_contents(sweep).runs if (sweep / PLAN).exists() else []
    own = [run.resolve().relative_to(sweep.resolve()).as_posix() for run in runs]
    if (pair := _nested([*before, *own])) is not None:
        outer, inner = (relative(sweep / name) for name in pair)
        raise ConfigError(f"the run {inner} would lie in the run {outer}: choose another hydra.sweep.dir or subdir.")


def require_own_runs(sweep: Path, runs: Sequence[Path]) -> None:
    """Refuse a ``sweep`` directory, and ``runs`` in it, through which writing would lead elsewhere.

    Raises:
        ConfigError: what ganrun would write, or a directory on the way to it, is a link or no file at all.
    """
    require_own(sweep)
    between = {folder for run in runs for folder in run.parents if sweep in folder.parents}
    for folder in (*sorted(between), *runs):
        require_own(folder, linked=False)
