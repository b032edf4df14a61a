"""Composes the configs of a sweep quickly: once per choice of options, with the values of each job filled in.

Hydra needs about 60 ms per config. The jobs of a sweep mostly differ in values, which apply after all choices.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, RangeSweep, ValueType
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganrun.errors import ConfigError

MAX_JOBS = 100_000  # jobs of a sweep: checking each of them takes minutes
# A setting whose value is a number to Hydra and to Python alike; parsing it with Hydra takes most of a job's time.
NUMBER = re.compile(r"((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)=(-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?)", re.ASCII)
LOOKED_UP = re.compile(r"\$\{oc\.env:[^${}]*\}")  # interpolations that do not depend on other settings


def number_of(override: str) -> tuple[str, int | float] | None:
    """Return the key and the value of ``KEY=NUMBER``, as Hydra reads it; None for any other override."""
    match = NUMBER.fullmatch(override)
    if match is None:
        return None
    key, text, point, exponent = match.groups()
    return key, float(text) if point or exponent else int(text)


def parse(overrides: list[str]) -> list[Any]:
    """Return ``overrides`` as parsed by Hydra; raise :class:`ConfigError` if they cannot be parsed."""
    try:
        return OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as error:
        raise ConfigError(unreadable(error)) from error
    except RecursionError as error:
        raise ConfigError("cannot read the settings: they are nested too deeply.") from error
    except ValueError as error:  # a number that is too long
        raise ConfigError(f"cannot read the settings: {str(error).splitlines()[0]}.") from error


def unreadable(error: OverrideParseException) -> str:
    """Return the message for a setting that Hydra cannot parse."""
    return f"cannot read the setting '{error.override}': write KEY=VALUE, and put special characters in quotes."


def jobs(overrides: list[str]) -> Iterator[list[str]]:
    """Yield lists of overrides which together contain every value of every axis of a sweep.

    The first list has the first value of all axes, the others replace one of them. Their number grows with the sum of
    the axes' lengths, not the product, and they suffice to find a value that is invalid by itself.

    Raises:
        ConfigError: a setting cannot be parsed, or there are no jobs, or too many.
    """
    # A glob needs no check: it matches existing options.
    axes = [_axis(override) for override in parse(overrides) if override.value_type != ValueType.GLOB_CHOICE_SWEEP]
    if (count := math.prod(map(len, axes))) > MAX_JOBS:
        raise ConfigError(f"a sweep of {count} jobs; at most {MAX_JOBS} are run at once.")
    first = [axis[0] for axis in axes]
    yield first
    for i, axis in enumerate(axes):
        for value in axis[1:]:
            yield [*first[:i], value, *first[i + 1 :]]


def _axis(override: Any) -> list[str]:
    """Return the values of ``override`` as single overrides: one, or those of a sweep."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    key, value = override.get_key_element(), override.value()
    if override.is_interval_sweep():
        return [f"{key}={end}" for end in (value.start, value.end)]
    if isinstance(value, RangeSweep) and not abs(value.stop - value.start) <= MAX_JOBS * abs(value.step):  # type: ignore[operator]
        raise ConfigError(f"{key} has more values than the {MAX_JOBS} jobs that a sweep may have.")
    try:
        values = [f"{key}={text}" for text in override.sweep_string_iterator()]
    except ValueError as error:
        raise ConfigError(f"{key}: {error}.") from error
    if not values:
        raise ConfigError(f"{key} has no values to sweep over.")
    return values


class Composer:
    """Composes configs like ``compose``, but calls it only once for lists that differ only in values.

    Args:
        compose: returns the config for a list of overrides, with interpolations unresolved.
        groups: the names of the config groups, whose overrides choose options.
    """

    def __init__(self, compose: Callable[[list[str]], DictConfig], groups: list[str]) -> None:
        self._compose, self._groups = compose, set(groups)
        self._bases: dict[tuple[str, ...], DictConfig] = {}
        self._plain: dict[tuple[str, ...], dict[str, Any] | None] = {}
        self._overrides: dict[str, tuple[bool, str, Any]] = {}

    def plain(self, overrides: list[str]) -> dict[str, Any] | None:
        """Return the resolved config of ``overrides`` as plain data, much faster than :meth:`__call__`.

        Configs share the parts in which they do not differ, and must not be modified. None if a value needs more than
        being put in its place: it is no number, text or list of them, or the config has interpolations.
        """
        read = [self._read(text) for text in overrides]
        choices = tuple(text for text, (is_value, *_) in zip(overrides, read, strict=True) if not is_value)
        if choices not in self._plain:
            self._plain[choices] = self._plain_base(choices)
        base = self._plain[choices]
        return None if base is None else _filled(base, [(key, value) for is_value, key, value in read if is_value])

    def _plain_base(self, choices: tuple[str, ...]) -> dict[str, Any] | None:
        parsed = OverridesParser.create().parse_overrides(list(choices))
        if any(self._depends_on_order(override) or self._is_value(override) for override in parsed):
            return None
        if choices not in self._bases:
            self._bases[choices] = self._compose(list(choices))
        base = self._bases[choices]
        if _interpolates(OmegaConf.to_container(base, resolve=False)):
            return None
        plain: Any = OmegaConf.to_container(base, resolve=True)
        return plain

    def _read(self, text: str) -> tuple[bool, str, Any]:
        """Return whether the override ``text`` is a plain value that :func:`_filled` can put in place, with its key."""
        if text not in self._overrides:
            if (number := number_of(text)) is not None:
                key, value = number
                plain = key not in self._groups and key.partition(".")[0] != "hydra"
            else:
                (override,) = OverridesParser.create().parse_overrides([text])
                key, value = override.key_or_group, override.value()
                plain = self._is_value(override) and _is_plain(value)
            self._overrides[text] = plain, key, value
        return self._overrides[text]

    def __call__(self, overrides: list[str]) -> DictConfig:
        parsed = OverridesParser.create().parse_overrides(overrides)
        if any(self._depends_on_order(override) for override in parsed):
            return self._compose(overrides)
        choices = tuple(text for text, override in zip(overrides, parsed, strict=True) if not self._is_value(override))
        if choices not in self._bases:
            self._bases[choices] = self._compose(list(choices))
        values = [override for override in parsed if self._is_value(override)]
        base = self._bases[choices]
        if not all(_has(base, override.key_or_group) for override in values):
            return self._compose(overrides)  # which raises the error
        config = base.copy()
        try:
            for override in values:
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException:
            return self._compose(overrides)
        return config

    def _depends_on_order(self, override: Override) -> bool:
        """Return whether ``override`` is not a choice, but is applied in order with the values."""
        filled = override.key_or_group in self._groups and isinstance(override.value(), dict)
        return override.type != OverrideType.CHANGE or filled

    def _is_value(self, override: Override) -> bool:
        key = override.key_or_group
        changes = override.type == OverrideType.CHANGE and not override.is_sweep_override()
        plain = changes and override.package is None and "/" not in key
        return plain and key not in self._groups and key.partition(".")[0] != "hydra"


def _has(config: DictConfig, key: str) -> bool:
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, DictConfig) or part not in node:
            return False
        node = node._get_node(part)
    return True


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(not isinstance(entry, list) and _is_plain(entry) for entry in value)
    if isinstance(value, str):
        return "$" not in value and "\\" not in value and value != "???"
    return value is None or isinstance(value, bool | int | float)


def _interpolates(node: Any) -> bool:
    """Return whether a value in ``node``, unresolved plain data, may depend on another setting."""
    if isinstance(node, Mapping):
        return any(map(_interpolates, node.values()))
    if isinstance(node, list):
        return any(map(_interpolates, node))
    return isinstance(node, str) and "${" in LOOKED_UP.sub("", node)


def _filled(base: dict[str, Any], values: list[tuple[str, Any]]) -> dict[str, Any] | None:
    """Return ``base`` with ``values`` by dotted key, sharing all other parts; None if a key does not have a value."""
    node = dict(base)
    for key, value in values:
        *groups, last = key.split(".")
        target = node
        for group in groups:
            if not isinstance(target.get(group), dict):
                return None
            target[group] = target = dict(target[group])
        if last not in target or isinstance(target[last], dict):
            return None
        target[last] = value
    return node
