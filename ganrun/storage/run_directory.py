"""Run directories: finding them, and reading and writing their small files."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import yaml

from ganrun.config import user_plugins
from ganrun.config.folders import home_of
from ganrun.config.hparams import FREE, flat
from ganrun.config.schema import NAMED, check_recorded, to_dict
from ganrun.config.settings import Train
from ganrun.errors import ConfigError, did_you_mean
from ganrun.storage.safe_io import read_json, read_yaml

STORAGE = "storage"  # cause of a failure after which the run can be resumed once its directory is writable again
INITIAL = "init_from.json"  # the arrays that a run has taken from another, or left
PLAN = "sweep.json"  # the plan in a sweep's directory: its runs, and which of them train together
# Maximum bytes of a config and of a summary, which have a few thousand, and of a plan, here for 100 000 runs.
MAX_CONFIG, MAX_SUMMARY, MAX_PLAN = 1 << 18, 1 << 20, 1 << 24

# Folders that ganrun writes into the directory of a run or a sweep.
AVERAGES = "averages"  # power-function averages of the weights, one folder per step
STATISTICS = "statistics"  # of a sweep: means and intervals over its runs, as runs for TensorBoard
AUTOTUNING = "autotuning"  # of a run or a sweep: the kernels that XLA has chosen on a GPU

# The defaults list of a saved config, which loads only ganrun's Hydra settings. Any other list is refused.
DEFAULTS = ["settings", "_self_", {"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}]


def find_run(name: str, outputs: Path = Path("outputs")) -> Path:
    """Return the run directory ``name``; ``latest`` is the newest one under ``outputs``.

    Raises:
        ConfigError: there is no such run.
    """
    if name == "latest":
        configs = [path for path in outputs.glob("**/config.yaml") if path.is_file()]  # not a link in a circle
        if not configs:
            raise ConfigError(f"run 'latest': there is no run under {outputs.resolve()} yet.")
        return max(configs, key=lambda path: path.stat().st_mtime).parent.resolve()
    folder = named_folder(name)
    if (folder / "config.yaml").is_file():
        return folder.resolve()
    if folder.is_dir():
        raise ConfigError(no_run(folder, name))
    siblings = [str(path) for path in folder.parent.glob("*")] if folder.parent.is_dir() else []
    raise ConfigError(f"there is no run directory {name}.{did_you_mean(str(folder), siblings)}")


def no_run(folder: Path, name: str) -> str:
    """Return the message for a folder, given as ``name``, that is no run directory; it may be that of a sweep."""
    runs = sorted(path.parent.name for path in folder.glob("*/config.yaml"))
    held = f" but holds {len(runs)}, such as {runs[0]}" if runs else ""
    return f"{name} is not a run directory{held}: it has no config.yaml."


def find_checkpoint(name: str) -> Path:
    """Return the folder of a checkpoint: of ``name`` itself, or the newest one of the run ``name`` (or ``latest``).

    Raises:
        ConfigError: there is no such run or checkpoint.
    """
    folder = named_folder(name)
    if is_checkpoint(folder):
        if not folder.is_dir():
            raise ConfigError(f"there is no checkpoint {name}.")
        find_run(str(folder.parents[1]))
        return folder.resolve()
    run = find_run(name)
    newest = run / "checkpoints" / str(steps_done(run))
    if not newest.is_dir():
        raise ConfigError(f"{relative(run)} has no checkpoint yet.")
    return newest


def is_checkpoint(folder: Path) -> bool:
    """Return whether ``folder`` has the path of a checkpoint, ``RUN/checkpoints/STEP``."""
    return folder.parent.name == "checkpoints" and folder.name.isascii() and folder.name.isdecimal()


def with_source(config: Train, resumed: bool = False) -> Train:
    """Return ``config`` with the checkpoint that ``init_from`` stands for, if it names a run.

    Args:
        config: of a run.
        resumed: whether the run has started before: the checkpoint that its config names need not be there any more.

    Raises:
        ConfigError: there is no such run or checkpoint, or the run has none.
    """
    if config.init_from is None:
        return config
    named = Path(config.init_from)
    if resumed and is_checkpoint(named) and named.is_absolute():
        return config
    try:
        checkpoint = find_checkpoint(config.init_from)
    except ConfigError as error:
        raise ConfigError(f"init_from: {error}") from error
    return dataclasses.replace(config, init_from=str(checkpoint))


def named_folder(name: str) -> Path:
    """Return the path ``name``; raise :class:`ConfigError` if it is not a valid file name."""
    folder = home_of(name)
    try:
        (folder / "config.yaml").exists()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"'{name:.40}...' cannot be a folder: {reason}.") from error
    return folder


def contents(folder: Path) -> list[Path]:
    """Return the files and folders in ``folder``, sorted; none if it does not exist.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return sorted(folder.iterdir()) if folder.exists() else []
    except OSError as error:
        raise ConfigError(f"{folder} cannot be read: {error.strerror}.") from error


def load_config(folder: Path) -> Train:
    """Return the validated config of the run in ``folder``, which may be untrusted.

    Raises:
        ConfigError: the file is missing, is not plain YAML, is not a valid config of a run, or names a plugin that is
            none here.
    """
    path = folder / "config.yaml"
    try:
        node = read_yaml(path, MAX_CONFIG)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(node, dict):
        raise ConfigError(f"{path} is not a run's config.")
    if node.pop("defaults", DEFAULTS) != DEFAULTS:
        raise ConfigError(f"{path} has a defaults list that ganrun did not write; a run's config stands for itself.")
    user_plugins.require(node.get("plugins"), f"{path}: this run")
    config = check_recorded(node)
    if config.resume is not None or config.population.jobs:
        raise ConfigError(f"{path} names other runs (resume, population.jobs); a run's config stands for itself.")
    return config


def changed_settings(before: Train, now: Train) -> list[tuple[str, Any, Any]]:
    """Return ``(key, before, now)`` for every changed setting that must not change when a run is resumed.

    Those that may change are the length of the run and what is logged, nothing that affects the computation.
    """
    old, new = flat(to_dict(before)), flat(to_dict(now))
    keys = [key for key in old | new if not key.startswith(FREE)]
    return [(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def changed_names(before: Train, now: Train) -> list[str]:
    """Return the keys of all settings that differ besides ``steps``; the group alone where another option is chosen."""
    old, new = (
        flat(to_dict(config)) | {f"{group}.name": [option.name for option in getattr(config, group)] for group in NAMED}
        for config in (before, now)
    )
    keys = [key for key in old | new if old.get(key) != new.get(key)]
    groups = [key.removesuffix("name") for key in keys if key.endswith(".name")]
    names = [next((group for group in groups if key.startswith(group)), key).rstrip(".") for key in keys]
    return [name for name in dict.fromkeys(names) if name not in ("steps", "resume", "plugins")]


def completed(folder: Path, config: Train) -> bool:
    """Return whether the run in ``folder`` has completed the steps of ``config``, or ended early by its settings."""
    try:
        summary = read_json(folder / "summary.json", MAX_SUMMARY)
        whole = summary["status"] == "completed" and summary["steps"] >= config.steps
        return whole or ended_at(folder, config) is not None
    except (OSError, ValueError, KeyError, TypeError):
        return False


def ended_at(folder: Path, config: Train) -> int | None:
    """Return the step at which ``stop.when`` of ``config`` ended the run in ``folder``; None if it did not."""
    try:
        summary = read_json(folder / "summary.json", MAX_SUMMARY)
        ended = config.stop.when is not None and summary.get("stop") == dataclasses.asdict(config.stop)
        return int(summary["steps"]) if ended and summary["status"] == "completed" else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def steps_done(folder: Path) -> int:
    """Return the step of the newest checkpoint of the run in ``folder``; 0 if there is none."""
    names = [path.name for path in contents(folder / "checkpoints")]
    return max((int(name) for name in names if name.isascii() and name.isdecimal()), default=0)


def save_config(config: Train, folder: Path) -> None:
    """Write ``config.yaml``: the whole resolved config, with which ganrun can repeat the run.

    It names the plugins that the run uses, so that whoever does not have them is told.
    """
    plugins = sorted(user_plugins.used_by(config).union(config.plugins))
    content: dict[str, Any] = {"defaults": DEFAULTS, **to_dict(config), "resume": None, "plugins": plugins}
    text = "# Repeats this run: ganrun train --config-dir <this folder> --config-name config\n"
    write_atomically(folder / "config.yaml", text + yaml.safe_dump(content, sort_keys=False))


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that a kill or a power cut leaves either the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        # A file name in the text that is not UTF-8 keeps its bytes.
        with temporary.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def relative(path: Path) -> str:
    """Return ``path`` relative to the working directory if it is inside, else as it is."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return os.fspath(path)
