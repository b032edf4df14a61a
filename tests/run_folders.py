"""Run directories made by hand, for tests that only read them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from ganrun.comparison.runs import Run, read_runs
from ganrun.config.settings import Train
from ganrun.storage.run_directory import save_config


def make_run(
    folder: Path,
    config: Train,
    metrics: dict[str, Any] | None = None,
    status: str = "completed",
    rows: list[dict[str, Any]] | None = None,
) -> Path:
    """Write a run directory; one without ``metrics`` has no summary: it is still running, or was killed."""
    folder.mkdir(parents=True)
    save_config(config, folder)
    if metrics is not None:
        (folder / "summary.json").write_text(json.dumps({"status": status, "steps": 20, "metrics": metrics}))
    if rows is not None:
        (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def make_runs(folder: Path, configs: list[Train]) -> list[Run]:
    """Write a run for each of ``configs``, and read them."""
    return read_runs([str(make_run(folder / str(i), config, {"w1": float(i)})) for i, config in enumerate(configs)])


def seeded(config: Train, *seeds: int) -> list[Train]:
    return [dataclasses.replace(config, seed=seed) for seed in seeds]


def with_option(config: Train, **changes: Any) -> Train:
    """Return ``config`` with fields of its options changed: ``loss={"label_smoothing": 0.1}``."""
    return dataclasses.replace(
        config, **{name: dataclasses.replace(getattr(config, name), **fields) for name, fields in changes.items()}
    )


def with_rates(config: Train, generator: dict[str, Any], discriminator: dict[str, Any]) -> Train:
    players = {
        "generator": dataclasses.replace(config.optimizer.generator, **generator),
        "discriminator": dataclasses.replace(config.optimizer.discriminator, **discriminator),
    }
    return dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, **players))
