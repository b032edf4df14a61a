"""Hydra's grid of ``-m`` for ganrun, which has checked the values already."""

# No `from __future__ import annotations` here: Hydra reads the dataclass's types as they stand.
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore


@dataclass
class GridConf:
    """All combinations at once: a population wants to see the whole sweep."""

    _target_: str = "hydra_plugins.ganrun_population.sweeper.GridSweeper"
    max_batch_size: Any = None
    params: Any = None


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConf, provider="ganrun")


class GridSweeper(BasicSweeper):
    """Every combination of the values given."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Do nothing: Hydra would compose every job once more, and ``ganrun train`` has tried every value before."""
