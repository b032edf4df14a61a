"""``ganrun report PATH...``: writes one HTML file about runs, which needs neither Python nor a network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.commands.named_paths import run_named
from ganrun.config.folders import home_of
from ganrun.config.registry import choice, number
from ganrun.config.schema import check_plain
from ganrun.errors import ConfigError, did_you_mean, tell
from ganrun.storage.folder_checks import require_place

if TYPE_CHECKING:
    from omegaconf import DictConfig

USAGE = "usage: ganrun report PATH [PATH ...] [KEY=VALUE ...]"


@dataclasses.dataclass(frozen=True)
class Report:
    """The settings of ``ganrun report``."""

    paths: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    level: float = number(0.95, above=0.0, below=1.0)
    interval: str = choice("student", ("student", "bootstrap"))
    unfinished: bool = False
    out: str = "report.html"
    plugins: tuple[str, ...] = ()


def main(words: list[str]) -> int:
    """Run ``ganrun report`` with ``words`` and return the exit code."""
    return run_named("report", words, _inspect, _job, ("out",))


def _inspect(node: dict[str, Any]) -> Report:
    request = check_plain(Report, node)
    if not request.paths:
        raise ConfigError(f"report needs runs to report on. {USAGE}")
    require_place("out", request.out)
    suffix = Path(request.out).suffix
    if suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"out must end in .html, not '{suffix}'.{did_you_mean(suffix, ('.html',))}")
    return request


def _job(node: DictConfig) -> int:
    from omegaconf import OmegaConf

    try:
        _report(_inspect(OmegaConf.to_container(node, resolve=True)))  # type: ignore[arg-type]
    except Exception as error:
        return tell(error)
    return 0


def _report(request: Report) -> None:
    from ganrun.report.content import read_content
    from ganrun.report.page import render
    from ganrun.writers.whole import write_whole

    content = read_content(request.paths, request.metrics, request.level, request.interval, request.unfinished)
    page = render(content).encode("utf-8", "replace")
    write_whole(home_of(request.out), page)
    print(f"{len(content.cards)} runs in {request.out} ({len(page) / 1e6:.1f} MB); open it in a browser")
