"""``ganrun list``: lists the options of every group; for groups that are named, with formula and paper."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from typing import NamedTuple

from ganrun.config import user_plugins
from ganrun.config.folders import config_folder
from ganrun.config.registry import GROUP_MODULES, options, require_options
from ganrun.errors import ConfigError, instead

HELP = """ganrun list: the options of each group, with their meaning.

usage: ganrun list [GROUP ...] ['plugins=[PACKAGE,...]']

`ganrun list losses` also shows the formula and the paper of each loss, where it has them. An option of a plugin is
followed by the name of its package. `ganrun list tags` shows the tags of all metrics, of training and of `ganrun eval`,
with unit, direction and meaning.
"""
TAGS = "tags"  # beside the groups: the tags of all metrics
FIELDS = ("Formula", "Paper")
NARROWEST = 24  # minimum columns of text, however narrow the terminal is


class Choice(NamedTuple):
    """The YAML file of an option, and the plugin that it belongs to; None: it is ganrun's own."""

    path: Path
    plugin: str | None

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def origin(self) -> str:
        """The plugin, as it follows the meaning."""
        return f" ({self.plugin})" if self.plugin else ""


def main(words: list[str]) -> int:
    """Print the groups that ``words`` name (default: all, in brief) and return the exit code."""
    from ganrun.writers.console import Terminal

    if words[:1] in (["--help"], ["-h"]):
        print(HELP, end="")
        return 0
    user_plugins.use(user_plugins.named(words))
    require_options()
    named = [word for word in words if not word.startswith("plugins=")]
    known = _groups()
    chosen = [_find(word, known) for word in named]
    # Lines are wrapped here, not by rich: in a pipe they are the same as on a terminal of 80 columns.
    terminal = Terminal(markup=False, emoji=False, highlight=False, soft_wrap=True)
    for group in chosen or known:
        # Docstrings require importing the group's package, most of which import JAX: only for groups that are named.
        if group == TAGS:
            text = _of_tags(terminal.width)
        else:
            text = (_in_full if named else _in_brief)(group, known[group], terminal.width)
        terminal.print(group, style="bold")
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


def _groups() -> dict[str, list[Choice]]:
    """Return the options of each group, ganrun's own and those of plugins, by name."""
    folders: dict[str | None, Path] = {None: config_folder(), **user_plugins.config_folders()}
    groups = sorted(path.name for path in config_folder().iterdir() if path.is_dir())
    choices = {
        group: [Choice(path, plugin) for plugin, folder in folders.items() for path in (folder / group).glob("*.yaml")]
        for group in groups
    }
    return {group: sorted(found, key=lambda choice: choice.name) for group, found in choices.items() if found}


def _find(word: str, known: dict[str, list[Choice]]) -> str:
    """Return the group that ``word`` names, in the singular or the plural: losses for loss."""
    plurals = {plural: group for group in known for plural in (f"{group}s", f"{group}es", f"{group[:-1]}ies")}
    group = word if word in known else plurals.get(word)
    if word in (TAGS, "tag"):
        return TAGS
    if group is None:
        raise ConfigError(f"there is no group '{word}'.{instead(word, [*known, TAGS], 'There are', 'ganrun --help')}")
    return group


def _in_brief(group: str, choices: list[Choice], width: int) -> str:
    """Return one entry per option: its name, followed by its meaning."""
    names = [f"  {group}={choice.name}  " for choice in choices]
    column = max(map(len, names))
    texts = [f"{meaning(choice.path)}{choice.origin}".strip() for choice in choices]
    rows = zip(names, texts, strict=True)
    return "\n".join(_wrapped(text, width, name.ljust(column), " " * column) for name, text in rows)


def _in_full(group: str, choices: list[Choice], width: int) -> str:
    """Return a paragraph per option: its name, and below it its meaning, formula and paper."""
    classes = options(group) if group in GROUP_MODULES else {}
    paragraphs = []
    for choice in choices:
        docstring = (classes[choice.name].__doc__ or "") if choice.name in classes else ""
        details = fields(docstring)
        first = _one_line(docstring.partition("\n")[0]) if details else meaning(choice.path)
        lines = [first, *(f"{name}: {details[name]}" for name in FIELDS if name in details)]
        rows = [_wrapped(line, width, "    ", " " * (4 if line is first else 6)) for line in lines]
        paragraphs.append("\n".join([f"  {group}={choice.name}{choice.origin}", *rows]))
    return "\n\n".join(paragraphs) + "\n"


def _of_tags(width: int) -> str:
    """Return one entry per tag: its name, followed by its meaning, unit and direction."""
    from ganrun.evaluation.measurements.specs import CAS
    from ganrun.evaluation.metrics.spec import specs

    found = {spec.name: spec for spec in (*specs(), *CAS)}  # the others of `ganrun eval` are options of training too
    rows = []
    for name in sorted(found):
        spec = found[name]
        more = [spec.unit.strip("()"), f"{spec.better} is better" if spec.better else ""]
        notes = ", ".join(filter(None, more))
        rows.append((f"  {name}  ", f"{spec.meaning} ({notes})" if notes else spec.meaning))
    column = max(len(name) for name, _ in rows)
    return "\n".join(_wrapped(text, width, name.ljust(column), " " * column) for name, text in rows)


def _one_line(text: str) -> str:
    """Return ``text`` of a docstring on one line, without the double backquotes of code."""
    return " ".join(text.replace("``", "").split())


def _wrapped(text: str, width: int, first: str, rest: str) -> str:
    """Return ``text`` wrapped at ``width`` columns and indented by ``first`` and ``rest``; long words are not split."""
    width = max(width, len(rest) + NARROWEST)
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
