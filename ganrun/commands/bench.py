"""``ganrun bench``: measures the speed of a run's training loop on this machine; trains nothing to keep."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ganrun.commands.train_checks import inspect
from ganrun.config.cli_args import CliArguments
from ganrun.config.folders import home_of
from ganrun.config.hydra_bridge import hand_over, preflight, with_paths
from ganrun.config.registry import choice, number
from ganrun.config.schema import check_plain
from ganrun.config.settings import Train
from ganrun.errors import ConfigError, tell
from ganrun.storage.folder_checks import require_place

if TYPE_CHECKING:
    from omegaconf import DictConfig

FORMATS = ("text", "markdown", "json")


@dataclasses.dataclass(frozen=True)
class Bench:
    """The settings of ``ganrun bench`` besides those of the run."""

    members: int = number(1, low=1, high=100_000)
    seconds: float = number(10.0, above=0.0, high=86_400.0)
    format: str = choice("text", FORMATS)
    out: str | None = None


def main(words: list[str]) -> int:
    """Run ``ganrun bench`` with ``words`` and return the exit code."""
    arguments = CliArguments(words)
    if arguments.options.shell_completion:
        return hand_over("bench", "bench", arguments, _job)
    if arguments.options.multirun:
        raise ConfigError("bench measures one run at a time: leave out -m.")
    arguments = with_paths(arguments, ("out", "data_dir"))
    name = arguments.options.config_name or "bench"
    composed = None if arguments.only_shows else preflight(name, arguments, checked)
    return hand_over("bench", name, arguments, _job, composed=composed)


def checked(node: dict[str, Any]) -> tuple[Bench, Train]:
    """Return the settings of the command and of the run, checked as far as possible before work starts.

    Raises:
        ConfigError: a check failed.
    """
    own = [field.name for field in dataclasses.fields(Bench)]
    request = check_plain(Bench, {key: node[key] for key in own if key in node})
    if request.out is not None:
        require_place("out", request.out)
    config = inspect({key: value for key, value in node.items() if key not in own})
    if config.resume is not None:
        raise ConfigError("bench measures a new run: leave out resume.")
    return request, config


def _job(node: DictConfig) -> int:
    from omegaconf import OmegaConf

    from ganrun.training import device
    from ganrun.training.mesh import cpu_devices

    try:
        device.prepare(cpu_devices([OmegaConf.to_container(node)]))
        request, config = checked(OmegaConf.to_container(node, resolve=True))  # type: ignore[arg-type]
        _bench(request, config)
    except Exception as error:
        return tell(error)
    return 0


def _bench(request: Bench, config: Train) -> None:
    import jax
    from rich.console import Console

    from ganrun.commands.bench_format import as_json, as_markdown, as_text
    from ganrun.commands.bench_measure import measure
    from ganrun.writers.console import Terminal
    from ganrun.writers.whole import write_whole

    # A cached program would need no compilation, and this one is of no further use.
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        status = Console(stderr=True).status
        found = measure(config, request.members, request.seconds, lambda part: status(f"{part} ..."))
    finally:
        jax.config.update("jax_compilation_cache_dir", folder)
    text = {"markdown": as_markdown, "json": as_json}.get(request.format, as_text)(config, found)
    if request.out is not None:
        write_whole(home_of(request.out), text.encode("utf-8", "surrogateescape"))
        return
    terminal = Terminal(markup=False, emoji=False, highlight=False, soft_wrap=True)
    terminal.print(text.encode(terminal.encoding, "backslashreplace").decode(terminal.encoding), end="")
