"""Many configs of one sweep: composed once for every choice of options, and filled in with values from there.

Hydra needs some 60 ms for a config. A sweep's jobs mostly differ in values, and values come after all choices.
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

MOST_JOBS = 100_000  # of a sweep: to look at each of them takes minutes


def parse(overrides: list[str]) -> list[Any]:
    """Return ``overrides`` as Hydra understands them; raise :class:`ConfigError` where it does not."""
    try:
        return OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as error:
        raise ConfigError(unreadable(error)) from error
    except RecursionError as error:
        raise ConfigError("cannot read the settings: they are nested too deeply.") from error
    except ValueError as error:  # a number that is too long
        raise ConfigError(f"cannot read the settings: {str(error).splitlines()[0]}.") from error


def unreadable(error: OverrideParseException) -> str:
    """Return the line for a setting that Hydra cannot read."""
    return f"cannot read the setting '{error.override}': write KEY=VALUE, and put special characters in quotes."


def jobs(overrides: list[str]) -> Iterator[list[str]]:
    """Yield, for a sweep, override lists that between them contain every value of every axis.

    The first value of all axes, then each further value alone: their number is the sum of the axes' lengths and not
    the product, which is enough to find a value that is wrong by itself.

    Raises:
        ConfigError: a setting cannot be read, or there are no jobs, or too many.
    """
    # The files that a glob finds are options by their existence.
    axes = [_axis(one) for one in parse(overrides) if one.value_type != ValueType.GLOB_CHOICE_SWEEP]
    if (count := math.prod(map(len, axes))) > MOST_JOBS:
        raise ConfigError(f"a sweep of {count} jobs; at most {MOST_JOBS} are run at once.")
    first = [axis[0] for axis in axes]
    yield first
    for i, axis in enumerate(axes):
        for value in axis[1:]:
            yield [*first[:i], value, *first[i + 1 :]]


def _axis(override: Any) -> list[str]:
    """Return the overrides that ``override`` stands for: one, or those of a sweep."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    key, value = override.get_key_element(), override.value()
    if override.is_interval_sweep():
        return [f"{key}={end}" for end in (value.start, value.end)]
    if isinstance(value, RangeSweep) and not abs(value.stop - value.start) <= MOST_JOBS * abs(value.step):  # type: ignore[operator]
        raise ConfigError(f"{key} has more values than the {MOST_JOBS} jobs that a sweep may have.")
    try:
        values = [f"{key}={one}" for one in override.sweep_string_iterator()]
    except ValueError as error:
        raise ConfigError(f"{key}: {error}.") from error
    if not values:
        raise ConfigError(f"{key} has no values to sweep over.")
    return values


class Composer:
    """Returns what ``compose`` would for a list of overrides, and asks it only for what is no value.

    ``compose`` returns the config with interpolations unresolved; ``groups`` are the names that choose options.
    """

    def __init__(self, compose: Callable[[list[str]], DictConfig], groups: list[str]) -> None:
        self._compose, self._groups = compose, set(groups)
        self._bases: dict[tuple[str, ...], DictConfig] = {}

    def __call__(self, overrides: list[str]) -> DictConfig:
        parsed = OverridesParser.create().parse_overrides(overrides)
        if any(self._has_a_place(one) for one in parsed):
            return self._compose(overrides)
        choices = tuple(text for text, one in zip(overrides, parsed, strict=True) if not self._is_value(one))
        if choices not in self._bases:
            self._bases[choices] = self._compose(list(choices))
        values = [one for one in parsed if self._is_value(one)]
        base = self._bases[choices]
        if not all(_has(base, one.key_or_group) for one in values):
            return self._compose(overrides)  # which says what is wrong
        config = base.copy()
        try:
            for one in values:
                OmegaConf.update(config, one.key_or_group, one.value(), merge=True)
        except OmegaConfBaseException:
            return self._compose(overrides)
        return config

    def _has_a_place(self, one: Override) -> bool:
        """Whether ``one`` is applied among the values, so that it matters which of them come before it."""
        filled = one.key_or_group in self._groups and isinstance(one.value(), dict)
        return one.type != OverrideType.CHANGE or filled

    def _is_value(self, one: Override) -> bool:
        key = one.key_or_group
        plain = (
            one.type == OverrideType.CHANGE and not one.is_sweep_override() and one.package is None and "/" not in key
        )
        return plain and key not in self._groups and key.partition(".")[0] != "hydra"


def _has(config: DictConfig, key: str) -> bool:
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, DictConfig) or part not in node:
            return False
        node = node._get_node(part)
    return True
