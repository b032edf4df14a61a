"""Hydra for ganrun's commands: finds and composes configs, runs jobs, and turns errors into one-line messages."""

from __future__ import annotations

import contextlib
import copy
import difflib
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra import version
from hydra._internal import hydra as hydra_module
from hydra._internal import utils
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.utils import JobRuntime
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ganrun.config.cli_args import CliArguments
from ganrun.config.labels import run_name
from ganrun.config.registry import GROUP_MODULES, misplaced, options
from ganrun.config.schema import SECTIONS, not_a_part
from ganrun.config.sweep_compose import Composer, jobs, parse, unreadable
from ganrun.errors import ConfigError, did_you_mean

VERSION_BASE = "1.3"
MODE = "hydra.mode=RUN"  # the override that Hydra itself adds for a single job

# Used by conf/settings.yaml to name runs. The jobs of every launcher import this module with their task.
OmegaConf.register_new_resolver("run_name", run_name, replace=True)


def config_folder() -> Path:
    """Return the folder of YAML configs: inside the installed package, or next to it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def compose(config_name: str, overrides: list[str], extra_folder: str | None = None) -> dict[str, Any]:
    """Return the composed config as plain data; raise :class:`ConfigError` instead of Hydra's own errors."""
    return next(compose_each(config_name, [overrides], extra_folder))


def compose_each(
    config_name: str, jobs: Iterable[list[str]], extra_folder: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the config of each list of overrides, as :func:`compose`; much faster if only values differ."""
    _require_folder(extra_folder)

    def compose_with_hydra(overrides: list[str]) -> DictConfig:
        with _searching(extra_folder):
            return hydra.compose(config_name=config_name, overrides=overrides)

    composer = Composer(compose_with_hydra, groups())
    for overrides in jobs:
        with _as_config_error(config_name, overrides, extra_folder):
            node = OmegaConf.to_container(composer(overrides), resolve=True)
        yield node  # type: ignore[misc]


@contextlib.contextmanager
def _as_config_error(config_name: str, overrides: list[str], extra_folder: str | None) -> Iterator[None]:
    """Return a context that turns errors in a config into a one-line :class:`ConfigError`."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_one_line(error, config_name, overrides, extra_folder)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = f"--config-dir {extra_folder}: " if extra_folder else ""
        raise ConfigError(f"{where}not YAML: {' '.join(str(error).split())}") from error
    except (ValueError, TypeError, OSError, RecursionError) as error:
        raise ConfigError(_misused_group(overrides) or str(error).splitlines()[0]) from error


def _require_folder(extra_folder: str | None) -> None:
    if extra_folder and not os.path.isdir(extra_folder):  # noqa: PTH112 (pathlib raises on a name too long)
        raise ConfigError(f"--config-dir: there is no folder {extra_folder}.")


@contextlib.contextmanager
def _searching(extra_folder: str | None = None) -> Iterator[None]:
    """Return a context in which Hydra searches ganrun's configs, then ``--config-dir``: the order of its own runs."""
    path = create_config_search_path(str(config_folder()))
    if extra_folder:
        last = SearchPathQuery(provider="schema", path=None)  # Hydra requires its schemas to be last
        path.prepend("command-line", f"file://{Path(extra_folder).resolve()}", anchor=last)
    # Hydra's own get_state and set_state would search for all plugins again, which takes as long as composing.
    home, job, base = GlobalHydra.instance(), JobRuntime.instance(), version.VersionBase.instance()
    before = home.hydra, job.conf.copy(), base.version_base
    home.clear()
    version.setbase(VERSION_BASE)
    try:
        Hydra.create_main_hydra2(task_name="ganrun", config_search_path=path)
        yield
    finally:
        home.hydra, job.conf, base.version_base = before


@dataclass(frozen=True)
class Composed:
    """The config ``name`` composed with the overrides ``words``, including Hydra's own settings."""

    name: str
    words: list[str]
    config: DictConfig


def preflight(name: str, arguments: CliArguments, inspect: Callable[[dict[str, Any]], object]) -> Composed | None:
    """Compose the configs of a command line and ``inspect`` each, so that errors are reported before work starts.

    Returns:
        The config of a single job, which :func:`hand_over` need not compose again; None for anything else.
    """
    options, words = arguments.options, arguments.overrides
    if options.multirun or options.config_path or not arguments.runs:
        for node in compose_each(name, jobs(words) if options.multirun else [words], options.config_dir):
            if arguments.runs:
                inspect(node)
        return None
    _require_folder(options.config_dir)
    overrides = words if any("hydra.mode" in word for word in words) else [*words, MODE]
    with _as_config_error(name, words, options.config_dir):
        with _searching(options.config_dir):
            whole = hydra.compose(config_name=name, overrides=overrides, return_hydra_config=True)
        without_hydra = copy.deepcopy(whole)
        with open_dict(without_hydra):
            del without_hydra["hydra"]
        node = OmegaConf.to_container(without_hydra, resolve=True)
    inspect(node)  # type: ignore[arg-type]
    return Composed(name, overrides, whole)


# Runs all jobs of a sweep, given as pairs of plain config and run directory, in the sweep's directory, and returns
# their exit codes; a keyword ``pruner`` may end some of them early.
Together = Callable[..., list[int]]


def hand_over(
    name: str,
    config_name: str,
    arguments: CliArguments,
    job: Callable[[DictConfig], int],
    together: Together | None = None,
    composed: Composed | None = None,
) -> int:
    """Let Hydra run ``job`` for the command line ``arguments``.

    Args:
        name: of the command.
        config_name: of the config.
        arguments: the command line.
        job: runs one job and returns its exit code.
        together: runs all jobs of a sweep; the ``population`` launcher calls it instead of ``job``.
        composed: the result of :func:`preflight`, which is used if the command line has not changed since.

    Returns:
        The largest exit code of the jobs.

    Raises:
        ConfigError: Hydra cannot run the command line.
    """
    codes = [0]

    def remember(config: DictConfig) -> int:
        codes.append(job(config))
        if codes[-1] in (130, 143):  # a signal ends a sweep too
            raise SystemExit(codes[-1])
        return codes[-1]

    def remember_all(jobs: list[tuple[dict[str, Any], Path]], folder: Path, **more: Any) -> list[int]:
        assert together is not None
        results = together(jobs, folder, **more)
        codes.extend(results)
        return results

    remember.codes = codes  # type: ignore[attr-defined]
    if together is not None:
        remember.together = remember_all  # type: ignore[attr-defined]
    remember.__module__ = "ganrun"  # Hydra names the job after the module
    captured = io.StringIO()  # when no job runs, nothing is printed to standard error
    redirected = contextlib.redirect_stderr(sys.stderr if arguments.runs else captured)
    with _plain_errors(f"ganrun {name}"), _mode_from_flags(arguments), _once(composed), redirected:
        try:
            version.setbase(VERSION_BASE)
            parser, folder = get_args_parser(), str(config_folder())
            utils._run_hydra(arguments.replaced(arguments.overrides).options, parser, remember, folder, config_name)
        except (HydraException, OmegaConfBaseException) as error:
            folder, words = arguments.options.config_dir, arguments.overrides
            raise ConfigError(_one_line(error, config_name, words, folder)) from error
        except Exception as error:
            if arguments.runs:
                raise
            raise ConfigError(" ".join(str(error).split()) or type(error).__name__) from error
        except SystemExit as leaving:
            if leaving.code and not arguments.runs:
                raise ConfigError(" ".join(captured.getvalue().split())) from None
            raise
    return max(codes)


@contextlib.contextmanager
def _plain_errors(program: str) -> Iterator[None]:
    """Return a context in which Hydra takes the program name ``program`` and raises errors instead of printing them."""
    before = sys.argv, utils.run_and_report
    sys.argv = [program]
    hydra_module.run_and_report = utils.run_and_report = lambda function: function()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        sys.argv, utils.run_and_report = before
        hydra_module.run_and_report = utils.run_and_report  # type: ignore[attr-defined]


@contextlib.contextmanager
def _once(composed: Composed | None) -> Iterator[None]:
    """Return a context in which Hydra uses the config ``composed`` before instead of composing it again."""
    load, left = ConfigLoaderImpl.load_configuration, [composed] if composed else []

    def loaded(loader: Any, config_name: str | None, overrides: list[str], *more: Any, **named: Any) -> Any:
        if left and (config_name, overrides) == (left[0].name, left[0].words):
            return left.pop().config
        return load(loader, config_name, overrides, *more, **named)

    ConfigLoaderImpl.load_configuration = loaded  # type: ignore[method-assign]
    try:
        yield
    finally:
        ConfigLoaderImpl.load_configuration = load  # type: ignore[method-assign]


@contextlib.contextmanager
def _mode_from_flags(arguments: CliArguments) -> Iterator[None]:
    """Return a context in which Hydra does not compose the config just to check whether it sets ``hydra.mode``.

    ganrun's own configs do not set it; the command line may, and configs in ``--config-dir`` or ``--config-path``.
    """
    get_mode, options = Hydra.get_mode, arguments.options
    if not (options.config_dir or options.config_path) and not any("hydra" in word for word in arguments.overrides):
        Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = get_mode  # type: ignore[method-assign]


def with_paths(arguments: CliArguments, keys: Iterable[str]) -> CliArguments:
    """Return ``arguments`` with the values of ``keys``, which are paths, quoted if Hydra would misread them.

    These are paths with a ``=``, such as the directories of a sweep's runs (``3-seed=1,learning_rate=0.001``), and
    existing paths, whose names may have a meaning in Hydra's grammar.
    """
    known = set(keys)

    def quote(word: str) -> str:
        key, _, text = word.partition("=")
        exists = os.path.exists(os.path.expanduser(text))  # noqa: PTH110, PTH111 (which never raise)
        misread = exists or ("=" in text and not set(text) & set("'\"[]{}"))
        return f"{key}={quoted(text)}" if key in known and misread else word

    return arguments.replaced([quote(word) for word in arguments.overrides])


def quoted(text: str) -> str:
    """Return ``text`` quoted for an override, so that Hydra and OmegaConf return it unchanged."""
    plain = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # escapes interpolations
    return QuotedString(plain, Quote.single).with_quotes()


def _one_line(
    error: Exception, config_name: str, overrides: Iterable[str] = (), extra_folder: str | None = None
) -> str:
    """Return the message of one of Hydra's errors in one line, with the closest match."""
    if isinstance(error, OverrideParseException):
        return unreadable(error)
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


def _missing(error: MissingConfigException, config_name: str) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if not group:
        return f"there is no config '{option}'; --config-name takes a file of conf/ or of --config-dir."
    known = [name for name in (error.options or []) if not name.startswith("_")]
    if not known and group in groups():
        return f"{group} has no option '{option}': choose one with {group}=NAME (`ganrun list {group}`)."
    if not known:
        return f"there is no group '{group}'.{did_you_mean(group, groups())}"
    return f"{group} has no option '{option}' (it has {', '.join(sorted(known))}).{did_you_mean(option, known)}"


def unknown_key(key: str, config_name: str, overrides: Iterable[str] = (), extra_folder: str | None = None) -> str:
    """Return the message for a key that the config does not have, with the closest setting.

    ``overrides`` are the whole command line, since the options that it chooses determine which settings exist.
    """
    node = _with_choices(config_name, overrides, extra_folder)
    paths = _paths(node)
    home, _, last = key.rpartition(".")
    if (line := _misplaced(key, last, node)) is not None:
        return line
    homes = difflib.get_close_matches(home.partition(".")[0], {path.partition(".")[0] for path in paths}, n=1)
    inside = [path for path in paths if homes and path.startswith(f"{homes[0]}.") and _means(path, last)]
    guess = f" Did you mean {' or '.join(inside)}?" if inside else did_you_mean(key, [*groups(), *paths])
    return f"'{key}' is not a setting.{guess or ' `ganrun train --help` shows them all.'}"


def _with_choices(config_name: str, overrides: Iterable[str], extra_folder: str | None) -> dict[str, Any]:
    """Return the config with the options that ``overrides`` choose, or without them if it cannot be composed."""
    known = groups()
    choices = [text for text in overrides if re.split("[@=]", text.lstrip("+"))[0] in known]
    for chosen in (choices, []):
        with contextlib.suppress(HydraException, OmegaConfBaseException), _searching(extra_folder):
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
    if group == "penalty" and inner and inner[0] in options(group) and inner[0] not in (chosen or {}):
        return f"'{key}' is a setting of penalty={inner[0]}, which is not chosen: add penalty={inner[0]}."
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


def groups() -> list[str]:
    """Return the names of the config groups: the folders of conf/."""
    return [path.name for path in config_folder().iterdir() if path.is_dir()]


def _paths(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return []
    return [path for key, value in node.items() for path in (f"{prefix}{key}", *_paths(value, f"{prefix}{key}."))]
