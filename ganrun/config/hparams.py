"""Selects the hyperparameters of a run to show in tables: those that differ from their default."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterable
from typing import Any

from ganrun.config.schema import SECTIONS, check, to_dict
from ganrun.config.settings import Train
from ganrun.errors import ConfigError

# Settings, or prefixes of settings, that do not affect what a run computes.
FREE = (
    "steps",
    "steps_per_call",
    "data_dir",
    "feed",
    "mesh.",
    "hosts.",
    "resume",
    "profile",
    "deterministic",
    "retry",
    "plugins",
    "log.",
    "evaluate.",
    "checkpoint.",
    "stop.",
    "probe.",
    "metric.",
    "population.",
    "ema.snapshots",
)
CONTENT = "dataset.content"  # hash of the examples of a dataset that is read from the user's files
FIRST = ("dataset", "architecture", "method", "loss", "seed")  # shown for every run that has them, in this order
GROUPS = ("dataset", "architecture", "method", "loss", "schedule")  # groups whose setting `name` is the chosen option


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested dicts into one with dotted keys."""
    pairs: dict[str, Any] = {}
    for key, value in tree.items():
        pairs |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return pairs


def hyperparameters(config: Train) -> dict[str, Any]:
    """Return the settings that affect what a run computes, by dotted key: the columns of TensorBoard's HPARAMS tab.

    Of what is recorded from the files of a dataset, only the hash of their content is one of them.
    """
    settings, hidden = flat(to_dict(config)), recorded_keys(config) - {CONTENT}
    kept = {key: value for key, value in settings.items() if key == "steps" or not key.startswith(FREE)}
    return {key: value for key, value in kept.items() if key not in hidden}


def recorded_keys(config: Train) -> set[str]:
    """Return the keys of the settings that were not chosen, but recorded from the files of the dataset."""
    fields = dataclasses.fields(config.dataset)
    return {f"dataset.{field.name}" for field in fields if field.metadata.get("recorded")}


def settings(config: Train) -> dict[str, Any]:
    """Return :func:`hyperparameters` by the keys that a user types: ``loss`` instead of ``loss.name``.

    ``penalty`` holds the names of all penalties, or ``none``.
    """
    others = {key: value for key, value in hyperparameters(config).items() if value is not None or key not in SECTIONS}
    options = {group: others.pop(f"{group}.name") for group in GROUPS if f"{group}.name" in others}
    if "penalty" in config.method.SECTIONS:
        options["penalty"] = "+".join(penalty.name for penalty in config.penalty) or "none"
    return options | others


def varying(configs: Iterable[Train]) -> frozenset[str]:
    """Return the keys of :func:`settings` that have more than one value in ``configs``."""
    previous: dict[str, Any] = {}
    keys: set[str] = set()
    for values in map(settings, configs):
        keys |= {key for key in values.keys() & previous.keys() if values[key] != previous[key]}
        previous |= values
    return frozenset(keys)


def chosen(config: Train, also: Collection[str] = ()) -> dict[str, Any]:
    """Return the hyperparameters of :data:`FIRST`, followed by those that differ from their defaults.

    Args:
        config: of the run.
        also: keys to return even if they have their default value, such as those that vary in a sweep.

    Returns:
        Values by key. The defaults are those of the chosen options: the latent dimension of 64 that ``dataset=digits``
        sets is not returned.
    """
    values, defaults = settings(config), _defaults(config)
    own = values.keys() - recorded_keys(config)
    rest = {key for key in values if key in also or (key in own and defaults.get(key, ...) != values[key])}
    first = [key for key in FIRST if key in values]
    return {key: values[key] for key in (*first, *(key for key in values if key in rest - set(FIRST)))}


def _defaults(config: Train) -> dict[str, Any]:
    """Return the settings of a run with the options of ``config`` and no other overrides; empty if unknown.

    For the choice of schedule and penalties, the default is that of the dataset.
    """
    chosen_options = {group: getattr(config, group) for group in GROUPS}
    options = [f"{group}={option.name}" for group, option in chosen_options.items() if option is not None]
    if "penalty" in config.method.SECTIONS:
        penalties = ",".join(penalty.name for penalty in config.penalty)
        options.append(f"penalty=[{penalties}]" if penalties else "penalty=none")
    try:
        defaults = _composed(*options)
        of_dataset = _composed(f"dataset={config.dataset.name}", f"method={config.method.name}")
    except ConfigError:  # an option without a YAML file
        return {}
    return defaults | {key: of_dataset[key] for key in ("schedule", "penalty") if key in of_dataset}


@functools.cache
def _composed(*words: str) -> dict[str, Any]:
    from ganrun.config.hydra_bridge import compose  # imports Hydra

    return settings(check(compose("train", list(words))))
