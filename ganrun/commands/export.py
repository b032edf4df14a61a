"""``ganrun export``: writes the model of a run as files that other programs read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun.config.cli_args import CliArguments
from ganrun.config.hydra_bridge import hand_over, preflight, with_paths
from ganrun.config.registry import choice
from ganrun.config.schema import check_plain
from ganrun.config.values import is_whole
from ganrun.errors import ConfigError, shown, tell
from ganrun.storage.run_directory import find_run, load_config

if TYPE_CHECKING:
    from omegaconf import DictConfig

FORMATS = ("stablehlo", "safetensors", "onnx")
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
NETWORKS = ("generator", "all")
MAX_BATCH = 1 << 20


@dataclasses.dataclass(frozen=True)
class Export:
    """The settings of ``ganrun export``."""

    run: str = "latest"
    out: str = "export"
    checkpoint: str = "latest"
    average: bool = True
    formats: tuple[str, ...] = choice(FORMATS[:2], FORMATS)
    platforms: tuple[str, ...] = choice(("cpu", "cuda", "tpu"), PLATFORMS)
    batch: str = "symbolic"
    networks: str = choice("generator", NETWORKS)
    overwrite: bool = False
    plugins: tuple[str, ...] = ()

    @property
    def size(self) -> int | None:
        """The number of samples that a program returns; None for any number."""
        return None if self.batch == "symbolic" else int(self.batch)


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
    for name in ("formats", "platforms"):
        if not getattr(request, name):
            raise ConfigError(f"{name} is empty: name at least one of {', '.join(globals()[name.upper()])}.")
    if "onnx" in request.formats:
        from ganrun.export.to_onnx import require_converter

        require_converter()
    from ganrun.export.folder import require_room

    return request, find_run(request.run), require_room(request.out, request.overwrite)


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
        write_folder(folder, files)
        for line in lines:
            print(line)
        print(f"{len(files)} files in {folder}: {', '.join(files)}")
    except Exception as error:
        return tell(error)
    return 0
