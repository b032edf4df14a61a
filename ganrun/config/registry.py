"""The registry of options: ``dataset=ring`` refers to the class registered as ``ring``.

An option is a frozen dataclass whose fields are its parameters. The fields are also the schema: a configuration is
checked against their types and the ranges given with :func:`number` and :func:`choice` (:mod:`ganrun.config.schema`).
Nothing is ever imported or called because a file names it; options of the user's own come from a package that the user
installed or typed (:mod:`ganrun.config.user_plugins`).
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ganrun.config import user_plugins
from ganrun.errors import ConfigError, instead

Option = TypeVar("Option", bound=type)

# The package of each group: importing it registers the group's options.
GROUP_MODULES = {
    "dataset": "ganrun.datasets",
    "architecture": "ganrun.architectures",
    "method": "ganrun.methods.options",
    "loss": "ganrun.methods.gan.losses",
    "penalty": "ganrun.methods.gan.penalties",
    "schedule": "ganrun.methods.gan.schedules",
    "optimizer": "ganrun.optimizers",
    "probe": "ganrun.evaluation.divergence.probe",
    "metric": "ganrun.evaluation.metrics.options",
}
_options: dict[str, dict[str, type]] = {group: {} for group in GROUP_MODULES}


def register(group: str, name: str) -> Callable[[Option], Option]:
    """Return a class decorator that registers a class as the option ``name`` of ``group``.

    Raises:
        ConfigError: the option belongs to another plugin, or to ganrun and the class does not.
    """
    if group not in GROUP_MODULES:
        raise KeyError(f"there is no group {group}; there are {', '.join(GROUP_MODULES)}")

    def keep(option: Option) -> Option:
        plugin = user_plugins.owner(option.__module__)
        if plugin is not None:
            importlib.import_module(GROUP_MODULES[group])  # ganrun's own options are registered first
            if not hasattr(option, "__dataclass_fields__") or getattr(option, "name", None) != name:
                raise TypeError(f"{option.__name__} must be a dataclass with the field name: str = '{name}'")
        if name in _options[group]:
            before = user_plugins.owner(_options[group][name].__module__)
            if plugin is not None and plugin != before:
                raise user_plugins.taken(f"{group}={name}", plugin, before or "ganrun")
            raise ValueError(f"{group} '{name}' is registered twice")
        _options[group][name] = option
        return option

    return keep


def options(group: str) -> dict[str, type]:
    """Import the package of ``group``, and the plugins, and return its options by name."""
    importlib.import_module(GROUP_MODULES[group])
    user_plugins.load()
    return dict(_options[group])


def lookup(group: str, name: str) -> type:
    """Return the option ``name`` of ``group``; raise :class:`ConfigError` with the closest match if there is none."""
    known = options(group)
    if name not in known:
        _refuse_without_class(group, name)
        names = instead(name, sorted(known), "It has", f"ganrun list {group}")
        raise ConfigError(f"{group} has no option '{name}'.{names}")
    return known[name]


def _refuse_without_class(group: str, name: str) -> None:
    """Raise :class:`ConfigError` if a plugin has a YAML file for the option ``name``, which nothing registers."""
    for package, folder in user_plugins.config_folders().items():
        if any(path.stem == name for path in (folder / group).glob("*.yaml")):
            raise ConfigError(
                f"the plugin '{package}' has conf/{group}/{name}.yaml, but importing it registers no {group} '{name}': "
                f'decorate its class with @register("{group}", "{name}").'
            )


def without_yaml(group: str, name: str) -> str:
    """Return the message for the registered option ``name`` of ``group``, which no YAML file makes a choice."""
    option = _options[group][name]
    package = user_plugins.owner(option.__module__)
    file = f"conf/{group}/{name}.yaml"
    if package is None:
        return f"{group}={name} is registered ({option.__name__}), but has no YAML file: add {file}."
    folder = package.replace(".", "/")
    return (
        f"the plugin '{package}' registers {group}={name} ({option.__name__}), but has no YAML file for it: "
        f"add {folder}/{file}."
    )


def require_options() -> None:
    """Refuse a package that the command line names as a plugin, if it neither registers options nor has a ``conf/``.

    Raises:
        ConfigError: a package is no plugin, or cannot be imported.
    """
    for package in user_plugins.chosen():
        if not user_plugins.has_configs(package) and not registered_by(package):
            raise ConfigError(
                f"plugins: the package '{package}' is no plugin: it registers no option and has no folder conf/."
            )


def registered_by(package: str) -> list[str]:
    """Return the options that the modules of ``package`` register: ``["loss=its_loss"]``."""
    return [
        f"{group}={name}"
        for group in GROUP_MODULES
        for name, option in sorted(options(group).items())
        if f"{option.__module__}.".startswith(f"{package}.")
    ]


def misplaced(group: str, name: str, key: str) -> str:
    """Return the message for ``key`` if only options of ``group`` other than ``name`` have it; empty otherwise.

    The attribute ``ELSEWHERE`` of an option says what stands for a key that it might be expected to have.

    Args:
        group: the group, such as ``loss``.
        name: the chosen option, such as ``hinge``.
        key: the whole dotted key, such as ``loss.label_smoothing``.
    """
    last = key.rpartition(".")[2]
    elsewhere = getattr(options(group).get(name), "ELSEWHERE", {}).get(last)
    if elsewhere:
        return f"'{key}' is not a setting of {group}={name}: {elsewhere}."
    owners = [owner for owner, option in sorted(options(group).items()) if last in option.__dataclass_fields__]
    if not owners or last == "name" or name in owners:
        return ""
    listed = " and ".join(", ".join(f"{group}={owner}" for owner in owners).rsplit(", ", 1))
    return f"'{key}' is not a setting of {group}={name}; {listed} {'have' if len(owners) > 1 else 'has'} it."


def number(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    most: int = 1000,
    traced: bool = False,
    word: str | None = None,
) -> Any:
    """Return a dataclass field for a number, or a list of numbers.

    Args:
        default: the default value.
        low: inclusive lower bound.
        high: inclusive upper bound.
        above: exclusive lower bound.
        below: exclusive upper bound.
        most: maximum length of a list.
        traced: whether an integer or a list is traced, see :func:`traced`.
        word: a text that is allowed instead of a number.
    """
    bounds = {"low": low, "high": high, "above": above, "below": below}
    metadata: dict[str, Any] = {key: value for key, value in bounds.items() if value is not None}
    metadata |= {} if word is None else {"word": word}
    return _field(default, metadata | {"most": most, "traced": traced})


def choice(default: str | tuple[str, ...] | None, allowed: Sequence[str]) -> Any:
    """Return a dataclass field for a text, or a tuple of texts, of ``allowed``, or null if that is the default."""
    return _field(default, {"choices": tuple(allowed)})


def recorded(default: Any, *, low: float | None = None, high: float | None = None, most: int = 1000) -> Any:
    """Return a dataclass field that a user does not choose: ``resolve`` of the option reads it from files.

    It is part of the run's config, but not of the settings that tables show; the arguments are those of :func:`number`.
    """
    bounds = {key: value for key, value in {"low": low, "high": high}.items() if value is not None}
    return _field(default, bounds | {"most": most, "recorded": True})


def _field(default: Any, metadata: dict[str, Any]) -> Any:
    if isinstance(default, (list, tuple)):
        return dataclasses.field(default_factory=lambda: tuple(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def traced(option: Any) -> dict[str, Any]:
    """Return the parameters of ``option`` that are traced: inputs of the compiled program rather than constants.

    These are all floats, and the integers and lists declared with ``number(..., traced=True)``; the length of a list is
    static. Texts, flags, sizes and other lists are static too.
    """
    return {
        field.name: getattr(option, field.name)
        for field in dataclasses.fields(option)
        if isinstance(field.default, float) or field.metadata.get("traced")
    }


def static(option: Any) -> Any:
    """Return ``option`` with its traced parameters at their defaults: equal for all runs that can share a program."""
    defaults: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(option)}
    values = traced(option)
    lists = {name: tuple(range(len(value))) for name, value in values.items() if isinstance(value, tuple)}
    return dataclasses.replace(option, **{name: lists.get(name, defaults[name]) for name in values})
