"""``ganrun export``: writes the model of a run as files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.commands.chosen_average import require_one
from ganrun.config.cli_args import CliArguments
from ganrun.config.hydra_bridge import hand_over, preflight, with_paths
from ganrun.config.schema import check_plain
from ganrun.config.values import is_whole
from ganrun.errors import ConfigError, shown, tell
from ganrun.export.request import FORMATS, MAX_BATCH, PLATFORMS, Export, require_packages
from ganrun.storage.run_directory import find_run, load_config

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(words: list[str]) -> int:
    """Run ``ganrun export`` with ``words`` and return the exit code."""
    arguments = CliArguments(words)
    arguments.refuse_paths("run")
    arguments = with_paths(arguments, ("run", "out"))
    name = arguments.options.config_name or "export"
    composed = None if arguments.only_shows else preflight(name, arguments, _inspect)
    return hand_over("export", name, arguments, _job, composed=composed)


def _inspect(node: dict[str, Any]) -> tuple[Export, Path, Path]:
    """Return the checked request, the run directory and the folder to write."""
    texts = {name: int(node[name]) for name in ("checkpoint", "batch") if is_whole(node.get(name))}
    request = check_plain(Export, {**node, **texts})
    if request.checkpoint not in ("latest", "best") and not request.checkpoint.isdecimal():
        raise ConfigError(f"checkpoint must be latest, best or a step, not '{request.checkpoint}'.")
    if request.batch != "symbolic":
        known = request.batch.isascii() and request.batch.isdecimal()
        if not known or not 1 <= int(request.batch[:20]) <= MAX_BATCH:
            raise ConfigError(
                f"batch must be symbolic, or a whole number from 1 to {MAX_BATCH}, not '{shown(request.batch)}'."
            )
    for name, allowed in (("formats", FORMATS), ("platforms", PLATFORMS)):
        if not getattr(request, name):
            raise ConfigError(f"{name} is empty: name at least one of {', '.join(allowed)}.")
    require_one(request)
    require_packages(request.formats)
    from ganrun.export.folder import require_room

    folder = require_room(request.out, request.overwrite)
    return request, find_run(request.run), folder


def _job(node: DictConfig) -> int:
    from omegaconf import OmegaConf

    from ganrun.training import device

    try:
        device.prepare()
        request, run, folder = _inspect(OmegaConf.to_container(node, resolve=True))  # type: ignore[arg-type]
        from ganrun.export.folder import write_folder
        from ganrun.export.model import exported_files

        config = load_config(run)
        files, lines = exported_files(request, config, run)
        names = write_folder(folder, files)
        for line in lines:
            print(line)
        print(f"{len(names)} files in {folder}: {', '.join(names)}")
    except Exception as error:
        return tell(error)
    return 0
