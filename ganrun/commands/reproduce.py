"""``ganrun reproduce NAME...``: compares our numbers with the claims of the theory and with published tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.commands.named_paths import run_named
from ganrun.config.registry import choice, number
from ganrun.config.schema import check_plain
from ganrun.errors import ConfigError, did_you_mean, tell
from ganrun.storage.folder_checks import require_place, require_writable

if TYPE_CHECKING:
    from omegaconf import DictConfig

USAGE = "usage: ganrun reproduce NAME [NAME ...] [KEY=VALUE ...]; `ganrun reproduce --list` shows the names"
FLAGS = {"--strict": "strict=true"}


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """The settings of ``ganrun reproduce``."""

    names: tuple[str, ...] = ()
    budget: str = choice("quick", ("quick", "full"))
    seeds: int | None = number(None, low=2, high=1000)
    strict: bool = False
    again: bool = False
    dir: str = "outputs/reproduce"
    out: str | None = None


def main(words: list[str]) -> int:
    """Run ``ganrun reproduce`` with ``words`` and return the exit code."""
    if "--list" in words:
        return _list([word for word in words if word != "--list"])
    return run_named(
        "reproduce", [FLAGS.get(word, word) for word in words], _inspect, _job, ("dir", "out"), "names", "experiments"
    )


def _list(words: list[str]) -> int:
    from ganrun.reproduce.page import listing

    if words:
        raise ConfigError(f"--list takes no other words, and there is '{words[0]}'.")
    listing()
    return 0


def _inspect(node: dict[str, Any]) -> Reproduce:
    from ganrun.reproduce.experiments import named

    request = check_plain(Reproduce, node)
    if not request.names:
        raise ConfigError(f"reproduce needs names of experiments, or all. {USAGE}")
    named(request.names)
    require_writable(request.dir)
    if request.out is not None:
        require_place("out", request.out)
        suffix = Path(request.out).suffix
        if suffix.lower() != ".md":
            raise ConfigError(f"out must end in .md, not '{suffix}'.{did_you_mean(suffix, ('.md',))}")
    return request


def _job(node: DictConfig) -> int:
    from omegaconf import OmegaConf

    try:
        return _reproduce(_inspect(OmegaConf.to_container(node, resolve=True)))  # type: ignore[arg-type]
    except Exception as error:
        return tell(error)


def _reproduce(request: Reproduce) -> int:
    from ganrun.reproduce.page import verdicts, write_page
    from ganrun.reproduce.run import Budget, reproduce

    folder = Path(request.dir) / (
        request.budget if request.seeds is None else f"{request.budget}-{request.seeds}-seeds"
    )
    budget = Budget(folder.resolve(), request.budget == "full", request.seeds)
    results = reproduce(request.names, budget, request.again)
    page = Path(request.out) if request.out is not None else folder / "reproduction.md"
    write_page(page, results, budget)
    return verdicts(results, request.strict, page)
