"""The configs of the jobs of a search, checked before any of them starts."""

# No `from __future__ import annotations` here, as in all modules of a plugin.
from collections.abc import Sequence
from functools import partial
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ganrun.config.schema import check
from ganrun.config.search_path import groups
from ganrun.config.settings import Train
from ganrun.config.sweep_compose import Composer, jobs
from ganrun.errors import ConfigError

BETWEEN = 0.381966  # fraction of an interval at which a value that is not whole is tried


class JobConfigs:
    """Composes and checks the configs of jobs.

    Args:
        context: Hydra's.
        config: that of the sweep.
    """

    def __init__(self, context: HydraContext, config: DictConfig) -> None:
        self._composer = Composer(partial(context.config_loader.load_sweep_config, config), groups())

    def require_metric(self, metric: str, arguments: list[str]) -> None:
        """Refuse a metric that some job of the search would not log, before any of them starts."""
        from ganrun.evaluation.metrics.logged import require_logged  # imports JAX, which not every command needs

        for overrides in jobs(arguments):
            require_logged(metric, self._config(overrides), "hydra.sweeper.metric")

    def require_whole(self, arguments: list[str], parsed: Sequence[Override]) -> None:
        """Refuse an interval for a setting that takes whole numbers only, before a trial draws another number."""
        first = next(jobs(arguments))
        for i, override in enumerate(parsed):
            key = override.get_key_element()
            sweep: Any = override.value()
            if not isinstance(sweep, IntervalSweep) or "int" in sweep.tags:
                continue
            start, end = float(sweep.start or 0), float(sweep.end or 0)  # never None, though their types allow it
            inner = start + BETWEEN * (end - start)
            if self._is_valid([*first[:i], f"{key}={inner}", *first[i + 1 :]]):
                continue
            if self._is_valid([*first[:i], f"{key}={round(inner)}", *first[i + 1 :]]):
                whole = f"{key}='range({start:g},{end + 1:g})'"
                raise ConfigError(f"{key} takes whole numbers, and an interval holds others: write {whole}.")

    def _is_valid(self, overrides: list[str]) -> bool:
        try:
            self._config(overrides)
        except (ConfigError, HydraException, OmegaConfBaseException):
            return False
        return True

    def _config(self, overrides: list[str]) -> Train:
        """Return the checked config of a job of the search."""
        config = self._composer(overrides)
        with open_dict(config):
            config.pop("hydra", None)
        return check(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
