"""Run directories: finding them, and the small files that lie in them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml

from ganrun.config import Train, check, to_dict
from ganrun.errors import ConfigError, did_you_mean

# What may change when a run is continued: how long it is and what is written down, nothing that it computes.
FREE = ("steps", "steps_per_call", "data_dir", "resume", "log.", "checkpoint.", "probe.", "population.")

STORAGE = "storage"  # the cause of a failure that is over when the run directory can be written again
PLAN = "sweep.json"  # in a sweep's directory: its runs, and which of them train together

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
    folder = Path(name).expanduser()
    _require_name(name)
    if (folder / "config.yaml").is_file():
        return folder.resolve()
    if folder.is_dir():
        raise ConfigError(f"{name} is not a run directory: it has no config.yaml.")
    siblings = [str(path) for path in folder.parent.glob("*")] if folder.parent.is_dir() else []
    raise ConfigError(f"there is no run directory {name}.{did_you_mean(str(folder), siblings)}")


def find_sweep(name: str, outputs: Path = Path("outputs")) -> Path | None:
    """Return the sweep directory ``name``, or the sweep that the newest run belongs to for ``latest``; None if none."""
    folder = find_run(name, outputs).parent if name == "latest" else Path(name).expanduser()
    _require_name(name)
    return folder.resolve() if (folder / PLAN).is_file() else None


def runs_of(folder: Path) -> list[Path]:
    """Return the run directories of the sweep in ``folder``, in their order.

    Raises:
        ConfigError: the sweep's plan is damaged, or names what does not lie in ``folder``.
    """
    try:
        names = json.loads((folder / PLAN).read_text(encoding="utf-8"))["runs"]
        named = (isinstance(name, str) and name == Path(name).name and name not in ("", "..") for name in names)
        if not names or not all(named):
            raise ValueError("a run has a name that is none")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / PLAN} cannot be read: {str(error).splitlines()[0]}") from error
    return [folder / name for name in names]


def numbered_runs(folder: Path) -> list[Path]:
    """Return all run directories in ``folder``, 2 before 10."""
    runs = {found.parent for found in folder.glob("**/config.yaml")}
    return sorted(runs, key=lambda run: [(int(part) if part.isdecimal() else -1, part) for part in run.parts])


def _require_name(name: str) -> None:
    """Raise :class:`ConfigError` for what cannot be the name of a file at all."""
    try:
        (Path(name).expanduser() / "config.yaml").exists()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"'{name:.40}...' cannot be a folder: {reason}.") from error


def require_writable(name: str) -> None:
    """Raise :class:`ConfigError` unless the folder ``name`` can be written, or made."""
    folder = Path(name).expanduser().absolute()
    _require_name(name)
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise ConfigError(f"runs go to {folder}, but {existing} is a file.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"runs go to {folder}, but {existing} cannot be written: set hydra.run.dir=FOLDER.")


def load_config(folder: Path) -> Train:
    """Return the checked config of the run in ``folder``.

    Raises:
        ConfigError: the file is missing, is not YAML, or says what no run may say.
    """
    path = folder / "config.yaml"
    try:
        node: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(node, dict):
        raise ConfigError(f"{path} is not a run's config.")
    if node.pop("defaults", DEFAULTS) != DEFAULTS:
        raise ConfigError(f"{path} has a defaults list that ganrun did not write; a run's config stands for itself.")
    return check(node)


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
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        return summary["status"] == "completed" and summary["steps"] >= steps
    except (OSError, ValueError, KeyError, TypeError):
        return False


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
    """Write ``text`` so that a kill leaves either the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def relative(path: Path) -> str:
    """Return ``path`` as a person in this folder would type it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return os.fspath(path)
