"""The settings that ``--help`` shows, each with its meaning: the comment beside it in the YAML files of ``conf/``."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ganrun.config import user_plugins
from ganrun.config.folders import config_folder
from ganrun.config.schema import GROUPS, NAMED

SETTING = re.compile(r"^( *)'?([A-Za-z_]\w*)'?:(?: (.*))?$")
WIDEST = 30  # columns of a setting and its value, beyond which its meaning is not aligned with the others


@contextlib.contextmanager
def explained(config_name: str) -> Iterator[None]:
    """Return a context that adds their meanings to the settings of ``config_name`` that Hydra's help prints."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:  # Hydra exits once it has printed its help
        print(with_meanings(printed.getvalue(), config_name), end="")


def with_meanings(text: str, config_name: str) -> str:
    """Return the help ``text`` of ``config_name`` with the meaning of each setting, where its YAML file has one."""
    lines = list(_with_keys(text.splitlines()))
    known = _meanings(lines, config_name)
    widths = [len(line) for line, key in lines if key in known]
    column = max((width for width in widths if width <= WIDEST), default=0)
    shown = [f"{_unquoted(line):{column}}  # {known[key]}" if key in known else line for line, key in lines]
    return "".join(f"{line}\n" for line in shown)


def _unquoted(line: str) -> str:
    """Return ``line`` without quotes around its key: YAML writes them for n, which could mean false."""
    return re.sub(r"^( *)'(\w+)':", r"\1\2:", line)


def _meanings(lines: Iterable[tuple[str, str]], config_name: str) -> dict[str, str]:
    """Return the comments in the file of ``config_name`` and in those of the options chosen in ``lines``, by key."""
    chosen = [("", config_name)]
    for line, key in lines:
        group, _, last = key.partition(".")
        if (group in GROUPS and last == "name") or key == "optimizer.generator.name":
            chosen.append((group, line.partition(":")[2].strip()))
        elif group in NAMED and last and "." not in last:
            chosen.append((group, last))
    folders = [config_folder(), *user_plugins.config_folders().values()]
    found: dict[str, str] = {}
    for group, name in chosen:
        for path in (folder / group / f"{name}.yaml" for folder in folders):
            if path.is_file():
                found |= comments(path, group)
    return found


def comments(path: Path, group: str) -> dict[str, str]:
    """Return the comment of each key in the YAML file ``path`` of an option of ``group``, by its key in the config."""
    text = path.read_text(encoding="utf-8")
    package = re.match(r"# @package (\S+)", text)
    home = (package[1] if package else group).replace("_global_", "")
    pairs = (line.partition(" # ") for line in text.splitlines())
    settings = [(setting.rstrip(), comment.strip()) for setting, _, comment in pairs]
    keys = _with_keys(setting for setting, _ in settings)
    return {
        ".".join(filter(None, (home, key))): comment
        for (_, comment), (_, key) in zip(settings, keys, strict=True)
        if key and comment
    }


def _with_keys(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each of ``lines`` of YAML with its dotted key; an empty one if it sets none."""
    above: list[tuple[int, str]] = []
    for line in lines:
        setting = SETTING.match(line)
        if setting is None:
            yield line, ""
            continue
        indent = len(setting[1])
        above = [(column, key) for column, key in above if column < indent] + [(indent, setting[2])]
        yield line, ".".join(key for _, key in above)
