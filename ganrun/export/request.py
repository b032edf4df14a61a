"""The settings of an export."""

from __future__ import annotations

import dataclasses

from ganrun.config.registry import choice

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
