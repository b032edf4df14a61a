"""Sweep directories: the plan that lists a sweep's runs, and finding runs and sweeps.

Imports little, because Hydra's plugins, which every command loads, import this module.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ganrun.config.labels import in_order
from ganrun.errors import ConfigError, shown
from ganrun.storage.folder_checks import FILES, FOLDERS, require_outside, require_own
from ganrun.storage.run_directory import MAX_PLAN, PLAN, find_run, named_folder, relative, write_atomically
from ganrun.storage.safe_io import is_one_line, read_json

DEEPEST = 8  # maximum number of folders between a sweep's directory and a run's
LISTED = 3  # maximum number of jobs that an error lists


@dataclass(frozen=True)
class Contents:
    """The content of ``sweep.json``.

    Attributes:
        runs: the runs' directories, relative to the sweep's.
        batches: the runs that train as one program, as indices into ``runs``.
        parts: subdirectories that are sweeps of their own, each a job of several runs of a launcher that starts
            processes. If there are any, every run is in one of them; usually there are none.
        varied: the keys of the hyperparameters that vary in the sweep.
    """

    runs: list[str] = field(default_factory=list)
    batches: list[list[int]] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    varied: list[str] = field(default_factory=list)


def read_contents(folder: Path) -> Contents:
    """Return the plan in ``folder``, which may be untrusted.

    Raises:
        ConfigError: the file is missing or damaged, or lists a directory outside ``folder``.
    """
    path = folder / PLAN
    try:
        content = read_json(path, MAX_PLAN)
        runs, batches, parts = content["runs"], content["batches"], content.get("parts", [])
        varied = content.get("varied", [])
        _require_names(runs, parts)
        if not all(isinstance(batch, list) and batch and all(type(i) is int for i in batch) for batch in batches):
            raise ValueError("its batches are not lists of numbers")
        if not isinstance(varied, list):
            raise ValueError("varied is not a list")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise ConfigError(f"{path} cannot be read: {reason}") from error
    return Contents(runs, batches, parts, [key for key in varied if isinstance(key, str)])


def _require_names(runs: Any, parts: Any) -> None:
    """Raise ``ValueError`` unless ``runs`` and ``parts`` name distinct directories inside the sweep's."""
    for names in (runs, parts):
        if not isinstance(names, list) or not all(isinstance(name, str) and _lies_inside(name) for name in names):
            raise ValueError("a run has an invalid name")
    if not runs:
        raise ValueError("it names no run")
    if len(set(runs)) < len(runs):
        raise ValueError("a run is named twice")
    if (pair := _nested(runs)) is not None:
        raise ValueError(f"the run {pair[1]} lies in the run {pair[0]}")
    if parts and not all(run.partition("/")[0] in parts and "/" in run for run in runs):
        raise ValueError("a run lies in none of its parts")


def _lies_inside(name: str) -> bool:
    """Return whether ``name`` is a valid relative path for a run directory."""
    parts = name.split("/")
    plain = not PurePosixPath(name).is_absolute() and name == str(PurePosixPath(name)) and is_one_line(name)
    return plain and len(parts) <= DEEPEST and not any(part in ("", ".", "..") or is_own(part) for part in parts)


def is_own(name: str) -> bool:
    """Return whether ``name`` is that of a file or folder which ganrun itself writes."""
    return name in FOLDERS or FILES.fullmatch(name) is not None


def _nested(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the first pair of ``names``, outer and inner, in which one contains the other; None if there is none."""
    known = set(names)
    pairs = ((str(above), name) for name in names for above in PurePosixPath(name).parents if str(above) in known)
    return next(pairs, None)


def require_apart(names: Sequence[str], jobs: Sequence[str], first: int = 0) -> list[str]:
    """Return the directories ``names`` of the ``jobs`` of a sweep, each as a plain relative path.

    Args:
        names: the value of ``hydra.sweep.subdir`` for each job.
        jobs: a description of each job, for errors.
        first: the number of the first job.

    Raises:
        ConfigError: two jobs would share a directory, or one would be in another's or outside the sweep's.
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
            listed = " and ".join(f"job {first + i} ({jobs[i]})" for i in same[:LISTED])
            more = f" and {len(same) - LISTED} more" if len(same) > LISTED else ""
            raise ConfigError(
                f"hydra.sweep.subdir gives the folder '{shown(name)}' to {listed}{more}: "
                "put what differs, or ${hydra.job.num}, into it."
            )
    if (pair := _nested(plain)) is not None:
        raise ConfigError(f"hydra.sweep.subdir puts the folder '{pair[1]}' of one job into another's, '{pair[0]}'.")
    return plain


def write_contents(folder: Path, new: Contents) -> None:
    """Write the plan ``new`` to ``folder``, after the runs that are already planned there.

    A search trains one batch of runs after another in the same folder.
    """
    before = Contents()
    if (folder / PLAN).exists():
        old = read_contents(folder)
        runs = [name for name in old.runs if name not in set(new.runs)]
        parts = [name for name in old.parts if name not in new.parts]
        before = Contents(runs, [batch for batch in old.batches if max(batch) < len(runs)], parts, old.varied)
    shifted = [[i + len(before.runs) for i in batch] for batch in new.batches]
    content: dict[str, Any] = {"runs": [*before.runs, *new.runs], "batches": [*before.batches, *shifted]}
    if before.parts or new.parts:
        content["parts"] = [*before.parts, *new.parts]
    if before.varied or new.varied:
        content["varied"] = sorted({*before.varied, *new.varied})
    write_atomically(folder / PLAN, json.dumps(content) + "\n")


def varied_in(folder: Path) -> frozenset[str]:
    """Return the keys of the hyperparameters that vary in the sweep in ``folder``; none if its plan is unreadable."""
    try:
        return frozenset(read_contents(folder).varied)
    except ConfigError:
        return frozenset()


def runs_of(folder: Path) -> list[Path]:
    """Return the run directories of the sweep in ``folder``, in the order of its plan.

    Raises:
        ConfigError: the plan is damaged, or lists a directory outside ``folder``.
    """
    return [folder / name for name in read_contents(folder).runs]


def numbered_runs(folder: Path) -> list[Path]:
    """Return all run directories in ``folder`` in numerical order: ``2-seed=1`` before ``10-seed=0``."""
    runs = {config.parent for config in folder.glob("**/config.yaml") if config.is_file()}
    return sorted(runs, key=lambda run: in_order(run.parts))


def find_sweep(name: str, outputs: Path = Path("outputs")) -> Path | None:
    """Return the sweep directory ``name``, or for ``latest`` the sweep of the newest run; None if there is none."""
    if name != "latest":
        folder = named_folder(name)
        return folder.resolve() if (folder / PLAN).is_file() else None
    sweep, top = sweep_of(find_run(name, outputs)), outputs.resolve()
    return sweep if sweep is not None and (sweep == top or top in sweep.parents) else None


def sweep_of(run: Path) -> Path | None:
    """Return the directory of the sweep that the run in ``run`` belongs to; None if it belongs to none."""
    above = list(run.absolute().parents)[:DEEPEST]
    sweep = next((folder for folder in above if (folder / PLAN).is_file() and _has(folder, run.absolute())), None)
    if sweep is not None and (sweep.parent / PLAN).is_file() and _has(sweep.parent, run.absolute()):
        return sweep.parent  # the run belongs to a job of several runs
    return sweep


def _has(sweep: Path, run: Path) -> bool:
    """Return whether ``run`` belongs to ``sweep``; if its plan is damaged, whether it is directly inside."""
    try:
        return run in runs_of(sweep)
    except ConfigError:
        return run.parent == sweep


def begun(run: Path) -> bool:
    """Return whether the run in ``run`` has started: whether there is more than the config written with the plan."""
    names = {path.name for path in run.iterdir()} if run.is_dir() else set()
    return "config.yaml" in names and not names <= {"config.yaml", "config.yaml.tmp", ".lock"}


def is_taken(run: Path, sweep: Path) -> bool:
    """Return whether ``run`` is in use. A ``sweep`` killed before its plan was written leaves configs only."""
    return begun(run) or ((run / "config.yaml").exists() and (sweep / PLAN).exists())


def require_room(sweep: Path, runs: Sequence[Path]) -> None:
    """Check that the directories ``runs`` of a new sweep in ``sweep`` are free; runs of another may be there already.

    Raises:
        ConfigError: one of them holds a run, or is inside a run directory, or contains one.
    """
    require_outside(sweep)
    taken = next((run for run in runs if is_taken(run, sweep)), None)
    if taken is not None:
        resume = shlex.quote(f"resume={relative(sweep)}")
        raise ConfigError(f"{relative(taken)} holds a run already: continue with {resume}, or choose another folder.")
    before = read_contents(sweep).runs if (sweep / PLAN).exists() else []
    new = [run.resolve().relative_to(sweep.resolve()).as_posix() for run in runs]
    if (pair := _nested([*before, *new])) is not None:
        outer, inner = (relative(sweep / name) for name in pair)
        raise ConfigError(f"the run {inner} would lie in the run {outer}: choose another hydra.sweep.dir or subdir.")


def require_own_runs(sweep: Path, runs: Sequence[Path]) -> None:
    """Check that writing to the ``sweep`` directory and the ``runs`` in it does not lead elsewhere.

    Raises:
        ConfigError: a file that ganrun would write, or a directory on the way to it, is a link or of another kind.
    """
    require_own(sweep)
    between = {folder for run in runs for folder in run.parents if sweep in folder.parents}
    for folder in (*sorted(between), *runs):
        require_own(folder, linked=False)
