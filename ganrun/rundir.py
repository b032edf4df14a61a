"""Run directories: finding them, and the config that lies in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ganrun.config import Train, check, to_dict
from ganrun.errors import ConfigError, did_you_mean

# What may change when a run is continued: how long it is and what is written down, nothing that it computes.
FREE = ("steps", "steps_per_call", "data_dir", "resume", "log.", "checkpoint.")


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
    if (folder / "config.yaml").is_file():
        return folder.resolve()
    if folder.is_dir():
        raise ConfigError(f"{name} is not a run directory: it has no config.yaml.")
    siblings = [str(path) for path in folder.parent.glob("*")] if folder.parent.is_dir() else []
    raise ConfigError(f"there is no run directory {name}.{did_you_mean(str(folder), siblings)}")


def load_config(folder: Path) -> Train:
    """Return the checked config of the run in ``folder``.

    Raises:
        ConfigError: the file is missing, is not YAML, or says what no run may say.
    """
    path = folder / "config.yaml"
    try:
        node: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(node, dict):
        raise ConfigError(f"{path} is not a run's config.")
    node.pop("defaults", None)
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
