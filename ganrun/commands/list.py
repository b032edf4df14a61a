"""``ganrun list``: lists the options of every group; for groups that are named, with formula and paper."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path

from ganrun.config.registry import GROUP_MODULES, options
from ganrun.errors import ConfigError, did_you_mean

HELP = """ganrun list: the options of each group, with their meaning.

usage: ganrun list [GROUP ...]

`ganrun list losses` also shows the formula and the paper of each loss, where it has them.
"""
FIELDS = ("Formula", "Paper")
NARROWEST = 24  # minimum columns of text, however narrow the terminal is


def main(words: list[str]) -> int:
    """Print the groups that ``words`` name (default: all, in brief) and return the exit code."""
    from ganrun.writers.console import Terminal

    if words[:1] in (["--help"], ["-h"]):
        print(HELP, end="")
        return 0
    known = _groups()
    chosen = [_find(word, known) for word in words]
    # Lines are wrapped here, not by rich: in a pipe they are the same as on a terminal of 80 columns.
    terminal = Terminal(markup=False, emoji=False, highlight=False, soft_wrap=True)
    for group in chosen or known:
        terminal.print(group, style="bold")
        # Docstrings require importing the group's package, most of which import JAX: only for groups that are named.
        text = (
            _in_full(group, known[group], terminal.width) if words else _in_brief(group, known[group], terminal.width)
        )
        terminal.print(text.encode(terminal.encoding, "backslashreplace").decode(terminal.encoding))
    return 0


def meaning(path: Path) -> str:
    """Return the first comment of a YAML file that is not a Hydra directive."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and not line.startswith("# @"):
            return line.lstrip("# ")
    return ""


def fields(docstring: str) -> dict[str, str]:
    """Return the text of the fields ``Formula: `` and ``Paper: `` of a docstring, each as one line.

    A field extends to the next field or to a blank line.
    """
    ends = "|".join(rf"{name}: " for name in FIELDS)
    pattern = rf"^({'|'.join(FIELDS)}): (.*?)(?=\n(?:{ends})|\n\s*\n|\Z)"
    matches = re.findall(pattern, inspect.cleandoc(docstring), re.DOTALL | re.MULTILINE)
    return {name: _one_line(text) for name, text in matches}


def _groups() -> dict[str, list[Path]]:
    """Return the YAML files of each group, one per option."""
    from ganrun.config.hydra_bridge import config_folder

    folders = {path.name: sorted(path.glob("*.yaml")) for path in sorted(config_folder().iterdir()) if path.is_dir()}
    return {group: paths for group, paths in folders.items() if paths}


def _find(word: str, known: dict[str, list[Path]]) -> str:
    """Return the group that ``word`` names, in the singular or the plural: losses for loss."""
    plurals = {plural: group for group in known for plural in (f"{group}s", f"{group}es", f"{group[:-1]}ies")}
    group = word if word in known else plurals.get(word)
    if group is None:
        raise ConfigError(f"there is no group '{word}'; there are {', '.join(known)}.{did_you_mean(word, known)}")
    return group


def _in_brief(group: str, paths: list[Path], width: int) -> str:
    """Return one entry per option: its name, followed by its meaning."""
    names = [f"  {group}={path.stem}  " for path in paths]
    column = max(map(len, names))
    rows = zip(names, map(meaning, paths), strict=True)
    return "\n".join(_wrapped(text, width, name.ljust(column), " " * column) for name, text in rows)


def _in_full(group: str, paths: list[Path], width: int) -> str:
    """Return a paragraph per option: its name, and below it its meaning, formula and paper."""
    classes = options(group) if group in GROUP_MODULES else {}
    paragraphs = []
    for path in paths:
        docstring = (classes[path.stem].__doc__ or "") if path.stem in classes else ""
        details = fields(docstring)
        first = _one_line(docstring.partition("\n")[0]) if details else meaning(path)
        lines = [first, *(f"{name}: {details[name]}" for name in FIELDS if name in details)]
        rows = [_wrapped(line, width, "    ", " " * (4 if line is first else 6)) for line in lines]
        paragraphs.append("\n".join([f"  {group}={path.stem}", *rows]))
    return "\n\n".join(paragraphs) + "\n"


def _one_line(text: str) -> str:
    """Return ``text`` of a docstring on one line, without the double backquotes of code."""
    return " ".join(text.replace("``", "").split())


def _wrapped(text: str, width: int, first: str, rest: str) -> str:
    """Return ``text`` wrapped at ``width`` columns and indented by ``first`` and ``rest``; long words are not split."""
    width = max(width, len(rest) + NARROWEST)
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
