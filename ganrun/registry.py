"""Options by name: ``dataset=ring`` finds the class that was registered as ``ring``.

An option is a frozen dataclass whose fields are its parameters. The fields are the schema too: their types
and the ranges given with :func:`number` and :func:`choice` are what a configuration is checked against
(:mod:`ganrun.config`). Nothing is ever imported or called because a file names it.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ganrun.errors import ConfigError, did_you_mean

Option = TypeVar("Option", bound=type)

# Where the options of each group live: importing the package registers them.
ROOMS = {
    "dataset": "ganrun.datasets",
    "architecture": "ganrun.architectures",
    "loss": "ganrun.game.losses",
    "penalty": "ganrun.game.penalties",
    "schedule": "ganrun.game.schedules",
    "optimizer": "ganrun.game.optimizers",
    "probe": "ganrun.divergence.probe",
}
_options: dict[str, dict[str, type]] = {group: {} for group in ROOMS}


def register(group: str, name: str) -> Callable[[Option], Option]:
    """Return a class decorator that makes ``name`` an option of ``group``."""

    def keep(option: Option) -> Option:
        if name in _options[group]:
            raise ValueError(f"{group} '{name}' is registered twice")
        _options[group][name] = option
        return option

    return keep


def options(group: str) -> dict[str, type]:
    """Return the options of ``group`` by name, importing the room that holds them."""
    importlib.import_module(ROOMS[group])
    return dict(_options[group])


def lookup(group: str, name: str) -> type:
    """Return the option called ``name``; raise :class:`ConfigError` naming the closest one otherwise."""
    known = options(group)
    if name not in known:
        listed = ", ".join(sorted(known))
        raise ConfigError(f"{group} has no option '{name}' (it has {listed}).{did_you_mean(name, known)}")
    return known[name]


def misplaced(group: str, name: str, key: str) -> str:
    """Return the line for ``key``, a setting of other options of ``group`` than ``name``; empty where none has it.

    Args:
        group: the group, such as ``loss``.
        name: the option that is chosen, such as ``hinge``.
        key: the whole dotted key, such as ``loss.label_smoothing``.
    """
    last = key.rpartition(".")[2]
    homes = [home for home, option in sorted(options(group).items()) if last in option.__dataclass_fields__]
    if not homes or last == "name" or name in homes:
        return ""
    listed = " and ".join(", ".join(f"{group}={home}" for home in homes).rsplit(", ", 1))
    return f"'{key}' is not a setting of {group}={name}; {listed} {'have' if len(homes) > 1 else 'has'} it."


def number(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    most: int = 1000,
    traced: bool = False,
) -> Any:
    """A numeric field with its range: ``low``/``high`` inclusive, ``above``/``below`` not; or a list of them."""
    bounds = {"low": low, "high": high, "above": above, "below": below}
    metadata: dict[str, Any] = {key: value for key, value in bounds.items() if value is not None}
    return _field(default, metadata | {"most": most, "traced": traced})


def choice(default: str | None, allowed: Sequence[str]) -> Any:
    """A text field that takes one of ``allowed``, or null where that is the default."""
    return _field(default, {"choices": tuple(allowed)})


def _field(default: Any, metadata: dict[str, Any]) -> Any:
    if isinstance(default, (list, tuple)):
        return dataclasses.field(default_factory=lambda: tuple(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def traced(option: Any) -> dict[str, Any]:
    """Return the numbers of ``option`` that enter the compiled program as values, not as constants.

    Every float is traced, and every integer or list declared with ``number(..., traced=True)``, of a list all but its
    length. Text, flags, sizes and other lists shape the program and are static.
    """
    return {
        field.name: getattr(option, field.name)
        for field in dataclasses.fields(option)
        if isinstance(field.default, float) or field.metadata.get("traced")
    }


def static(option: Any) -> Any:
    """Return ``option`` with its traced numbers at their defaults: equal for all runs that share a program."""
    defaults: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(option)}
    values = traced(option)
    lists = {name: tuple(range(len(value))) for name, value in values.items() if isinstance(value, tuple)}
    return dataclasses.replace(option, **{name: lists.get(name, defaults[name]) for name in values})
