"""``ganrun list``: the options of every group, with the first comment of their YAML as their meaning."""

from __future__ import annotations

from pathlib import Path

from ganrun.errors import ConfigError, did_you_mean

HELP = """ganrun list: the options of each group, with their meaning.

usage: ganrun list [GROUP ...]
"""


def main(words: list[str]) -> int:
    """Print the groups that ``words`` name (default: all) and return the exit code."""
    from rich.table import Table

    from ganrun.hydra_app import config_folder
    from ganrun.writers.console import Terminal

    if words[:1] in (["--help"], ["-h"]):
        print(HELP, end="")
        return 0
    known = sorted(path.name for path in config_folder().iterdir() if path.is_dir())
    console = Terminal()
    for group in words or known:
        # `ganrun list losses` is what one types; the folder is called loss.
        folder = next((name for name in known if group in (name, f"{name}s", f"{name}es")), None)
        if folder is None:
            raise ConfigError(f"there is no group '{group}'; there are {', '.join(known)}.{did_you_mean(group, known)}")
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(no_wrap=True)
        table.add_column()
        for path in sorted((config_folder() / folder).glob("*.yaml")):
            table.add_row(f"  {folder}={path.stem}", meaning(path))
        console.print(f"{folder}", style="bold")
        console.print(table)
    return 0


def meaning(path: Path) -> str:
    """Return the first comment of a YAML file that is not a Hydra directive."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and not line.startswith("# @"):
            return line.lstrip("# ")
    return ""
