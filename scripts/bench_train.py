"""Benchmarks `ganrun train` with its default logging against a bare jitted training loop.

    python scripts/bench_train.py [repeats=3] [out=FILE.md] [KEY=VALUE ...]

Each problem alternates between a bare loop (the same jitted update, called for 100 steps at a time, without output) and
ganrun's loop with all of its default output (metrics, TensorBoard, pictures, histograms, checkpoints, the final save),
in one process, with the programs compiled beforehand. The ratio is computed per pair. The divergence probe is off: its
work is a fixed amount per run, logged as probe/seconds. KEY=VALUE are settings of `ganrun train` for both problems,
such as data_dir=FOLDER or steps=64000.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.errors import ConfigError
from ganrun.methods.experiment import Experiment
from ganrun.training import device
from ganrun.training.build import build
from ganrun.training.train import alone

PROBLEMS = {
    "ring / mlp": ["dataset=ring", "architecture=mlp", "probe=off"],
    "mnist / mlp": ["dataset=mnist", "architecture=mlp", "steps=2000", "dataset.download=false", "probe=off"],
}


def bare(experiment: Experiment, steps: int) -> float:
    """Return the steps per second of the bare loop."""
    state = jax.block_until_ready(experiment.init())
    begun = time.perf_counter()
    for _ in range(0, steps, 100):
        state, _ = experiment.advance(state, 100)
    jax.block_until_ready(state)
    return steps / (time.perf_counter() - begun)


def whole(experiment: Experiment, config: Any) -> float:
    """Return the steps per second of ganrun's loop, from the first step to the last file written."""
    with tempfile.TemporaryDirectory() as folder:
        run = alone(experiment, config, Path(folder) / "run")
        jax.block_until_ready(run.state)
        begun = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            run.go()
        return config.steps / (time.perf_counter() - begun)


def measure(name: str, overrides: list[str], repeats: int) -> str:
    """Return one row of the table."""
    config = check(compose("train", overrides))
    experiment = build(config)
    warm = check(compose("train", [*overrides, "steps=200"]))
    whole(Experiment(warm, experiment.data), warm)  # compiles everything for both loops
    bare(experiment, 200)
    pairs = [(bare(experiment, config.steps), whole(experiment, config)) for _ in range(repeats)]
    ratios = [ours / bare for bare, ours in pairs]
    medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
    spread = f"{statistics.median(ratios):.3g} ({min(ratios):.3g} to {max(ratios):.3g})"
    return f"| {name} | {config.steps} | {medians[0]:.1f} | {medians[1]:.1f} | {spread} |"


def main() -> None:
    """Print the table, and write it to ``out`` if given."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    repeats = int(given.get("repeats", 3))
    words = [word for word in sys.argv[1:] if word.split("=", 1)[0] not in ("repeats", "out")]
    device.prepare()
    about = device.describe()
    said = " ".join([f"repeats={repeats}", *(word for word in words if not word.startswith("data_dir="))])
    lines = [
        f"`python scripts/bench_train.py {said}`, {about['device']}, jax {about['versions']['jax']}",
        "",
        "| problem | steps | bare loop, steps/s | ganrun train, steps/s | ratio, median (range) |",
        "|---|---|---|---|---|",
    ]
    for name, overrides in PROBLEMS.items():
        try:
            lines.append(measure(name, [*overrides, *words], repeats))
        except ConfigError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    print("\n".join(lines))
    if "out" in given:
        Path(given["out"]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
