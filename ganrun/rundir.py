"""Run directories: finding them, and the small files that lie in them."""

from __future__ import annotations

import os
import re
import shlex
import stat
from pathlib import Path
from typing import Any

import yaml

from ganrun.config import Train, check, home_of, to_dict
from ganrun.errors import ConfigError, did_you_mean
from ganrun.untrusted import read_json, read_yaml

# What may change when a run is continued: how long it is and what is written down, nothing that it computes.
FREE = ("steps", "steps_per_call", "data_dir", "resume", "log.", "checkpoint.", "probe.", "population.")

STORAGE = "storage"  # the cause of a failure that is over when the run directory can be written again
PLAN = "sweep.json"  # in a sweep's directory: its runs, and which of them train together
# Bytes of a run's config, which takes a few thousand; of a summary, likewise; of the plan of 100 000 runs.
MOST_CONFIG, MOST_SUMMARY, MOST_PLAN = 1 << 18, 1 << 20, 1 << 24

# What ganrun writes into the directory of a run or a sweep under names that are known before.
FOLDERS = ("samples", "checkpoints")
FILES = re.compile(
    r"(config\.yaml|summary\.json|sweep\.json|comparison\.md)(\.tmp)?|metrics\.jsonl|train\.log|\.lock"
    r"|comparison\.png|events\.out\.tfevents\..*|multirun\.yaml|study\.db.*"
)

# Of these, what shows that there was a run whose config somebody has deleted.
REMAINS = re.compile(r"metrics\.jsonl|summary\.json|events\.out\.tfevents\..*|checkpoints/[0-9]+")

# What a run's config takes from ganrun's own: the settings of Hydra. A list that names other files is refused.
DEFAULTS = ["settings", "_self_", {"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}]


def find_run(name: str, outputs: Path = Path("outputs")) -> Path:
    """Return the run directory ``name``; ``latest`` is the newest one under ``outputs``.

    Raises:
        ConfigError: there is none.
    """
    if name == "latest":
        configs = list(outputs.glob("**/config.yaml"))
        if not configs:
            raise ConfigError(f"run 'latest': there is no run under {outputs.resolve()} yet.")
        return max(configs, key=lambda path: path.stat().st_mtime).parent.resolve()
    folder = named_folder(name)
    if (folder / "config.yaml").is_file():
        return folder.resolve()
    if folder.is_dir():
        raise ConfigError(f"{name} is not a run directory: it has no config.yaml.")
    siblings = [str(path) for path in folder.parent.glob("*")] if folder.parent.is_dir() else []
    raise ConfigError(f"there is no run directory {name}.{did_you_mean(str(folder), siblings)}")


def named_folder(name: str) -> Path:
    """Return the path ``name``; raise :class:`ConfigError` for what cannot be the name of a file at all."""
    folder = home_of(name)
    try:
        (folder / "config.yaml").exists()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"'{name:.40}...' cannot be a folder: {reason}.") from error
    return folder


def require_writable(name: str) -> None:
    """Raise :class:`ConfigError` unless the folder ``name`` can be written, or made."""
    folder = named_folder(name).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise ConfigError(f"runs go to {folder}, but {existing} is a file.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"runs go to {folder}, but {existing} cannot be written: set hydra.run.dir=FOLDER.")


def require_place(setting: str, name: str) -> Path:
    """Return the file ``name`` that ``setting`` is to be written to.

    Raises:
        ConfigError: its folder is not there, or cannot be written.
    """
    path = home_of(name)
    folder = path.resolve().parent
    if not os.path.isdir(folder):  # noqa: PTH112 (pathlib raises on a name too long)
        raise ConfigError(f"{setting}: there is no folder {folder}.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{setting}: {folder} cannot be written.")
    return path


def require_free(folder: Path) -> None:
    """Raise :class:`ConfigError` where ``folder`` holds a run, a sweep, or what is left of one.

    A new run there would write into the same files: its numbers would stand among the other's.
    """
    where = relative(folder)
    resume = shlex.quote(f"resume={where}")
    if (folder / "config.yaml").exists():
        raise ConfigError(f"{where} holds a run already: continue it with {resume}, or choose another folder.")
    if (folder / PLAN).exists():
        raise ConfigError(f"{where} holds a sweep already: continue it with {resume}, or choose another folder.")
    names = (path.relative_to(folder) for path in (*_inside(folder), *_inside(folder / "checkpoints")))
    left = next((name for name in names if REMAINS.fullmatch(str(name))), None)
    if left is not None:
        raise ConfigError(f"{where} holds {left} of another run: delete what is left of it, or choose another folder.")
    require_outside(folder)


def require_outside(folder: Path) -> None:
    """Raise :class:`ConfigError` where ``folder`` lies inside the directory of a run."""
    for above in folder.absolute().parents:
        if (above / "config.yaml").exists() and (above / "metrics.jsonl").exists():
            raise ConfigError(f"{relative(folder)} lies in the run {relative(above)}: choose another folder.")


def require_own(folder: Path, linked: bool = True) -> None:
    """Raise :class:`ConfigError` where what ganrun is to write in ``folder`` is there as a link, or as no file at all.

    A run that comes from elsewhere could bring links, through which going on with it would write anywhere. ``folder``
    itself may be a link only if ``linked``: where a person named it, and not the sweep that it lies in.
    """
    if not linked and folder.is_symlink():
        raise ConfigError(f"{folder} is a link, and ganrun does not write through links: put a copy in its place.")
    inside = [path for path in _inside(folder) if path.name in FOLDERS or FILES.fullmatch(path.name)]
    folders = [path for path in inside if path.name in FOLDERS and path.is_dir() and not path.is_symlink()]
    for path in (*inside, *(one for own in folders for one in _inside(own))):
        place = f"{relative(folder)}: {path.relative_to(folder)}"
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:  # another process works there, and has taken it away since
            continue
        if stat.S_ISLNK(mode):
            raise ConfigError(f"{place} is a link, and ganrun does not write through links: put a copy in its place.")
        is_folder = stat.S_ISDIR(mode)
        if (path in inside and is_folder != (path.name in FOLDERS)) or not (is_folder or stat.S_ISREG(mode)):
            raise ConfigError(f"{place} is not the {'folder' if path.name in FOLDERS else 'file'} that it should be.")


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir()) if folder.exists() else []
    except OSError as error:
        raise ConfigError(f"{folder} cannot be read: {error.strerror}.") from error


def load_config(folder: Path) -> Train:
    """Return the checked config of the run in ``folder``, which may be a stranger's.

    Raises:
        ConfigError: the file is missing, is not plain YAML, or says what no run may say.
    """
    path = folder / "config.yaml"
    try:
        node = read_yaml(path, MOST_CONFIG)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(node, dict):
        raise ConfigError(f"{path} is not a run's config.")
    if node.pop("defaults", DEFAULTS) != DEFAULTS:
        raise ConfigError(f"{path} has a defaults list that ganrun did not write; a run's config stands for itself.")
    config = check(node)
    if config.resume is not None or config.population.jobs:
        raise ConfigError(f"{path} names other runs (resume, population.jobs); a run's config stands for itself.")
    return config


def changed_settings(before: Train, now: Train) -> list[tuple[str, Any, Any]]:
    """Return ``(key, before, now)`` for every setting that differs and that a resumed run may not change."""
    old, new = flat(to_dict(before)), flat(to_dict(now))
    keys = [key for key in old | new if not key.startswith(FREE)]
    return [(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dicts as one, by dotted key."""
    pairs: dict[str, Any] = {}
    for key, value in tree.items():
        pairs |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return pairs


def completed(folder: Path, steps: int) -> bool:
    """Return whether the run in ``folder`` has ended at ``steps`` or beyond."""
    try:
        summary = read_json(folder / "summary.json", MOST_SUMMARY)
        return summary["status"] == "completed" and summary["steps"] >= steps
    except (OSError, ValueError, KeyError, TypeError):
        return False


def steps_done(folder: Path) -> int:
    """Return how many steps the newest checkpoint of the run in ``folder`` has done; 0 where there is none."""
    names = [path.name for path in _inside(folder / "checkpoints")]
    return max((int(name) for name in names if name.isascii() and name.isdecimal()), default=0)


def hyperparameters(config: Train) -> dict[str, Any]:
    """Return what a run computes with, by dotted key: the columns of TensorBoard's HPARAMS tab."""
    settings = flat(to_dict(config))
    return {key: value for key, value in settings.items() if key == "steps" or not key.startswith(FREE)}


def save_config(config: Train, folder: Path) -> None:
    """Write ``config.yaml``: the whole resolved config, which repeats the run when given back to ganrun."""
    content: dict[str, Any] = {"defaults": DEFAULTS, **to_dict(config), "resume": None}
    text = "# Repeats this run: ganrun train --config-dir <this folder> --config-name config\n"
    write_atomically(folder / "config.yaml", text + yaml.safe_dump(content, sort_keys=False))


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` so that a kill or a power cut leaves either the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        # A name that is no UTF-8 keeps its bytes.
        with temporary.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def relative(path: Path) -> str:
    """Return ``path`` as a person in this folder would type it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return os.fspath(path)
