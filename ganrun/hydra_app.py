"""Hydra for ganrun's commands: where the configs are, composing them, and saying in one line what went wrong."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import hydra
import hydra.core.global_hydra
import yaml
from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString, ValueType
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganrun.composing import Composer
from ganrun.errors import ConfigError, did_you_mean

VERSION_BASE = "1.3"


def config_folder() -> Path:
    """Return the folder of YAML: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


class Arguments:
    """A command line as Hydra reads it: ``overrides`` and Hydra's own options."""

    def __init__(self, words: list[str]) -> None:
        complaint = io.StringIO()
        try:
            with contextlib.redirect_stderr(complaint):
                self.options = get_args_parser().parse_intermixed_args(words)
        except SystemExit as leaving:
            if leaving.code == 0:
                raise
            reason = complaint.getvalue().strip().splitlines()[-1].split("error: ")[-1]
            raise ConfigError(f"{reason}. `--help` shows what is understood.") from None
        self.overrides: list[str] = list(self.options.overrides)
        # Hydra's own parser wants all settings in one stretch; the flags may stand anywhere between them.
        self.words = [*_without(words, self.overrides), *self.overrides]

    @property
    def only_shows(self) -> bool:
        """Whether Hydra only prints something and runs no job."""
        options = self.options
        return bool(options.help or options.hydra_help or options.shell_completion)

    @property
    def runs(self) -> bool:
        """Whether jobs will run."""
        return not (self.only_shows or self.options.cfg or self.options.info)

    def value(self, key: str) -> str | None:
        """Return what the last override of ``key`` says, or None where it is not set or null."""
        said = [text.partition("=")[2] for text in self.overrides if text.partition("=")[0] == key]
        word = said[-1].strip("'\"") if said else ""
        return None if word in ("", "null") else word


def compose(config_name: str, overrides: list[str], extra_folder: str | None = None) -> dict[str, Any]:
    """Return the composed config as plain data; raise :class:`ConfigError` in place of Hydra's own errors."""
    return next(compose_each(config_name, [overrides], extra_folder))


def compose_each(
    config_name: str, jobs: Iterable[list[str]], extra_folder: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield what :func:`compose` returns for each list of overrides; much quicker where they differ in values only."""
    if extra_folder and not os.path.isdir(extra_folder):  # noqa: PTH112 (pathlib raises on a name too long)
        raise ConfigError(f"--config-dir: there is no folder {extra_folder}.")

    def whole(overrides: list[str]) -> DictConfig:
        with _searching(extra_folder):
            return hydra.compose(config_name=config_name, overrides=overrides)

    composer = Composer(whole, groups())
    for overrides in jobs:
        try:
            node = OmegaConf.to_container(composer(overrides), resolve=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_one_line(error, config_name)) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            where = f"--config-dir {extra_folder}: " if extra_folder else ""
            raise ConfigError(f"{where}not YAML: {' '.join(str(error).split())}") from error
        except (ValueError, TypeError, OSError) as error:
            raise ConfigError(_misused_group(overrides) or str(error).splitlines()[0]) from error
        yield node  # type: ignore[misc]


@contextlib.contextmanager
def _searching(extra_folder: str | None = None) -> Iterator[None]:
    """Make ganrun's configs, then those of ``--config-dir``, what Hydra composes from: the order its own run uses."""
    path = create_config_search_path(str(config_folder()))
    if extra_folder:
        last = SearchPathQuery(provider="schema", path=None)  # Hydra wants its schemas behind all else
        path.prepend("command-line", f"file://{Path(extra_folder).resolve()}", anchor=last)
    previous = hydra.core.global_hydra.GlobalHydra.get_state()
    hydra.core.global_hydra.GlobalHydra.instance().clear()
    version.setbase(VERSION_BASE)
    Hydra.create_main_hydra2(task_name="ganrun", config_search_path=path)
    try:
        yield
    finally:
        hydra.core.global_hydra.GlobalHydra.set_state(previous)


def jobs(overrides: list[str]) -> Iterator[list[str]]:
    """Yield, for a sweep, override lists that between them contain every value of every axis.

    The first value of all axes, then each further value alone: their number is the sum of the axes' lengths and not
    the product, which is enough to find a value that is wrong by itself.
    """
    axes = []
    for override in _parse(overrides):
        if override.value_type == ValueType.GLOB_CHOICE_SWEEP:
            continue  # the files it finds are options by their existence
        if override.is_interval_sweep():
            ends: Any = override.value()
            axes.append([f"{override.get_key_element()}={value}" for value in (ends.start, ends.end)])
        elif override.is_sweep_override():
            axes.append([f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()])
        else:
            axes.append([str(override.input_line)])
    first = [axis[0] for axis in axes]
    yield first
    for i, axis in enumerate(axes):
        for value in axis[1:]:
            yield [*first[:i], value, *first[i + 1 :]]


def preflight(name: str, arguments: Arguments, inspect: Callable[[dict[str, Any]], object]) -> None:
    """Compose what the command line asks for and ``inspect`` it, so that what is wrong is told before work starts."""
    options = arguments.options
    tried = jobs(arguments.overrides) if options.multirun else [arguments.overrides]
    for node in compose_each(name, tried, options.config_dir):
        if arguments.runs:
            inspect(node)


# Returns the exit codes of many jobs, each a plain config and its folder, of the sweep in a folder; may be given a
# judge that ends some of them early.
Together = Callable[..., list[int]]


def hand_over(
    name: str, config_name: str, words: list[str], job: Callable[[DictConfig], int], together: Together | None = None
) -> int:
    """Let Hydra run ``job`` for the command line ``words``; return the worst exit code of its jobs.

    Hydra's ``population`` launcher gives all jobs of a sweep to ``together`` at once.
    """
    codes = [0]

    def remember(config: DictConfig) -> int:
        codes.append(job(config))
        if codes[-1] in (130, 143):  # a signal ends a sweep too
            raise SystemExit(codes[-1])
        return codes[-1]

    def remember_all(jobs: list[tuple[dict[str, Any], Path]], folder: Path, **more: Any) -> list[int]:
        assert together is not None
        found = together(jobs, folder, **more)
        codes.extend(found)
        return found

    remember.codes = codes  # type: ignore[attr-defined]
    if together is not None:
        remember.together = remember_all  # type: ignore[attr-defined]
    remember.__module__ = "ganrun"  # what Hydra would name the job after
    run = hydra.main(config_path=str(config_folder()), config_name=config_name, version_base=VERSION_BASE)(remember)
    before, sys.argv = sys.argv, [f"ganrun {name}", *words]
    try:
        run()
    finally:
        sys.argv = before
    return max(codes)


def quoted(text: str) -> str:
    """Return ``text`` such that Hydra and OmegaConf between them give back ``text``, whatever is in it."""
    plain = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # no interpolation
    return QuotedString(plain, Quote.single).with_quotes()


def _without(words: list[str], settings: list[str]) -> list[str]:
    """Return ``words`` less ``settings``, each of them once."""
    left = list(settings)
    return [word for word in words if word not in left or left.remove(word)]


def _parse(overrides: list[str]) -> list[Any]:
    try:
        return OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as error:
        raise ConfigError(_unreadable(error)) from error


def _unreadable(error: OverrideParseException) -> str:
    return f"cannot read the setting '{error.override}': write KEY=VALUE, and put special characters in quotes."


def _one_line(error: Exception, config_name: str) -> str:
    """Say what Hydra says in one line, with the closest match."""
    if isinstance(error, OverrideParseException):
        return _unreadable(error)
    if isinstance(error, MissingConfigException):
        return _missing(error, config_name)
    text = str(error)
    unknown = re.match(r"Could not (?:override|append to) '([^'@]+)", text)
    if unknown and "No match in the defaults list" in text and unknown[1] in groups():
        return (
            f"this config is a whole run's and chooses no {unknown[1]} by name: "
            f"set its values ({unknown[1]}.KEY=VALUE), or start a new run with `ganrun train {unknown[1]}=NAME`."
        )
    if unknown and ("No match in the defaults list" in text or "not in struct" in str(error.__cause__)):
        return unknown_key(unknown[1], config_name)
    present = re.match(r"Could not append to config. An item is already at '([^']+)'", text)
    if present:
        return f"{present[1]} is a setting already: write {present[1]}=VALUE without the +."
    if text.startswith("Ambiguous value for argument"):
        return f"{text.splitlines()[0]}: write -m to run one job per value, or [A,B] for a list."
    cause = str(error.__cause__).splitlines()[0] if error.__cause__ else ""
    return " ".join(part for part in (text.splitlines()[0], cause) if part)


def _misused_group(overrides: list[str]) -> str:
    """Return the line for a group that is given something else than a name, which Hydra does not expect at all."""
    for override in _parse(overrides):
        group, value = override.key_or_group, override.value()
        if group in groups() and not isinstance(value, (str, list)):
            return f"{group} takes the name of an option, not {value!s:.40} (`ganrun list {group}`)."
    return ""


def _missing(error: MissingConfigException, config_name: str) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if not group:
        return f"there is no config '{option}'; --config-name takes a file of conf/ or of --config-dir."
    found = [name for name in (error.options or []) if not name.startswith("_")]
    if not found and group in groups():
        return f"{group} has no option '{option}': choose one with {group}=NAME (`ganrun list {group}`)."
    if not found:
        return f"there is no group '{group}'.{did_you_mean(group, groups())}"
    return f"{group} has no option '{option}' (it has {', '.join(sorted(found))}).{did_you_mean(option, found)}"


def unknown_key(key: str, config_name: str) -> str:
    """Return the line for a key that the config does not have, with the setting that was probably meant."""
    try:
        with _searching():
            node = OmegaConf.to_container(hydra.compose(config_name=config_name), resolve=False)
    except HydraException:
        node = {}
    paths = _paths(node)
    home, _, last = key.rpartition(".")
    homes = difflib.get_close_matches(home.partition(".")[0], {path.partition(".")[0] for path in paths}, n=1)
    inside = [path for path in paths if homes and path.startswith(f"{homes[0]}.") and _means(path, last)]
    guess = f" Did you mean {' or '.join(inside)}?" if inside else did_you_mean(key, [*groups(), *paths])
    return f"'{key}' is not a setting.{guess or ' `ganrun train --help` shows them all.'}"


def _means(path: str, word: str) -> bool:
    """Whether ``word`` is close to the last part of ``path`` or abbreviates it (lr, learning_rate)."""
    name = path.rpartition(".")[2]
    initials = "".join(part[0] for part in name.split("_") if part)
    return word == initials or bool(difflib.get_close_matches(word, [name], cutoff=0.7))


def groups() -> list[str]:
    """Return the names that choose an option: the folders of conf/."""
    return [path.name for path in config_folder().iterdir() if path.is_dir()]


def _paths(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return []
    return [path for key, value in node.items() for path in (f"{prefix}{key}", *_paths(value, f"{prefix}{key}."))]
