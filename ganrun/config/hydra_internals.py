"""The one file that uses Hydra's internals; all others use its public interface only.

Checked with hydra-core 1.3.8 (:data:`CHECKED`). It uses:

- ``hydra._internal.utils``, for the parser of Hydra's own options and the function behind ``hydra.main``, which itself
  takes its words from ``sys.argv``;
- ``run_and_report``, ``Hydra.get_mode`` and ``ConfigLoaderImpl.load_configuration``, replaced while Hydra runs, so that
  errors are raised and not printed, and a config is composed once and not up to three times;
- ``GlobalHydra``, ``JobRuntime``, ``VersionBase`` and ``HydraConfig``, set and put back, because
  ``hydra.initialize_config_dir`` fails within a job of Hydra's and leaves another name of the job behind;
- ``Callbacks``, of which a dry run has none;
- ``JobReturn``, whose result has a private name.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal import hydra as hydra_module
from hydra._internal import utils
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobRuntime, JobStatus
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig

CHECKED = ("1.3.8",)  # versions of hydra-core, the oldest first
VERSION_BASE = "1.3"


@dataclass(frozen=True)
class Composed:
    """The config ``name`` composed with the overrides ``words``, including Hydra's own settings."""

    name: str
    words: list[str]
    config: DictConfig


def parse_options(words: list[str]) -> argparse.Namespace:
    """Return Hydra's own options in ``words``, and the other words as ``overrides``; they may be mixed.

    Raises:
        SystemExit: an option is unknown, or lacks its value; argparse prints the reason.
    """
    return utils.get_args_parser().parse_intermixed_args(words)


@contextlib.contextmanager
def initialised(folder: str) -> Iterator[None]:
    """Return a context in which ``hydra.compose`` composes the configs in ``folder``, also within a job of Hydra."""
    # Hydra's own get_state and set_state would search for all plugins again, which takes as long as composing.
    home, job, base = GlobalHydra.instance(), JobRuntime.instance(), version.VersionBase.instance()
    before = home.hydra, job.conf.copy(), base.version_base
    home.clear()
    version.setbase(VERSION_BASE)
    try:
        search_path = utils.create_config_search_path(folder)
        Hydra.create_main_hydra2(task_name="ganrun", config_search_path=search_path)
        yield
    finally:
        home.hydra, job.conf, base.version_base = before


def whole_config(name: str, overrides: list[str], mode: RunMode) -> tuple[HydraContext, DictConfig]:
    """Return the context in which Hydra would run a command line, and its config with Hydra's own settings.

    Within :func:`initialised`. Overrides with several values have no effect on the config.
    """
    loader = GlobalHydra.instance().config_loader()
    config = loader.load_configuration(name, overrides, mode)
    return HydraContext(config_loader=loader, callbacks=Callbacks()), config


def run(
    options: argparse.Namespace,
    task: TaskFunction,
    folder: str,
    name: str,
    program: str,
    composed: Composed | None = None,
    mode_from_options: bool = False,
) -> None:
    """Do what ``hydra.main`` does for a parsed command line, but raise errors.

    Args:
        options: the command line, from :func:`parse_options`.
        task: runs one job.
        folder: the folder of configs.
        name: the config.
        program: the name of the program, for help and completion.
        composed: a config that is used, once, instead of composing the same again.
        mode_from_options: whether no config sets ``hydra.mode``: then none is composed to find out.
    """
    with _raising_errors(program), _reusing(composed), _knowing_mode(mode_from_options):
        version.setbase(VERSION_BASE)
        utils._run_hydra(options, utils.get_args_parser(), task, folder, name)


@contextlib.contextmanager
def _raising_errors(program: str) -> Iterator[None]:
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
def _reusing(composed: Composed | None) -> Iterator[None]:
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
def _knowing_mode(known: bool) -> Iterator[None]:
    """Return a context in which Hydra, if ``known``, does not compose the config only to look for ``hydra.mode``."""
    get_mode = Hydra.get_mode
    if known:
        Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = get_mode  # type: ignore[method-assign]


@contextlib.contextmanager
def settings_of_job(config: DictConfig) -> Iterator[None]:
    """Return a context in which interpolations of the form ``${hydra:...}`` read the settings of ``config``."""
    before = HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(config)
        yield
    finally:
        HydraConfig.instance().cfg = before


def job_return(overrides: Sequence[str], folder: Path, code: int) -> JobReturn:
    """Return what a launcher returns for a job that ran in ``folder`` and ended with the exit code ``code``."""
    return JobReturn(overrides=overrides, working_dir=str(folder), _return_value=code, status=JobStatus.COMPLETED)
