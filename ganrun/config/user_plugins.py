"""Plugins: packages of the user's own options, with their YAML.

A plugin is a package that is installed with an entry point in the group ``ganrun.plugins``, or that the command line
names with ``plugins=[PACKAGE]``: code that the user has chosen. Importing it registers its options, and its folder
``conf/`` mirrors ganrun's own. A package that a config names is required, never imported for that (:func:`require`).
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ganrun.config.folders import config_folder
from ganrun.errors import ConfigError, did_you_mean, shown

ENTRY_POINTS = "ganrun.plugins"
NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")  # a package, such as my_package or company.gans

_chosen: tuple[str, ...] = ()
_failures: dict[str, ConfigError] = {}


def named(words: Iterable[str]) -> tuple[str, ...]:
    """Return the packages that ``plugins=[PACKAGE,...]`` names among the settings ``words``; the last one counts.

    Raises:
        ConfigError: its value is not a list of packages.
    """
    values = [word.partition("=")[2].strip() for word in words if re.match(r"\+{0,2}plugins=", word)]
    if not values:
        return ()
    inside = re.fullmatch(r"\[\s*(.*?)\s*\]", values[-1])
    names = re.split(r"\s*,\s*", inside[1]) if inside and inside[1] else []
    names = [name.strip("'\"") for name in names]
    if inside is None or not all(map(NAME.fullmatch, names)):
        hint = f": write 'plugins=[{values[-1]}]'" if NAME.fullmatch(values[-1]) else ""
        raise ConfigError(f"plugins takes a list of packages, plugins=[PACKAGE,...], not '{shown(values[-1])}'{hint}.")
    return _not_of_ganrun(names)


def listed(names: Any) -> tuple[str, ...]:
    """Return the packages that a program lists as plugins.

    Raises:
        ConfigError: ``names`` is not a list of packages.
    """
    is_list = isinstance(names, (list, tuple))
    if not is_list or not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
        raise ConfigError(
            f"plugins must be a list of names of packages, such as ['my_package'], not {shown(repr(names))}."
        )
    return _not_of_ganrun(names)


def _not_of_ganrun(names: Iterable[str]) -> tuple[str, ...]:
    """Return each of ``names`` once; raise :class:`ConfigError` if one is a part of ganrun."""
    if own := next((name for name in names if name.partition(".")[0] == "ganrun"), None):
        raise ConfigError(f"plugins: '{own}' is a part of ganrun, whose options need no plugin: leave it out.")
    return tuple(dict.fromkeys(names))


def use(packages: Iterable[str]) -> None:
    """Make ``packages``, which the command line names, plugins in addition to the installed ones."""
    global _chosen
    _chosen = tuple(packages)
    _failures.clear()


def chosen() -> tuple[str, ...]:
    """Return the packages that the command line names."""
    return _chosen


@functools.cache
def installed() -> dict[str, str]:
    """Return the packages that are installed as plugins, each with the name and version of its distribution."""
    from importlib.metadata import entry_points  # slow to import, and not needed by all commands

    found = {}
    for point in entry_points(group=ENTRY_POINTS):
        package = point.value.partition(":")[0].strip()
        found[package] = f"{point.dist.name} {point.dist.version}" if point.dist else point.name
    return dict(sorted(found.items()))


def packages() -> tuple[str, ...]:
    """Return all plugins: the installed ones, and those that the command line names."""
    return tuple(dict.fromkeys((*installed(), *_chosen)))


def load() -> None:
    """Import all plugins, which registers their options.

    Raises:
        ConfigError: a plugin cannot be imported, or registers an option that exists.
    """
    for package in packages():
        if package in _failures:
            raise _failures[package]
        try:
            importlib.import_module(package)
        except ConfigError as error:  # it registers an option that exists
            _failures[package] = error
            raise
        except (Exception, SystemExit) as error:  # a plugin may raise anything
            _failures[package] = _failure(package, error)
            raise _failures[package] from error


def config_folders() -> dict[str, Path]:
    """Return the folder ``conf/`` of each plugin that has one, without importing the plugins.

    Raises:
        ConfigError: there is no such package, or two configs have the same name.
    """
    folders = {package: folder for package in packages() if (folder := _folder(package)) is not None}
    first: dict[Path, str] = {}
    for package, folder in folders.items():
        for name in sorted(path.relative_to(folder) for path in folder.rglob("*.yaml")):
            other = "ganrun" if (config_folder() / name).exists() else first.setdefault(name, package)
            if other != package:
                raise taken(f"{name.parent.name}={name.stem}" if name.parent.name else str(name), package, other)
    return folders


def _folder(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (Exception, SystemExit) as error:  # the package above it is imported
        raise _failure(package, error) from error
    if spec is None:
        raise _absent(package)
    folders = [Path(place) / "conf" for place in spec.submodule_search_locations or ()]
    return next((folder for folder in folders if folder.is_dir()), None)


def has_configs(package: str) -> bool:
    """Return whether ``package`` has a folder ``conf/``; raise :class:`ConfigError` if there is no such package."""
    return _folder(package) is not None


def owner(module: str) -> str | None:
    """Return the plugin that ``module`` is part of; None if it is part of ganrun or of anything else."""
    if module.startswith("ganrun."):
        return None
    above = [package for package in packages() if f"{module}.".startswith(f"{package}.")]
    return max(above, key=len, default=None)


def used_by(config: Any) -> set[str]:
    """Return the plugins to which the options in ``config``, a dataclass of settings, belong."""
    if isinstance(config, (list, tuple)):
        return set().union(*map(used_by, config))
    if not dataclasses.is_dataclass(config):
        return set()
    inside = (used_by(getattr(config, field.name)) for field in dataclasses.fields(config))
    return {package for package in (owner(type(config).__module__),) if package}.union(*inside)


def require(names: Any, where: str) -> None:
    """Refuse a config that names a plugin which is neither installed nor named on the command line.

    Args:
        names: the config's value of ``plugins``.
        where: what the config is, for the message: ``this config``.

    Raises:
        ConfigError: a plugin is missing. It is not imported, even if it could be: the config may be a stranger's.
    """
    known = packages()
    for name in map(str, names if isinstance(names, (list, tuple)) else ()):  # the schema refuses what is no list
        if name in known:
            continue
        if not NAME.fullmatch(name):
            raise ConfigError(f"plugins must hold the names of packages, not '{shown(name)}'.")
        raise ConfigError(
            f"{where} uses the package '{shown(name)}', which is not a plugin of ganrun here: "
            f"install it, or add 'plugins=[{shown(name)}]' if you trust it."
        )


def taken(option: str, package: str, other: str) -> ConfigError:
    """Return the error for an ``option``, such as ``loss=hinge``, of ``package`` that ``other`` has too."""
    if other == "ganrun":
        return ConfigError(f"the plugin '{package}' has {option}, which ganrun has itself: rename the plugin's.")
    return ConfigError(f"the plugins '{other}' and '{package}' both have {option}: leave one of them out.")


def _failure(package: str, error: BaseException) -> ConfigError:
    absent = isinstance(error, ModuleNotFoundError) and f"{package}.".startswith(f"{error.name}.")
    if absent:
        return _absent(package)
    reason = (str(error).strip().splitlines() or ["no message"])[0]
    remedy = "uninstall it" if package in installed() else "leave it out of plugins=[...]"
    return ConfigError(
        f"the plugin '{package}' cannot be imported: {type(error).__name__}: {reason.rstrip('.')}. "
        f"Correct it, or {remedy}."
    )


def _absent(package: str) -> ConfigError:
    if package in installed():
        return ConfigError(f"{installed()[package]} names the plugin '{package}', which is missing: install it again.")
    return ConfigError(f"plugins: there is no package '{package}' to import.{did_you_mean(package, installed())}")
