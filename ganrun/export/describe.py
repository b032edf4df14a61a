"""``config.json`` of an export: everything that a program needs to use the other files, and how they were made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganrun.config.schema import to_dict
from ganrun.config.settings import Train
from ganrun.export.programs import Program
from ganrun.methods.base import Method

VERSION = 1  # of the layout of an export
# Settings that say nothing of the model, but something of the machine that it was trained on.
PRIVATE = ("data_dir", "profile", "resume", "retry", "init_from")
PATH = "dataset.path"  # of a user's own file, of which only the name is exported
MEANINGS = {
    "model.stablehlo": "the model as StableHLO, as jax.export serializes it",
    "sample.stablehlo": "samples from random keys as StableHLO, as jax.export serializes it",
    "model.onnx": "the model as ONNX",
    "model.safetensors": "the weights",
    "samples.png": "samples, for people to look at",
    "README.md": "the model card",
}


@dataclass(frozen=True)
class Facts:
    """What is known of the model that is exported.

    Attributes:
        config: of the run.
        method: of the run.
        name: of the run's directory.
        step: of the checkpoint.
        average: whether the weights are those of the moving average.
        has_average: whether the method has a moving average.
        sigma_rel: the relative width of the power-function average that the weights are; None: they are another one.
        programs: the exported programs.
        batch: the number of samples that they return; None for a symbolic dimension.
        platforms: those of the StableHLO programs.
        arrays: the exported weights by name; empty if they are not exported.
        difference: the largest difference of the exported from the original samples; None if it was not measured.
        versions: of Python and of packages, by name.
    """

    config: Train
    method: Method
    name: str
    step: int
    average: bool
    has_average: bool
    sigma_rel: float | None
    programs: list[Program]
    batch: int | None
    platforms: tuple[str, ...]
    arrays: Mapping[str, np.ndarray]
    difference: float | None
    versions: Mapping[str, str]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.config.dataset.shape)

    @property
    def is_image(self) -> bool:
        """Whether samples are images ``(height, width, channel)``."""
        return len(self.shape) == 3

    @property
    def weights(self) -> str:
        """Which weights these are, in words."""
        if self.sigma_rel is not None:
            return f"power-function average (sigma_rel={self.sigma_rel:g})"
        return "moving average" if self.average else "trained"


def config_json(facts: Facts, files: Mapping[str, bytes]) -> bytes:
    """Return the content of ``config.json``, which lists the other ``files`` with their checksums."""
    prior = facts.method.prior
    content: dict[str, Any] = {
        "ganrun_export": VERSION,
        "run": {"name": facts.name, "step": facts.step, "steps": facts.config.steps, "weights": facts.weights},
        "method": facts.config.method.name,
        "architecture": to_dict(facts.config)["architecture"],
        "latents": None if prior is None else {"dim": prior.dim, "prior": prior.name},
        "samples": _samples(facts),
        "classes": facts.method.classes,
        "programs": {
            f"{program.name}.{suffix}": _program(program, facts, suffix)
            for program in facts.programs
            for suffix in ("stablehlo", "onnx")
            if f"{program.name}.{suffix}" in files
        },
        "parameters": sum(array.size for array in facts.arrays.values()) or None,
        "largest_difference": facts.difference,
        "versions": dict(facts.versions),
        "files": {name: _file(name, content) for name, content in files.items()},
        "config": _public(facts.config),
    }
    return (json.dumps(content, indent=2) + "\n").encode()


def _public(config: Train) -> dict[str, Any]:
    """Return the settings of the run without paths of the machine that it was trained on."""
    settings = {key: value for key, value in to_dict(config).items() if key not in PRIVATE}
    group, key = PATH.split(".")
    if settings[group].get(key):
        settings[group][key] = Path(settings[group][key]).name
    return settings


def _samples(facts: Facts) -> dict[str, Any]:
    axes = ["height", "width", "channel"] if facts.is_image else ["dim"]
    units = "pixels from -1 (black) to 1 (full intensity)" if facts.is_image else "units of the data"
    found: dict[str, Any] = {"shape": list(facts.shape), "axes": axes, "dtype": "float32", "units": units}
    return found | ({"range": [-1.0, 1.0], "to_bytes": "round((x + 1) * 127.5)"} if facts.is_image else {})


def _program(program: Program, facts: Facts, suffix: str) -> dict[str, Any]:
    batch = "batch" if facts.batch is None else facts.batch
    found = {
        "inputs": [
            {"name": one.name, "shape": [batch, *one.shape], "dtype": one.dtype, "meaning": one.meaning}
            for one in program.inputs
        ],
        "output": {"name": "samples", "shape": [batch, *facts.shape], "dtype": "float32", "meaning": program.meaning},
    }
    return found | ({"platforms": list(facts.platforms)} if suffix == "stablehlo" else {})


def _file(name: str, content: bytes) -> dict[str, Any]:
    return {"meaning": MEANINGS[name], "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
