"""The folders of configs, datasets, downloads and compiled programs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ganrun.errors import ConfigError, shown

DATA_FILES = (".zip", ".npy", ".npz", ".csv", ".parquet")  # suffixes of files that a dataset can be read from


def config_folder() -> Path:
    """Return the folder of YAML configs: inside the installed package, or next to it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def data_folder(data_dir: str | None) -> Path:
    """Return the folder that contains one folder per dataset: ``data_dir``, ``$GANRUN_DATA``, or a cache folder."""
    chosen = data_dir or os.environ.get("GANRUN_DATA")
    return absolute(chosen) if chosen else cache_folder() / "data"


def cache_folder() -> Path:
    """Return the folder for compiled programs and downloads: ``$GANRUN_CACHE``, else ``~/.cache/ganrun``.

    ``GANRUN_CACHE=off`` disables the compilation cache and does not name a folder. A user without a home gets a folder
    in the system's temporary folder.

    Raises:
        ConfigError: ``$GANRUN_CACHE`` begins with the home of a user who does not exist.
    """
    chosen = os.environ.get("GANRUN_CACHE")
    if chosen and not cache_is_off():
        return home_of(chosen).resolve()
    if not has_home():
        return Path(tempfile.gettempdir()) / f"ganrun-{os.getuid()}"
    return (Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "ganrun").expanduser().resolve()


def cache_is_off() -> bool:
    """Return whether ``GANRUN_CACHE=off`` disables the compilation cache."""
    return os.environ.get("GANRUN_CACHE", "").lower() == "off"


def has_home() -> bool:
    """Return whether the user has a cache folder of their own: ``$XDG_CACHE_HOME``, or a home (``$HOME`` or passwd)."""
    try:
        return bool(os.environ.get("XDG_CACHE_HOME") or Path.home())
    except RuntimeError:
        return False


def home_of(name: str) -> Path:
    """Return the path ``name`` with ``~`` expanded; raise :class:`ConfigError` if there is no such home folder."""
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"there is no user {Path(name).parts[0]}.") from error


def absolute(name: str) -> Path:
    """Return the folder of data ``name``, or the file of data, as an absolute path.

    Raises:
        ConfigError: it is not a valid folder name, or is another kind of file.
    """
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise ConfigError(
            f"data_dir: '{shown(name)}' is not valid UTF-8, so a config cannot store it: rename the folder."
        )
    try:
        folder = home_of(name).resolve()
        if folder.exists() and not folder.is_dir() and folder.suffix.lower() not in DATA_FILES:
            raise ConfigError(f"data_dir: {folder} is a file, not a folder.")
        return folder
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"data_dir: '{shown(name)}' cannot be a folder: {reason}.") from error
