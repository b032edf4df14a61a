"""Composes the configs of a sweep quickly: once per choice of options, with the values of each job filled in.

Hydra needs about 60 ms per config. The jobs of a sweep mostly differ in values, which apply after all choices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, RangeSweep, ValueType
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganrun.errors import ConfigError

MAX_JOBS = 100_000  # jobs of a sweep: checking each of them takes minutes


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
