"""The jobs of a sweep before they begin: what each is, and which directory it gets."""

# No `from __future__ import annotations` here: Hydra reads the types of a plugin's module as they stand.
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from ganrun import hparams
from ganrun.composing import Composer, parse
from ganrun.config import check
from ganrun.errors import ConfigError
from ganrun.hydra_app import groups, quoted
from ganrun.labels import member_name, short_keys, short_value, varying
from ganrun.rundir import save_config
from ganrun.sweep_folder import Contents, require_apart, require_own_runs, require_room, write_contents

PLAIN = "${hydra.job.num}"  # hydra.sweep.subdir where nobody has set it


class Jobs:
    """Composes the jobs of the sweep that ``config`` describes, and names their directories.

    A ``hydra.sweep.subdir`` that somebody has set is obeyed. Otherwise a run is called after its number and what varies
    in the sweep: ``3-seed=1,learning_rate=0.001``.
    """

    def __init__(self, context: HydraContext, config: DictConfig) -> None:
        self._config, self.folder = config, Path(str(config.hydra.sweep.dir))
        raw: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
        asked: Any = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
        set_now = any(str(one).lstrip("+").startswith("hydra.sweep.subdir=") for one in asked)
        self.subdir = str(raw["subdir"])
        self.named = not set_now and self.subdir == PLAIN
        self.numbered = self.named or "hydra.job.num" in self.subdir or "hydra:job.num" in self.subdir
        compose: Callable[[list[str]], DictConfig] = partial(context.config_loader.load_sweep_config, config)
        # Folders named by a job's overrides need Hydra to see them all.
        quick = self.subdir == PLAIN and "override_dirname" not in str(raw["dir"])
        self._compose = Composer(compose, groups()) if quick else compose
        self._moves = "${" in re.sub(r"\$\{now:[^}]*\}", "", str(raw["dir"]))  # may differ between jobs, who knows
        self._parsed: dict[str, tuple[str, Any]] = {}

    def compose(self, number: int, overrides: Sequence[str]) -> tuple[dict[str, Any], str]:
        """Return the config of a job, and the directory that Hydra would give to it in the sweep's.

        Raises:
            ConfigError: Hydra would put it elsewhere.
        """
        config = self._compose(list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        before = HydraConfig.instance().cfg
        try:
            HydraConfig.instance().set_config(config)  # which interpolations of the form ${hydra:...} read
            folder, place = Path(str(config.hydra.sweep.dir)), str(config.hydra.sweep.subdir)
        finally:
            HydraConfig.instance().cfg = before
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
            jobs: the overrides of each.
            first: the number of the first of them.
            keys: what varies in the sweep; None: what differs between ``jobs``.
            digits: significant digits of a float in a name.

        Raises:
            ConfigError: two jobs would share a directory.
        """
        settings = [self._settings(one) for one in jobs]
        keys = varying(settings) if keys is None else list(keys)
        short = short_keys(keys)
        own = [{short[key]: one[key] for key in keys if key in one} for one in settings]
        if self.named and not self._moves:
            return [member_name(number, one, digits) for number, one in enumerate(own, first)]
        names = [self.compose(number, one)[1] for number, one in enumerate(jobs, first)]
        if self.named:
            return [member_name(number, one, digits) for number, one in enumerate(own, first)]
        return require_apart(names, list(map(_told, own)), first)

    def whole(self, jobs: Sequence[Sequence[str]], first: int, named: dict[int, str]) -> list[tuple[Any, Path]]:
        """Return config and directory of each of ``jobs``: the one ``named`` for its number, or Hydra's own.

        Raises:
            ConfigError: two jobs would share a directory.
        """
        composed = [self.compose(number, one) for number, one in enumerate(jobs, first)]
        names = [named.get(number, name) for number, (_, name) in enumerate(composed, first)]
        settings = [self._settings(one) for one in jobs]
        keys = varying(settings)
        own = [{key: one[key] for key in keys if key in one} for one in settings]
        names = require_apart(names, list(map(_told, own)), first)
        return [(config, self.folder / name) for (config, _), name in zip(composed, names, strict=True)]

    def _settings(self, overrides: Sequence[str]) -> dict[str, Any]:
        for text in overrides:
            if text not in self._parsed:
                (one,) = parse([text])
                self._parsed[text] = (one.key_or_group, one.value())
        pairs = (self._parsed[text] for text in overrides)
        return {key: value for key, value in pairs if key.partition(".")[0] != "hydra"}

    def placed(self, overrides: Sequence[str], name: str) -> list[str]:
        """Return the overrides of a job such that any launcher puts it into the directory ``name``."""
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
        """Leave the config of every job in its directory, and the plan: so the sweep can be resumed by its directory.

        This is for launchers that start each job by itself. ``batches`` and ``parts`` are those of the plan.

        Raises:
            ConfigError: a job's config is wrong, or a directory holds a run already. Nothing is written then.
        """
        configs = [check(self.compose(number, one)[0]) for number, one in enumerate(jobs, first)]
        folders = [self.folder / name for name in names]
        require_own_runs(self.folder, folders)
        require_room(self.folder, folders)
        for folder, config in zip(folders, configs, strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            save_config(config, folder)
        differing = sorted(hparams.varying(configs))
        write_contents(self.folder, Contents(list(names), batches, list(parts), differing))


def _told(settings: dict[str, Any]) -> str:
    """Return ``settings`` as an error names a job by them."""
    return ", ".join(f"{key}={short_value(value)}" for key, value in settings.items())[:200] or "like others"
