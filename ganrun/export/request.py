"""The settings of an export."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Sequence

from ganrun.config.registry import choice, number
from ganrun.config.settings import NARROWEST, WIDEST
from ganrun.errors import ConfigError

FORMATS = ("stablehlo", "safetensors", "onnx")
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
NETWORKS = ("generator", "all")
MAX_BATCH = 1 << 20
# The package that a format needs besides those of every command, and how to install it.
PACKAGES = {
    "stablehlo": ("flatbuffers", "install it with pip install flatbuffers"),
    "onnx": ("jax2onnx", "install it, best in an environment of its own, with pip install 'ganrun[onnx]'"),
}


@dataclasses.dataclass(frozen=True)
class Export:
    """The settings of ``ganrun export``."""

    run: str = "latest"
    out: str = "export"
    checkpoint: str = "latest"
    average: bool = True
    sigma_rel: float | None = number(None, low=NARROWEST, high=WIDEST)
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


def require_packages(formats: Sequence[str]) -> None:
    """Raise :class:`ConfigError` if a package that one of ``formats`` needs is not installed."""
    for name in formats:
        package, install = PACKAGES.get(name, ("", ""))
        if package and importlib.util.find_spec(package) is None:
            raise ConfigError(f"formats=[{name}] needs the package {package}: {install}.")
