"""Checks the type and the range of a single setting."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Mapping
from typing import Any

from ganrun.errors import ConfigError, did_you_mean, exact


def checked(kind: Any, value: Any, path: str, rules: Mapping[str, Any]) -> Any:
    """Return ``value`` converted to ``kind``, after checking ``rules``.

    Args:
        kind: int, float, bool, str, a tuple of one of these, a union of one of these with None, or of int and str for a
            number or the word that ``rules`` allow.
        value: the value given. For an int, any number that is whole is accepted: 10000, 1e4.
        path: the dotted key of the setting, for the message.
        rules: the range or the choices, as stored by :mod:`ganrun.config.registry`.

    Raises:
        ConfigError: the value is of another type, out of range, or not one of the choices.
    """
    if "word" in rules:
        if value == rules["word"]:
            return value
        if isinstance(value, str):
            raise ConfigError(f"{path} must be {rules['word']} or a whole number, not '{value}'.")
    elif isinstance(kind, types.UnionType) and value is None:
        return None
    if isinstance(kind, types.UnionType):
        kind = next(member for member in typing.get_args(kind) if member is not type(None))
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{path} must be a list such as [1, 2], not {value!r}.")
        if len(value) > rules.get("most", len(value)):
            raise ConfigError(f"{path} may have at most {rules['most']} entries, not {len(value)}.")
        member = typing.get_args(kind)[0]
        return tuple(checked(member, entry, f"{path}[{i}]", rules) for i, entry in enumerate(value))
    value = _scalar(kind, value, path)
    if "choices" in rules and value not in rules["choices"]:
        listed = ", ".join(rules["choices"])
        raise ConfigError(f"{path} must be one of {listed}, not '{value}'.{did_you_mean(value, rules['choices'])}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_range(value, path, rules)
    return value


def _scalar(kind: type, value: Any, path: str) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int and is_whole(value):
        return int(value)
    if kind is float and is_number and abs(value) <= sys.float_info.max:  # exact for integers of any size
        return float(value)
    if kind in (bool, str) and isinstance(value, kind):
        return value
    if kind is str and is_number:  # a folder may be called 2024
        if isinstance(value, float):  # 1e4 is parsed as 10000.0, so the original text is lost
            raise ConfigError(f"{path} must be text, not the number {value!r}: put it in quotes, \"{path}='...'\".")
        return str(value)
    expected = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text"}[kind]
    huge = isinstance(value, int) and abs(value) > sys.float_info.max  # Python refuses to print such a number
    shown = "a number of more than 308 digits" if huge else repr(value)
    raise ConfigError(f"{path} must be {expected}, not {shown}.")


def is_whole(value: Any) -> typing.TypeGuard[int | float]:
    """Return whether ``value`` is a whole number, such as 10000, 1e4 or 10.0."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _check_range(value: float, path: str, rules: Mapping[str, Any]) -> None:
    tests = {
        "low": (lambda bound: value >= bound, "at least"),
        "high": (lambda bound: value <= bound, "at most"),
        "above": (lambda bound: value > bound, "greater than"),
        "below": (lambda bound: value < bound, "less than"),
    }
    bounds = [(name, rules[name]) for name in tests if name in rules]
    if not all(tests[name][0](bound) for name, bound in bounds):
        allowed = " and ".join(f"{tests[name][1]} {exact(bound)}" for name, bound in bounds)
        raise ConfigError(f"{path} must be {allowed}, not {exact(value)}.")
