"""The messages for Hydra's errors: one line, with what was given, what is allowed and the closest match."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import hydra
import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganrun.config.registry import GROUP_MODULES, misplaced, options, without_yaml
from ganrun.config.schema import NAMED, SECTIONS, not_a_part
from ganrun.config.search_path import groups, option_names, searching
from ganrun.config.sweep_compose import parse, unreadable
from ganrun.config.synonyms import meant
from ganrun.errors import ConfigError, did_you_mean, instead

# Configs of commands that choose no options of groups.
OTHERS = ("sample", "eval", "jsd", "compare", "report", "reproduce", "export")

# The extra that installs a launcher, by its name.
PACKAGES = {"joblib": "launchers", "submitit_local": "launchers", "submitit_slurm": "launchers", "ray": "ray"}


@contextlib.contextmanager
def as_config_error(config_name: str, overrides: list[str], extra_folder: str | None) -> Iterator[None]:
    """Return a context that turns errors in a config into a one-line :class:`ConfigError`."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(one_line(error, config_name, overrides, extra_folder)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = f"--config-dir {extra_folder}: " if extra_folder else ""
        raise ConfigError(f"{where}not YAML: {' '.join(str(error).split())}") from error
    except (ValueError, TypeError, OSError, RecursionError) as error:
        raise ConfigError(_misused_group(overrides) or str(error).splitlines()[0]) from error


def one_line(error: Exception, config_name: str, overrides: Iterable[str] = (), extra_folder: str | None = None) -> str:
    """Return the message of one of Hydra's errors in one line, with the closest match."""
    if isinstance(error, OverrideParseException):
        return unreadable(error)
    if isinstance(error, MissingConfigException):
        return _missing(error, extra_folder)
    text = str(error)
    unknown = re.match(r"Could not (?:override|append to) '([^'@]+)", text)
    if unknown and "No match in the defaults list" in text and unknown[1] in groups() and config_name not in OTHERS:
        return (
            f"this config is that of a run and chooses no {unknown[1]} by name: set values that it has "
            f"({unknown[1]}.KEY=VALUE), or start a new run with `ganrun train {unknown[1]}=NAME`."
        )
    if unknown and ("No match in the defaults list" in text or "not in struct" in str(error.__cause__)):
        return unknown_key(unknown[1], config_name, overrides, extra_folder)
    present = re.match(r"Could not append to config. An item is already at '([^']+)'", text)
    if present:
        return f"{present[1]} is a setting already: write {present[1]}=VALUE without the +."
    if text.startswith("Ambiguous value for argument"):
        return f"{text.splitlines()[0]}: write -m to run one job per value, or [A,B] for a list."
    cause = str(error.__cause__).splitlines()[0] if error.__cause__ else ""
    return " ".join(part for part in (text.splitlines()[0], cause) if part)


def _misused_group(overrides: list[str]) -> str:
    """Return the message for a group whose value is not a name, a case that Hydra does not handle; else empty."""
    for override in parse(overrides):
        group, value = override.key_or_group, override.value()
        if group in groups() and not isinstance(value, (str, list)):
            return f"{group} takes the name of an option, not {value!s:.40} (`ganrun list {group}`)."
    return ""


def _missing(error: MissingConfigException, extra_folder: str | None) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if not group:
        return f"there is no config '{option}'; --config-name takes a file of conf/ or of --config-dir."
    if group in GROUP_MODULES and option in options(group):
        return without_yaml(group, option)
    if group == "hydra/launcher" and (package := PACKAGES.get(option)) is not None:
        return f"hydra/launcher={option} needs a package: pip install 'ganrun[{package}]'."
    known = [name for name in (error.options or []) if not name.startswith("_")]
    # For an option of a list Hydra's error has none, and for one of a folder within a group those of the group.
    if not known or group not in groups():
        known = option_names(group, extra_folder)
    if not known:
        return f"there is no group '{group}'.{did_you_mean(group, groups())}"
    command = f"ganrun list {group}" if group in groups() else ""
    named = instead(option, sorted(known), "It has", command)
    if synonym := meant(group, option):
        named = synonym + named[named.index(" It has") :]
    return f"{group} has no option '{option}'.{named}"


def unknown_key(key: str, config_name: str, overrides: Iterable[str] = (), extra_folder: str | None = None) -> str:
    """Return the message for a key that the config does not have, with the closest setting.

    ``overrides`` are the whole command line, since the options that it chooses determine which settings exist.
    """
    node = _with_choices(config_name, overrides, extra_folder)
    paths = _paths(node)
    home, _, last = key.rpartition(".")
    if config_name not in OTHERS and (line := _misplaced(key, last, node)) is not None:
        return line
    homes = difflib.get_close_matches(home.partition(".")[0], {path.partition(".")[0] for path in paths}, n=1)
    inside = [path for path in paths if homes and path.startswith(f"{homes[0]}.") and _means(path, last)]
    command, choices = (config_name, []) if config_name in OTHERS else ("train", groups())
    guess = f" Did you mean {' or '.join(inside)}?" if inside else did_you_mean(key, [*choices, *paths])
    return f"'{key}' is not a setting.{guess or f' `ganrun {command} --help` shows them all.'}"


def _with_choices(config_name: str, overrides: Iterable[str], extra_folder: str | None) -> dict[str, Any]:
    """Return the config with the options that ``overrides`` choose, or without them if it cannot be composed."""
    known = groups()
    choices = [text for text in overrides if re.split("[@=]", text.lstrip("+"))[0] in known]
    for chosen in (choices, []):
        with contextlib.suppress(HydraException, OmegaConfBaseException), searching(extra_folder):
            node = hydra.compose(config_name=config_name, overrides=chosen)
            return OmegaConf.to_container(node, resolve=False)  # type: ignore[return-value]
    return {}


def _misplaced(key: str, last: str, node: dict[str, Any]) -> str | None:
    """Return the message for a ``key`` of an option not chosen in ``node``, or of a part that its method does not have.

    Returns None for any other key.
    """
    group, *inner = key.split(".")[:-1] or [""]
    section = next((name for name in SECTIONS if key.startswith(f"{name}.")), None)
    method = (node.get("method") or {}).get("name")
    if section is not None and method in options("method") and section not in options("method")[method].SECTIONS:
        return f"'{key}': {not_a_part(section, method)}."
    if group not in GROUP_MODULES:
        return None
    chosen = node.get(group)
    if group in NAMED and inner and inner[0] in options(group) and inner[0] not in (chosen or {}):
        return f"'{key}' is a setting of {group}={inner[0]}, which is not chosen: add {group}={inner[0]}."
    for part in inner:
        chosen = chosen.get(part) if isinstance(chosen, dict) else None
    if not isinstance(chosen, dict) or "name" not in chosen:
        return None
    return misplaced(group, str(chosen["name"]), key) or None


def _means(path: str, word: str) -> bool:
    """Return whether ``word`` resembles the last part of ``path`` or abbreviates it (lr for learning_rate)."""
    name = path.rpartition(".")[2]
    initials = "".join(part[0] for part in name.split("_") if part)
    return word == initials or bool(difflib.get_close_matches(word, [name], cutoff=0.7))


def _paths(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return []
    return [path for key, value in node.items() for path in (f"{prefix}{key}", *_paths(value, f"{prefix}{key}."))]
