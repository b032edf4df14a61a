"""Hydra for ganrun's commands: composes configs, checks them before work starts, and runs jobs."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ganrun.config import hydra_internals, user_plugins
from ganrun.config.cli_args import CliArguments
from ganrun.config.folders import config_folder
from ganrun.config.help_text import explained
from ganrun.config.hydra_errors import as_config_error, one_line
from ganrun.config.hydra_internals import Composed
from ganrun.config.labels import run_name
from ganrun.config.registry import require_options
from ganrun.config.search_path import adding_folders, groups, require_folder, searching
from ganrun.config.sweep_compose import Composer, jobs
from ganrun.errors import ConfigError

MODE = "hydra.mode=RUN"  # the override that Hydra itself adds for a single job

# Used by conf/settings.yaml to name runs. The jobs of every launcher import this module with their task.
OmegaConf.register_new_resolver("run_name", run_name, replace=True)


def compose(config_name: str, overrides: list[str], extra_folder: str | None = None) -> dict[str, Any]:
    """Return the composed config as plain data; raise :class:`ConfigError` instead of Hydra's own errors."""
    return next(compose_each(config_name, [overrides], extra_folder))


def compose_each(
    config_name: str, jobs: Iterable[list[str]], extra_folder: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the config of each list of overrides, as :func:`compose`; much faster if only values differ."""
    compose_one = composing(config_name, extra_folder)
    for overrides in jobs:
        yield compose_one(overrides)


def composing(config_name: str, extra_folder: str | None = None) -> Callable[[list[str]], dict[str, Any]]:
    """Return :func:`compose` for one config, as a function that is much faster if only values differ between calls."""
    require_folder(extra_folder)

    def compose_with_hydra(overrides: list[str]) -> DictConfig:
        with searching(extra_folder):
            return hydra.compose(config_name=config_name, overrides=overrides)

    composer = Composer(compose_with_hydra, groups())

    def compose_one(overrides: list[str]) -> dict[str, Any]:
        with as_config_error(config_name, overrides, extra_folder):
            return _plain(composer.plain(overrides) or composer(overrides))

    return compose_one


def _plain(config: DictConfig | dict[str, Any]) -> dict[str, Any]:
    """Return ``config`` as plain data; raise :class:`ConfigError` if it names a plugin that is none here."""
    node: Any = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    user_plugins.require(node.get("plugins"), "this config")
    return node


def preflight(name: str, arguments: CliArguments, inspect: Callable[[dict[str, Any]], object]) -> Composed | None:
    """Compose the configs of a command line and ``inspect`` each, so that errors are reported before work starts.

    Returns:
        The config of a single job, which :func:`hand_over` need not compose again; None for anything else.
    """
    use_plugins(arguments)
    require_options()
    options, words = arguments.options, arguments.overrides
    if options.multirun or options.config_path or not arguments.runs:
        for node in compose_each(name, jobs(words) if options.multirun else [words], options.config_dir):
            if arguments.runs:
                inspect(node)
        return None
    overrides = words if any("hydra.mode" in word for word in words) else [*words, MODE]
    with as_config_error(name, words, options.config_dir):
        with searching(options.config_dir):
            whole = hydra.compose(config_name=name, overrides=overrides, return_hydra_config=True)
        without_hydra = copy.deepcopy(whole)
        with open_dict(without_hydra):
            del without_hydra["hydra"]
        node = _plain(without_hydra)
    inspect(node)
    return Composed(name, overrides, whole)


@contextlib.contextmanager
def as_hydra_runs(name: str, arguments: CliArguments) -> Iterator[tuple[HydraContext, DictConfig]]:
    """Return a context with the context in which Hydra would run a command line, and its config, Hydra's own included.

    Raises:
        ConfigError: Hydra cannot compose it.
    """
    mode, extra = RunMode.MULTIRUN if arguments.options.multirun else RunMode.RUN, arguments.options.config_dir
    with as_config_error(name, arguments.overrides, extra), searching(extra):
        setup_globals()
        found = hydra_internals.whole_config(name, arguments.overrides, mode)
    with searching(extra):
        yield found


def use_plugins(arguments: CliArguments) -> None:
    """Let ganrun use the packages that ``plugins=[...]`` names on the command line, and no others but the installed.

    :func:`preflight` and :func:`hand_over` do this; call it before either only to read a run's config.
    """
    user_plugins.use(user_plugins.named(arguments.overrides))


# Runs all jobs of a sweep, given as pairs of plain config and run directory, in the sweep's directory, and returns
# their exit codes; a keyword ``pruner`` may end some of them early.
Together = Callable[..., list[int]]


class Task:
    """What Hydra calls for each job, here or in another process. It keeps the exit codes, which Hydra ignores.

    Attributes:
        codes: the exit codes so far.
        together: runs all jobs of a sweep; None if they run one by one.
    """

    def __init__(self, job: Callable[[DictConfig], int], together: Together | None) -> None:
        self.__module__ = "ganrun"  # Hydra names the job after the module
        self.codes = [0]
        self.together = None if together is None else self._run_together
        self._job, self._together = job, together
        self._plugins = user_plugins.chosen()

    def __call__(self, config: DictConfig) -> int:
        """Run one job and return its exit code."""
        user_plugins.use(self._plugins)  # a process of a launcher has no command line
        code = self._job(config)
        self.codes.append(code)
        if code in (130, 143):  # a signal ends a sweep too
            raise SystemExit(code)
        return code

    def _run_together(self, jobs: list[tuple[dict[str, Any], Path]], folder: Path, **more: Any) -> list[int]:
        assert self._together is not None
        codes = self._together(jobs, folder, **more)
        self.codes.extend(codes)
        return codes


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
    use_plugins(arguments)
    task, options = Task(job, together), arguments.options
    # ganrun's own configs do not set hydra.mode; the command line may, and the user's own folders of configs.
    own = not (options.config_dir or options.config_path) and not any("hydra" in word for word in arguments.overrides)
    help_text = explained(config_name) if options.help else contextlib.nullcontext()
    with _as_one_line(config_name, arguments), adding_folders(options.config_dir), help_text:
        hydra_internals.run(
            arguments.replaced(arguments.overrides, config_dir=None).options,  # its folder has been added
            task,
            str(config_folder()),
            config_name,
            f"ganrun {name}",
            composed,
            mode_from_options=own,
        )
    return max(task.codes)


@contextlib.contextmanager
def _as_one_line(config_name: str, arguments: CliArguments) -> Iterator[None]:
    """Return a context in which whatever stops Hydra is raised as a one-line :class:`ConfigError`.

    If jobs run, only errors of Hydra and OmegaConf are; otherwise all are, and nothing is printed to standard error.
    """
    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(sys.stderr if arguments.runs else captured):
            yield
    except (HydraException, OmegaConfBaseException) as error:
        line = one_line(error, config_name, arguments.overrides, arguments.options.config_dir)
        raise ConfigError(line) from error
    except Exception as error:
        if arguments.runs:
            raise
        raise ConfigError(" ".join(str(error).split()) or type(error).__name__) from error
    except SystemExit as leaving:
        if leaving.code and not arguments.runs:
            raise ConfigError(" ".join(captured.getvalue().split())) from None
        raise


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
