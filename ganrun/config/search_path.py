"""Where Hydra searches for configs: ganrun's own folder, then ``--config-dir``, then the folders of plugins."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from ganrun.config import user_plugins
from ganrun.config.folders import config_folder
from ganrun.config.hydra_internals import initialised
from ganrun.errors import ConfigError

COMMAND_LINE = "command-line"  # Hydra's own name for --config-dir


class MoreFolders(SearchPathPlugin):
    """Adds folders to Hydra's search path, after ganrun's own; of two configs with one name, the first counts.

    Attributes:
        folders: who provides a folder, as ``--info searchpath`` shows it, and its path.
    """

    folders: ClassVar[tuple[tuple[str, Path], ...]] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for provider, folder in self.folders:
            search_path.append(provider, f"file://{folder}")


def groups() -> list[str]:
    """Return the names of the config groups: the folders of conf/."""
    return [path.name for path in config_folder().iterdir() if path.is_dir()]


def option_names(group: str, config_dir: str | None = None) -> list[str]:
    """Return the names of the YAML files of ``group`` in all folders that are searched."""
    more = [Path(config_dir)] if config_dir else []
    folders = [config_folder(), *more, *user_plugins.config_folders().values()]
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


@contextlib.contextmanager
def searching(config_dir: str | None = None) -> Iterator[None]:
    """Return a context in which ``hydra.compose`` searches the same folders, in the same order, as Hydra's own runs.

    Raises:
        ConfigError: see :func:`adding_folders`.
    """
    with adding_folders(config_dir), initialised(str(config_folder())):
        yield


@contextlib.contextmanager
def adding_folders(config_dir: str | None) -> Iterator[None]:
    """Return a context in which Hydra adds ``config_dir`` and the folders of plugins to its search path as it starts.

    Raises:
        ConfigError: there is no folder ``config_dir``, or the configs of plugins cannot be used.
    """
    require_folder(config_dir)
    folders = [(COMMAND_LINE, Path(config_dir).resolve())] if config_dir else []
    folders += [(f"plugin {package}", folder) for package, folder in user_plugins.config_folders().items()]
    Plugins.instance().register(MoreFolders)
    before, MoreFolders.folders = MoreFolders.folders, tuple(folders)
    try:
        yield
    finally:
        MoreFolders.folders = before


def require_folder(config_dir: str | None) -> None:
    """Raise :class:`ConfigError` if ``config_dir`` is given and is not a folder."""
    if config_dir and not os.path.isdir(config_dir):  # noqa: PTH112 (pathlib raises on a name too long)
        raise ConfigError(f"--config-dir: there is no folder {config_dir}.")
