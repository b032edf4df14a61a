"""Checks of the folders that a command is to write to, before anything is written."""

from __future__ import annotations

import os
import re
import shlex
import stat
from pathlib import Path

from ganrun.config.folders import home_of
from ganrun.errors import ConfigError
from ganrun.storage.run_directory import AUTOTUNING, AVERAGES, PLAN, STATISTICS, contents, named_folder, relative

# The names of the folders and files that ganrun writes into the directory of a run or a sweep.
FOLDERS = ("samples", "checkpoints", AVERAGES, STATISTICS, AUTOTUNING)
FILES = re.compile(
    r"(config\.yaml|summary\.json|init_from\.json|sweep\.json|comparison\.md)(\.tmp)?|metrics\.jsonl|train\.log|\.lock"
    r"|comparison\.png|events\.out\.tfevents\..*|multirun\.yaml|study\.db.*"
)

# Those of them that show that there was a run, even if its config has been deleted.
REMAINS = re.compile(r"metrics\.jsonl|summary\.json|events\.out\.tfevents\..*|(checkpoints|averages)/[0-9]+")


def require_writable(name: str) -> None:
    """Raise :class:`ConfigError` unless the folder ``name`` is writable or can be created."""
    folder = named_folder(name).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise ConfigError(f"runs go to {folder}, but {existing} is a file.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"runs go to {folder}, but {existing} cannot be written: set hydra.run.dir=FOLDER.")


def require_place(setting: str, name: str) -> Path:
    """Return the path ``name``, the output file that ``setting`` names.

    Raises:
        ConfigError: its folder does not exist, or is not writable.
    """
    path = home_of(name)
    folder = path.resolve().parent
    if not os.path.isdir(folder):  # noqa: PTH112 (pathlib raises on a name too long)
        raise ConfigError(f"{setting}: there is no folder {folder}.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{setting}: {folder} cannot be written.")
    return path


def require_free(folder: Path) -> None:
    """Raise :class:`ConfigError` if ``folder`` holds a run, a sweep, or remains of one.

    A new run there would append to the same files and mix its metrics with the old ones.
    """
    where = relative(folder)
    resume = shlex.quote(f"resume={where}")
    if (folder / "config.yaml").exists():
        raise ConfigError(f"{where} holds a run already: continue it with {resume}, or choose another folder.")
    if (folder / PLAN).exists():
        raise ConfigError(f"{where} holds a sweep already: continue it with {resume}, or choose another folder.")
    inside = (path for part in (folder, folder / "checkpoints", folder / AVERAGES) for path in contents(part))
    names = (path.relative_to(folder) for path in inside)
    left = next((name for name in names if REMAINS.fullmatch(str(name))), None)
    if left is not None:
        raise ConfigError(f"{where} holds {left} of another run: delete what is left of it, or choose another folder.")
    require_outside(folder)


def require_outside(folder: Path) -> None:
    """Raise :class:`ConfigError` if ``folder`` is inside a run directory."""
    for above in folder.absolute().parents:
        if (above / "config.yaml").exists() and (above / "metrics.jsonl").exists():
            raise ConfigError(f"{relative(folder)} lies in the run {relative(above)}: choose another folder.")


def require_own(folder: Path, linked: bool = True) -> None:
    """Raise :class:`ConfigError` if a file or folder that ganrun writes in ``folder`` is a link or of another kind.

    An untrusted run could contain links, through which resuming it would write anywhere. ``folder`` itself may be a
    link only if ``linked``: if the user named it, and not if it is part of a sweep.
    """
    if not linked and folder.is_symlink():
        raise ConfigError(f"{folder} is a link, and ganrun does not write through links: put a copy in its place.")
    inside = [path for path in contents(folder) if path.name in FOLDERS or FILES.fullmatch(path.name)]
    folders = [path for path in inside if path.name in FOLDERS and path.is_dir() and not path.is_symlink()]
    for path in (*inside, *(child for subfolder in folders for child in contents(subfolder))):
        place = f"{relative(folder)}: {path.relative_to(folder)}"
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:  # another process has deleted it since
            continue
        if stat.S_ISLNK(mode):
            raise ConfigError(f"{place} is a link, and ganrun does not write through links: put a copy in its place.")
        is_folder = stat.S_ISDIR(mode)
        if (path in inside and is_folder != (path.name in FOLDERS)) or not (is_folder or stat.S_ISREG(mode)):
            raise ConfigError(f"{place} is not the {'folder' if path.name in FOLDERS else 'file'} that it should be.")
