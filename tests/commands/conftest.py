"""How the tests of this folder run commands: as a process of their own, or (much faster) inside this one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import clean_environment, run_inside

from ganrun.evaluation.divergence.classifier import stack


@pytest.fixture(scope="session")
def environment() -> Callable[..., dict[str, str]]:
    """The environment for a command, without what would change its behaviour."""
    return clean_environment


@pytest.fixture(scope="session")
def ganrun() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``ganrun WORDS`` as a process in the folder ``cwd``."""

    def run(
        *words: str, cwd: Path, env: dict[str, str] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ganrun", *words],
            cwd=cwd,
            env=clean_environment(**(env or {})),
            timeout=timeout,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.fixture(scope="session")
def inside() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``ganrun WORDS`` inside this process in the folder ``cwd``: spares three seconds of importing JAX."""
    return run_inside


@pytest.fixture(scope="session")
def quick_experts_only() -> Callable[[pytest.MonkeyPatch], None]:
    """Leave only the quickest of the probe's experts, for runs inside this process whose numbers hardly matter."""

    def leave(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(stack, "parametric_learners", lambda d, budget: [stack.base_learners.quadratic])
        patch.setattr(stack, "neighbour_learners", lambda d, updates, workers=1: [])

    return leave


@pytest.fixture
def lean(monkeypatch, quick_experts_only) -> None:
    quick_experts_only(monkeypatch)


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Settings that make a run on points small."""
    hidden = ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]")
    return (*hidden, "batch_size=16", PICTURES, "probe=off", ALL)


@pytest.fixture(scope="session")
def tiny_dcgan() -> tuple[str, ...]:
    """Settings that make a convolutional run on images small."""
    digits = ("dataset=digits", "architecture=dcgan", "architecture.width=4", "latent.dim=8")
    return (*digits, "batch_size=16", PICTURES, "probe=off", ALL)


PICTURES = "log.pictures=1"
ALL = "evaluate.share=1"  # nothing is left out of the evaluation, however short the run
TIMES = ("steps_per_second", "probe/seconds", "evaluate/seconds")


@pytest.fixture(scope="session")
def rows() -> Callable[[Path], list[dict[str, Any]]]:
    """Read ``metrics.jsonl`` of a run, without the times, which no two runs share."""

    def read(run: Path) -> list[dict[str, Any]]:
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        table = [json.loads(line) for line in lines]
        return [{tag: value for tag, value in row.items() if tag not in TIMES} for row in table]

    return read


@pytest.fixture(scope="session")
def only_run() -> Callable[[Path], Path]:
    """Return the one run directory below ``cwd/outputs``."""

    def find(cwd: Path) -> Path:
        (config,) = (cwd / "outputs").glob("**/config.yaml")
        return config.parent

    return find


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with some files to compare."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "real.npy", rng.normal(size=(500, 2)))
    np.save(tmp_path / "fake.npy", rng.normal(size=(400, 2)))
    np.save(tmp_path / "line.npy", rng.normal(size=300))
    np.savez(tmp_path / "two.npz", train=rng.normal(size=(300, 2)), test=rng.normal(size=(200, 2)))
    np.savez(tmp_path / "one.npz", samples=rng.normal(size=(300, 2)))
    return tmp_path


@pytest.fixture(scope="session")
def listing() -> Callable[[Path], list[str]]:
    """Everything below a folder, by its name from there."""
    return lambda folder: sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
