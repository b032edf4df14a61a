"""Reads untrusted files as plain data: regular files only, of bounded size, without references to code or other files.

Refused content raises a ``ValueError`` with a short reason; a path that is not a regular file raises an ``OSError``.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import stat
import unicodedata
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer

LONGEST = 4096  # characters of a text: the longest path that Linux accepts
LONGEST_NUMBER = 400  # characters of a number: more than the longest float written out
DEEPEST = 16  # maximum nesting depth


def open_file(path: Path) -> io.BufferedReader:
    """Open the regular file ``path`` for reading; a pipe, device or folder is refused without blocking."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of the file ``path``, which may have at most ``limit`` bytes."""
    with open_file(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it is larger than {limit} bytes")
    return content


def read_json(path: Path, limit: int) -> Any:
    """Return the parsed JSON file ``path``, which may have at most ``limit`` bytes."""
    return parsed(read_bytes(path, limit))


def parsed(content: bytes, *, finite: bool = False) -> Any:
    """Return the parsed JSON ``content``; with ``finite``, NaN and Infinity, which JSON does not have, are refused."""
    options: dict[str, Any] = {"parse_constant": _refuse_constant, "parse_float": _finite} if finite else {}
    try:
        return json.loads(content.decode("utf-8"), **options)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:20]} is too large a number")
    return number


def read_yaml(path: Path, limit: int) -> Any:
    """Return the parsed YAML file ``path``, of at most ``limit`` bytes: mappings, lists, text, numbers, bools and null.

    A safe loader refuses objects. This one also refuses tags, anchors and aliases (a few lines of which can expand to
    gigabytes), duplicate keys, interpolations (which could read the environment) and control characters.
    """
    text = read_bytes(path, limit).decode("utf-8")
    try:
        return yaml.load(text, PlainLoader)
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{where}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from error


Loader: Any = yaml.SafeLoader
if yaml.__with_libyaml__:

    class FastLoader(Composer, yaml.CSafeLoader):
        """A safe loader that parses in C, ten times as fast, and composes in Python."""

        def __init__(self, stream: Any) -> None:
            Composer.__init__(self)
            yaml.CSafeLoader.__init__(self, stream)

    Loader = FastLoader


class PlainLoader(Loader):
    """The YAML loader of :func:`read_yaml`."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _refused(f"an anchor or alias ({event.anchor}), which plain settings do not need", event)
        if event.tag is not None:
            raise _refused(f"a tag ({event.tag}), which plain settings do not need", event)
        if self._depth == DEEPEST:
            raise _refused("nested too deeply", event)
        self._depth += 1
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.ScalarNode):
            _require_plain(node)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refused("a key that is not a word", key)
            if key.value in seen:
                raise _refused(f"the key {key.value} for the second time", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


# Dates, merge keys (<<) and default values (=) of the safe loader are plain text here.
PLAIN = ("bool", "float", "int", "null")
PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in PLAIN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _require_plain(node: yaml.ScalarNode) -> None:
    is_text = node.tag.endswith(":str")
    if len(node.value) > (LONGEST if is_text else LONGEST_NUMBER):
        raise _refused(f"{len(node.value)} characters in one {'text' if is_text else 'number'}", node)
    if "${" in node.value:
        raise _refused("an interpolation (${), which plain settings do not need", node)
    if not is_one_line(node.value):
        raise _refused("a control character in a text", node)


def is_one_line(text: str) -> bool:
    """Return whether ``text`` can be printed without breaking the line or controlling the terminal."""
    return text.isprintable() or not any(
        unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") for character in text
    )


def _refused(what: str, node: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=f"there is {what}", problem_mark=node.start_mark)
