"""Short names for settings, values and runs, the same in tables, legends and directory names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

DIGITS = 10  # significant digits shown of a float, so that 0.1 + 0.2 is 0.3
LONGEST = 100  # maximum characters of a directory name; file systems allow 255 bytes
LONGEST_VALUE = 32  # maximum characters of one value in it


def short_value(value: Any, digits: int = DIGITS) -> str:
    """Return a short text for ``value``.

    Args:
        value: a setting: None, a bool, a number, a text, or a list or dict of these.
        digits: significant digits of a float.

    Returns:
        For instance ``0.3`` for 0.30000000000000004, ``null`` for None, ``[8,8]`` for a list.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{short_value(entry, digits)}" for key, entry in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(short_value(entry, digits) for entry in value) + "]"
    return str(value)


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Return for each dotted key its shortest suffix that is unique; ``loss.name`` counts as ``loss``.

    A key whose short name equals another key or its short name is not shortened, so all names differ.
    """
    plain = {key: key.removesuffix(".name").split(".") for key in keys}
    names = {}
    for key, parts in plain.items():
        ends = [parts[i:] for i in reversed(range(len(parts)))]
        others = [other for other_key, other in plain.items() if other_key != key]
        free = (end for end in ends if not any(other[-len(end) :] == end for other in others))
        name = ".".join(next(free, parts))
        names[key] = key if name != key and (name in plain or name in names.values()) else name
    return names


def run_name(*words: Any) -> str:
    """Return the name of a run: its ``words`` joined by hyphens.

    The first word, the name of an experiment, is left out if it is one of the others, and so are words that are None or
    empty: ``run_name(None, "ring", "mlp", "hinge")`` is ``ring-mlp-hinge``.
    """
    preset, *rest = [_plain(str(word)) for word in (word if word is not None else "" for word in words)]
    return "-".join(word for word in ([] if preset in rest else [preset]) + rest if word)[:LONGEST]


def member_name(number: int, settings: Mapping[str, Any], digits: int = DIGITS) -> str:
    """Return the directory name of run ``number`` of a sweep.

    Args:
        number: the run's index in the sweep, from 0. It comes first, so names differ even on file systems that ignore
            case.
        settings: the settings that vary in the sweep, by the key to show.
        digits: significant digits of a float.

    Returns:
        For instance ``3-seed=1,learning_rate=0.001``: at most :data:`LONGEST` characters, each a letter, a digit or one
        of ``_.+=,-``. Settings that do not fit are counted: ``3-seed=1,2-more``.
    """
    parts = [f"{_plain(key)}={_plain_value(value, digits)}" for key, value in settings.items()]
    for kept in range(len(parts), -1, -1):
        more = [f"{len(parts) - kept}-more"] if kept < len(parts) else []
        name = "-".join([str(number), *filter(None, [",".join([*parts[:kept], *more])])])
        if len(name) <= LONGEST:
            return name.rstrip(".")  # some file systems do not allow a name to end with a dot
    raise ValueError(f"{number} is not the number of a run")


def varying(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values differ between ``jobs``, in order of first appearance."""
    keys = dict.fromkeys(key for job in jobs for key in job)
    return [key for key in keys if len({repr(job.get(key, ...)) for job in jobs}) > 1]


def _plain_value(value: Any, digits: int) -> str:
    if isinstance(value, Mapping):
        text = "+".join(f"{_plain(str(key))}-{_plain_value(entry, digits)}" for key, entry in value.items())
    elif isinstance(value, (list, tuple)):
        text = "+".join(_plain_value(entry, digits) for entry in value)
    else:
        text = _plain(short_value(value, digits))
    half = (LONGEST_VALUE - 2) // 2
    return text if len(text) <= LONGEST_VALUE else f"{text[:half]}..{text[-half:]}"


def _plain(text: str) -> str:
    """Return ``text`` with characters that are special to a file system, a shell or Hydra replaced by underscores."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", text)


def in_order(path_parts: Iterable[str]) -> list[tuple[int, str]]:
    """Return a key that sorts paths by the leading numbers of their parts: ``2-seed=1`` before ``10-seed=0``."""
    numbers = [(re.match(r"[0-9]+", part), part) for part in path_parts]
    return [(int(number[0]) if number else -1, part) for number, part in numbers]
