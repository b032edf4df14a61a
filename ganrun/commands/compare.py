"""``ganrun compare PATH...``: compares runs in a table, grouped by the settings that differ, with seeds aggregated."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.commands.named_paths import run_named
from ganrun.config.folders import home_of
from ganrun.config.registry import choice, number
from ganrun.config.schema import check_plain
from ganrun.errors import WIDTH, ConfigError, did_you_mean, shown, tell
from ganrun.storage.folder_checks import require_place

if TYPE_CHECKING:
    from omegaconf import DictConfig

USAGE = "usage: ganrun compare PATH [PATH ...] [KEY=VALUE ...]"
FORMATS = ("text", "markdown", "csv", "json")


@dataclasses.dataclass(frozen=True)
class Compare:
    """The settings of ``ganrun compare``."""

    paths: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    level: float = number(0.95, above=0.0, below=1.0)
    interval: str = choice("student", ("student", "bootstrap"))
    statistic: str = choice("mean", ("mean", "iqm", "median"))
    correction: str = choice("holm", ("holm", "bonferroni", "none"))
    unfinished: bool = False
    format: str = choice("text", FORMATS)
    out: str | None = None
    picture: str | None = None
    plugins: tuple[str, ...] = ()


def main(words: list[str]) -> int:
    """Run ``ganrun compare`` with ``words`` and return the exit code."""
    return run_named("compare", words, _inspect, _job, ("out", "picture"))


def _inspect(node: dict[str, Any]) -> Compare:
    request = check_plain(Compare, node)
    if not request.paths:
        raise ConfigError(f"compare needs runs to compare. {USAGE}")
    for name, path in (("out", request.out), ("picture", request.picture)):
        if path is not None:
            require_place(name, path)
    if request.picture is not None and Path(request.picture).suffix.lower() != ".png":
        suffix = Path(request.picture).suffix
        raise ConfigError(f"picture must end in .png, not '{suffix}'.{did_you_mean(suffix, ('.png',))}")
    return request


def _job(node: DictConfig) -> int:
    from omegaconf import OmegaConf

    try:
        request = _inspect(OmegaConf.to_container(node, resolve=True))  # type: ignore[arg-type]
        _compare(request)
    except Exception as error:
        return tell(error)
    return 0


def _compare(request: Compare) -> None:
    from ganrun.comparison.formats import as_csv, as_json, as_markdown, as_text, terminal_width
    from ganrun.comparison.groups import group
    from ganrun.comparison.runs import chosen_metrics, read_comparable, too_early
    from ganrun.comparison.table import compare
    from ganrun.writers.console import Terminal
    from ganrun.writers.whole import write_whole

    runs, left_out = read_comparable(list(request.paths), curves=request.picture is not None)
    metrics = chosen_metrics(list(request.metrics), runs)
    if not metrics:
        raise too_early(runs, "to be compared")
    groups = group(runs, metrics, request.unfinished)
    comparison = compare(
        groups, metrics, request.level, request.interval, request.correction, left_out, request.statistic
    )
    formats = {"markdown": as_markdown, "csv": as_csv, "json": as_json}
    if request.picture is not None:
        from ganrun.comparison.curves import curves  # loads matplotlib, which takes a second

        write_whole(home_of(request.picture), curves(comparison.groups, metrics, request.level, request.interval))
    if request.format == "csv" and comparison.notes:  # it has no place for them
        print(f"ganrun: not in the table: {shown('; '.join(comparison.notes), WIDTH)}", file=sys.stderr)
    if request.out is not None:
        table = formats.get(request.format, as_markdown)(comparison)
        write_whole(home_of(request.out), table.encode("utf-8", "surrogateescape"))
    if request.out is None:
        terminal = Terminal(markup=False, emoji=False, highlight=False, soft_wrap=True)
        as_format = formats.get(request.format)
        text = as_format(comparison) if as_format else as_text(comparison, terminal_width())
        terminal.print(text, end="")
