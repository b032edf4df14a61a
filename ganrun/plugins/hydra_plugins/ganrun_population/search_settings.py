"""The settings of a search, and their checks."""

# No `from __future__ import annotations` here: Hydra needs the dataclass's types unquoted.
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore

from ganrun.config.values import checked
from ganrun.errors import ConfigError, did_you_mean
from ganrun.evaluation.metrics.spec import better, spec_of

COUNT = {"low": 1, "high": 1_000_000}
WHOLE = {"trials": COUNT, "batch": COUNT, "seeds_per_trial": COUNT, "seed": {"low": 0, "high": 2**32 - 1}}
SECONDS = {"low": 1.0, "high": 86400.0}
DIRECTIONS = ("auto", "minimize", "maximize")
DIRECTION_OF = {"lower": "minimize", "higher": "maximize"}


@dataclass
class SearchConf:
    """The settings of a search, ``hydra.sweeper.KEY=VALUE``.

    Whole numbers are checked against :data:`WHOLE` and declared as Any: Hydra would refuse 1e1 for an int.
    """

    _target_: str = "hydra_plugins.ganrun_population.search.SearchSweeper"
    trials: Any = 24  # total number of trials
    batch: Any = 8  # trials trained at a time, as one population
    seeds_per_trial: Any = 1  # runs per trial, whose metric is averaged
    metric: str = "jsd/exact"  # the metric that is optimised, in the mean over the runs of a trial
    direction: str = "auto"  # minimize, maximize, or auto: the direction in which the metric improves
    prune: bool = True  # end trials early if they are worse than the median of the previous ones
    seed: Any = 0  # of the sampler
    storage: str | None = None  # an SQLite file, or journal or postgresql://... to share; null: study.db in the sweep
    lost_after: Any = 60.0  # seconds without a sign of life after which the trials of a process are taken by another


ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=SearchConf, provider="ganrun")


def check_numbers(settings: SearchConf) -> None:
    """Check the numbers of ``settings`` and give them their types; raise :class:`ConfigError` if one is invalid."""
    for name, rules in WHOLE.items():
        setattr(settings, name, checked(int, getattr(settings, name), f"hydra.sweeper.{name}", rules))
    settings.lost_after = checked(float, settings.lost_after, "hydra.sweeper.lost_after", SECONDS)


def direction_of(settings: SearchConf) -> str:
    """Return the direction of the search: the one set, or the one in which the metric improves."""
    if settings.direction not in DIRECTIONS:
        listed, close = ", ".join(DIRECTIONS), did_you_mean(settings.direction, DIRECTIONS)
        raise ConfigError(f"hydra.sweeper.direction must be one of {listed}.{close}")
    if settings.direction != "auto":
        return settings.direction
    improves = better(settings.metric)
    if improves is None and spec_of(settings.metric) is not None:
        raise ConfigError(
            f"hydra.sweeper.metric: neither lower nor higher {settings.metric} is better by itself: "
            "add hydra.sweeper.direction=minimize or hydra.sweeper.direction=maximize."
        )
    return DIRECTION_OF.get(improves or "", "minimize")
