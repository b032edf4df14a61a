"""Composes the jobs of a sweep, and names their directories."""

# No `from __future__ import annotations` here: Hydra needs the types of a plugin's module unquoted.
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from ganrun.config import hparams
from ganrun.config.hydra_bridge import quoted
from ganrun.config.hydra_internals import settings_of_job
from ganrun.config.labels import member_name, short_keys, short_value, varying
from ganrun.config.schema import check
from ganrun.config.search_path import groups
from ganrun.config.sweep_compose import Composer, number_of, parse
from ganrun.errors import ConfigError
from ganrun.storage.run_directory import save_config
from ganrun.storage.sweep_directory import (
    Contents,
    require_apart,
    require_own_runs,
    require_room,
    write_contents,
)

PLAIN = "${hydra.job.num}"  # the default of hydra.sweep.subdir


class Jobs:
    """Composes the jobs of the sweep described by ``config``, and names their directories.

    If ``hydra.sweep.subdir`` is set, it determines the names. Otherwise a run is named by its number and the settings
    that vary in the sweep: ``3-seed=1,learning_rate=0.001``.
    """

    def __init__(self, context: HydraContext, config: DictConfig) -> None:
        self._config, self.folder = config, Path(str(config.hydra.sweep.dir))
        raw: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
        overrides: Any = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
        set_now = any(str(text).lstrip("+").startswith("hydra.sweep.subdir=") for text in overrides)
        self.subdir = str(raw["subdir"])
        self.named = not set_now and self.subdir == PLAIN
        self.numbered = self.named or "hydra.job.num" in self.subdir or "hydra:job.num" in self.subdir
        compose: Callable[[list[str]], DictConfig] = partial(context.config_loader.load_sweep_config, config)
        # Only Hydra itself can name folders by a job's overrides.
        quick = self.subdir == PLAIN and "override_dirname" not in str(raw["dir"])
        self._compose = Composer(compose, groups()) if quick else compose
        self._moves = "${" in re.sub(r"\$\{now:[^}]*\}", "", str(raw["dir"]))  # may differ between jobs
        self._parsed: dict[str, tuple[str, Any]] = {}

    def compose(self, number: int, overrides: Sequence[str]) -> tuple[dict[str, Any], str]:
        """Return the config of job ``number``, and its directory relative to the sweep's according to Hydra.

        Raises:
            ConfigError: Hydra would put the job outside the sweep's directory.
        """
        config = self._compose(list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        with settings_of_job(config):
            folder, place = Path(str(config.hydra.sweep.dir)), str(config.hydra.sweep.subdir)
        if folder != self.folder:
            raise ConfigError(
                f"hydra.sweep.dir must be one folder for the whole sweep, but for job {number} it is {folder} and not "
                f"{self.folder}: put what differs into hydra.sweep.subdir."
            )
        with open_dict(config):
            del config["hydra"]
        return OmegaConf.to_container(config, resolve=True), place  # type: ignore[return-value]

    def names(
        self, jobs: Sequence[Sequence[str]], first: int = 0, keys: Sequence[str] | None = None, digits: int = 10
    ) -> list[str]:
        """Return the directories of ``jobs``, relative to the sweep's.

        Args:
            jobs: the overrides of each job.
            first: the number of the first job.
            keys: the settings that vary in the sweep; None: those that differ between ``jobs``.
            digits: significant digits of a float in a name.

        Raises:
            ConfigError: two jobs would share a directory.
        """
        settings = [self._settings(overrides) for overrides in jobs]
        keys = varying(settings) if keys is None else list(keys)
        short = short_keys(keys)
        varied = [{short[key]: values[key] for key in keys if key in values} for values in settings]
        if self.named and not self._moves:
            return [member_name(number, values, digits) for number, values in enumerate(varied, first)]
        names = [self.compose(number, overrides)[1] for number, overrides in enumerate(jobs, first)]
        if self.named:
            return [member_name(number, values, digits) for number, values in enumerate(varied, first)]
        return require_apart(names, list(map(_described, varied)), first)

    def whole(self, jobs: Sequence[Sequence[str]], first: int, named: dict[int, str]) -> list[tuple[Any, Path]]:
        """Return the config and the directory of each of ``jobs``.

        Args:
            jobs: the overrides of each job.
            first: the number of the first job.
            named: directories by job number; other jobs get the directory that Hydra gives them.

        Raises:
            ConfigError: two jobs would share a directory.
        """
        composed = [self.compose(number, overrides) for number, overrides in enumerate(jobs, first)]
        names = [named.get(number, name) for number, (_, name) in enumerate(composed, first)]
        settings = [self._settings(overrides) for overrides in jobs]
        keys = varying(settings)
        varied = [{key: values[key] for key in keys if key in values} for values in settings]
        names = require_apart(names, list(map(_described, varied)), first)
        return [(config, self.folder / name) for (config, _), name in zip(composed, names, strict=True)]

    def _settings(self, overrides: Sequence[str]) -> dict[str, Any]:
        for text in overrides:
            if text not in self._parsed:
                self._parsed[text] = number_of(text) or _read(text)
        pairs = (self._parsed[text] for text in overrides)
        return {key: value for key, value in pairs if key.partition(".")[0] != "hydra"}

    def placed(self, overrides: Sequence[str], name: str) -> list[str]:
        """Return the overrides of a job with its directory set to ``name``, for any launcher."""
        others = [text for text in overrides if not text.startswith("hydra.sweep.subdir=")]
        return [*others, f"hydra.sweep.subdir={quoted(name)}"]

    def plan(
        self,
        jobs: Sequence[Sequence[str]],
        names: Sequence[str],
        batches: list[list[int]],
        parts: Sequence[str] = (),
        first: int = 0,
    ) -> None:
        """Write the config of every job to its directory, and the plan, so that the sweep can be resumed.

        This is for launchers that start each job by itself.

        Args:
            jobs: the overrides of each job.
            names: the directories of the jobs, relative to the sweep's.
            batches: those of the plan.
            parts: those of the plan.
            first: the number of the first job.

        Raises:
            ConfigError: a job's config is wrong, or a directory holds a run already. Nothing is written then.
        """
        configs = [check(self.compose(number, overrides)[0]) for number, overrides in enumerate(jobs, first)]
        folders = [self.folder / name for name in names]
        require_own_runs(self.folder, folders)
        require_room(self.folder, folders)
        for folder, config in zip(folders, configs, strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            save_config(config, folder)
        differing = sorted(hparams.varying(configs))
        write_contents(self.folder, Contents(list(names), batches, list(parts), differing))


def _read(text: str) -> tuple[str, Any]:
    (override,) = parse([text])
    return override.key_or_group, override.value()


def _described(settings: dict[str, Any]) -> str:
    """Return a description of a job by its ``settings``, for errors."""
    return ", ".join(f"{key}={short_value(value)}" for key, value in settings.items())[:200] or "the same settings"
