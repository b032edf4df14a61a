"""Many configs of one sweep: composed once for every choice of options, and filled in with values from there.

Hydra needs some 60 ms for a config. A sweep's jobs mostly differ in values, and values come after all choices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


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
