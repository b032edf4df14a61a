"""Parts of the pages of the reference: tables of settings, and values and texts as Markdown shows them."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ganrun.errors import exact

BOUNDS = {"low": "at least", "above": "greater than", "high": "at most", "below": "less than"}


def setting_rows(
    schema: type, node: Mapping[str, Any], known: Mapping[str, str], home: str = "", **more: Any
) -> Iterator[tuple[str, str, str, str]]:
    """Yield key, default, allowed values and meaning of each field of ``schema``.

    Args:
        schema: a dataclass of settings.
        node: their defaults, by name; those of the schema where there are none.
        known: meanings by dotted key.
        home: what precedes the name in ``known``.
        more: ``skip``, names that are left out, and ``shown``, what precedes the name in the row (default: ``home``).
    """
    kinds = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        if field.name in more.get("skip", ()):
            continue
        made = field.default_factory
        default = field.default if made is dataclasses.MISSING else made()
        value, values = node.get(field.name, default), allowed(kinds[field.name], field.metadata)
        yield (
            f"`{more.get('shown', home)}{field.name}`",
            as_code(value),
            values if value is not None or values.endswith("`null`") else f"{values}, or `null`",
            escaped(known.get(f"{home}{field.name}", "")),
        )


def allowed(kind: Any, rules: Mapping[str, Any]) -> str:
    """Return the values that a field of type ``kind`` may have, in words.

    Args:
        kind: a type hint, as ``ganrun.config.values.checked`` takes it.
        rules: the range or the choices, as stored by ``ganrun.config.registry``.
    """
    if "word" in rules:
        return f"`{rules['word']}`, or {allowed(int, {key: rules[key] for key in rules if key != 'word'})}"
    if isinstance(kind, types.UnionType):
        member = next(member for member in typing.get_args(kind) if member is not type(None))
        return f"{allowed(member, rules)}, or `null`"
    if typing.get_origin(kind) is tuple:
        most = f", at most {rules['most']}" if rules.get("most", 1000) < 1000 else ""
        return f"list of {_plural(allowed(typing.get_args(kind)[0], rules))}{most}"
    if "choices" in rules:
        return ", ".join(f"`{word}`" for word in rules["choices"])
    if kind is bool:
        return "`true`, `false`"
    name = {int: "whole number", float: "number", str: "text"}.get(kind, "")
    if {"low", "high"} <= rules.keys():
        return f"{name}, {in_words(rules['low'])} to {in_words(rules['high'])}"
    bounds = [f"{text} {in_words(rules[bound])}" for bound, text in BOUNDS.items() if bound in rules]
    return ", ".join([name, *bounds])


def _plural(text: str) -> str:
    return re.sub(r"^(whole number|number|text)", r"\1s", text)


def in_words(bound: float) -> str:
    """Return a bound in words: log 2, the largest Jensen-Shannon divergence; 1 000 000."""
    if isinstance(bound, int):
        return f"{bound:,}".replace(",", "\N{NO-BREAK SPACE}")
    return "∞" if bound == math.inf else "log 2" if math.isclose(bound, math.log(2)) else exact(bound)


def setting_table(rows: Iterable[tuple[str, ...]]) -> str:
    head = ["| key | default | values | meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def text_block(text: str) -> str:
    return f"```text\n{text.strip()}\n```"


def sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def as_code(value: Any) -> str:
    return f"`{as_typed(value)}`"


def as_typed(value: Any) -> str:
    """Return ``value`` as it is typed on the command line."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(as_typed, value))}]"
    if isinstance(value, float):
        return exact(value) if not value.is_integer() else str(value)
    if isinstance(value, str):
        return re.sub(r"^\$\{oc\.env:(\w+),null\}$", r"$\1", value) or "''"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def escaped(text: str) -> str:
    """Return ``text`` such that Markdown shows it as it is, in a table too; code in backquotes remains code."""
    parts = re.split(r"(`[^`]*`)", text)
    plain = [re.sub(r"([*\[\]])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    parts[::2] = plain
    return "".join(parts).replace("|", "\\|")


def joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
