"""The hyperparameters of a run that are worth a column: those that were chosen, not those that have their default."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from typing import Any

from ganrun.config import Train, check
from ganrun.errors import ConfigError
from ganrun.rundir import hyperparameters

FIRST = ("dataset", "architecture", "loss", "seed")  # shown of every run, in this order
GROUPS = ("dataset", "architecture", "loss", "schedule")  # whose setting `name` is the option that was chosen


def settings(config: Train) -> dict[str, Any]:
    """Return what a run computes with, by the key that a user types: ``loss`` rather than ``loss.name``.

    ``penalty`` holds the names of all penalties, ``none`` where there are none.
    """
    found = hyperparameters(config)
    options = {group: found.pop(f"{group}.name") for group in GROUPS}
    options["penalty"] = "+".join(one.name for one in config.penalty) or "none"
    return options | found


def varying(configs: Iterable[Train]) -> frozenset[str]:
    """Return the keys of :func:`settings` that have more than one value in ``configs``."""
    seen: dict[str, Any] = {}
    found: set[str] = set()
    for own in map(settings, configs):
        found |= {key for key in own.keys() & seen.keys() if own[key] != seen[key]}
        seen |= own
    return frozenset(found)


def chosen(config: Train, also: Collection[str] = ()) -> dict[str, Any]:
    """Return the hyperparameters of a run that differ from their defaults, after those of :data:`FIRST`.

    Args:
        config: of the run.
        also: keys that are returned though they have their default, such as those that vary in a sweep.

    Returns:
        Values by key. Defaults are those of the options that the run has: the latent dimension of 64 that
        ``dataset=digits`` brings along is not returned.
    """
    own, defaults = settings(config), _defaults(config)
    rest = {key for key, value in own.items() if key in also or key not in defaults or defaults[key] != value}
    return {key: own[key] for key in (*FIRST, *(key for key in own if key in rest - set(FIRST)))}


def _defaults(config: Train) -> dict[str, Any]:
    """Return the settings of a run with the options of ``config`` where nothing else is set; empty if unknown.

    Which schedule and penalties there are is a choice too: for these the default is that of the dataset.
    """
    options = [f"{group}={getattr(config, group).name}" for group in GROUPS]
    penalties = ",".join(one.name for one in config.penalty)
    try:
        own = _composed(*options, f"penalty=[{penalties}]" if penalties else "penalty=none")
        usual = _composed(options[0])
    except ConfigError:  # an option that has no YAML
        return {}
    return own | {key: usual[key] for key in ("schedule", "penalty")}


@functools.cache
def _composed(*words: str) -> dict[str, Any]:
    from ganrun.hydra_app import compose  # imports Hydra

    return settings(check(compose("train", list(words))))
