"""Files that anyone may have written, read as plain data: no pipes, bounded sizes, nothing that names code or files.

What is refused is a ``ValueError`` with the reason in a few words, or an ``OSError`` for what is no file.
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

LONGEST = 4096  # characters of one text or number: the longest path that Linux takes
LONGEST_NUMBER = 400  # digits and signs: more than the longest float that can be written out
DEEPEST = 16  # groups within groups


def open_file(path: Path) -> io.BufferedReader:
    """Open the regular file ``path`` for reading; a pipe, a device or a folder is refused and never waited for."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of the file ``path``, of at most ``most`` bytes."""
    with open_file(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most} bytes")
    return content


def read_json(path: Path, most: int) -> Any:
    """Return what the JSON file ``path``, of at most ``most`` bytes, says."""
    return parsed(read_bytes(path, most))


def parsed(content: bytes, *, finite: bool = False) -> Any:
    """Return what the JSON ``content`` says; ``finite``: NaN and Infinity, which JSON does not have, are refused."""
    options: dict[str, Any] = {"parse_constant": _refuse_constant, "parse_float": _finite} if finite else {}
    try:
        return json.loads(content.decode("utf-8"), **options)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:20]} is too large a number")
    return number


def read_yaml(path: Path, most: int) -> Any:
    """Return what the YAML file ``path``, of at most ``most`` bytes, says: groups, lists, text, numbers, true and null.

    Beyond what a safe loader refuses (objects) there may be no tag, no anchor or alias (a few lines of which can stand
    for gigabytes), no key twice, no interpolation (which could read the environment) and no control character.
    """
    text = read_bytes(path, most).decode("utf-8")
    try:
        return yaml.load(text, PlainLoader)
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{where}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from error


class PlainLoader(yaml.SafeLoader):
    """Reads what :func:`read_yaml` says."""

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
                raise _refused("a key that is no word", key)
            if key.value in seen:
                raise _refused(f"the key {key.value} for the second time", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


# Words that the safe loader takes for dates, for a merge of groups or for YAML's own default are only words here.
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
    """Return whether ``text`` can be printed without breaking the line or speaking to the terminal."""
    return not any(unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") for character in text)


def _refused(what: str, node: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=f"there is {what}", problem_mark=node.start_mark)
