"""What ``precision=bf16`` and ``precision=tf32`` change in the results of short runs, over five seeds each.

    python scripts/compare_precision.py [problems=ring,mixture1d,vae] [precisions=f32,bf16,tf32] [probe=streaming]
        [runs=FOLDER] [out=FILE.md]

Every problem is trained once per precision, its seeds as one population, and a table is printed: means of the last
metrics with 95 % intervals (Student's t), failed runs, and the time of a step relative to f32, the median and range of
measurements in turn. The runs, which stay in ``runs=FOLDER`` and are not trained again if they are there, are smaller
and much shorter than the presets, so their values are not the presets' results. With ``probe=streaming`` the divergence
is estimated by classifiers too, which takes most of the time. MNIST is in ``GANRUN_DATA``, or is downloaded. About ten
minutes on one core of a CPU.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from train_sweep import train_sweep

from ganrun.commands.bench_measure import experiments_of
from ganrun.comparison.statistics import mean_interval
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.config.settings import PRECISIONS
from ganrun.training import device
from ganrun.training.executor import executor_for

SEEDS = 5
ROUNDS, SECONDS = 7, 1.0  # measurements of the time per precision, and how long one takes in f32
# problem -> the command-line arguments of its runs, and the metrics to show.
PROBLEMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ring": (
        (
            "experiment=ring",
            "steps=2000",
            "batch_size=128",
            "architecture.generator_hidden=[64,64,64]",
            "architecture.discriminator_hidden=[64,64,64]",
        ),
        ("jsd/exact", "modes/covered", "modes/high_quality"),
    ),
    "mixture1d": (("experiment=mixture1d", "steps=1500", "batch_size=256"), ("jsd/exact", "w1")),
    "vae": (
        (
            "experiment=vae",
            "steps=800",
            "batch_size=50",
            "latent.dim=10",
            "architecture.encoder_hidden=[128,128]",
            "architecture.decoder_hidden=[128,128]",
        ),
        ("elbo", "iwae", "kl/latent"),
    ),
    "dcgan": (
        (
            "experiment=dcgan",
            "dataset=digits",
            "steps=1500",
            "batch_size=64",
            "latent.dim=16",
            "architecture.width=16",
            "probe=stack",
            "probe.times=1",
            "probe.budget=0.4",
        ),
        ("jsd/probe", "samples/diversity", "samples/nearest_training"),
    ),
}


def train(problem: str, precision: str, folder: Path, probe: str) -> list[dict[str, Any]]:
    """Train the seeds of ``problem`` in ``precision`` as one population in ``folder``; return their summaries."""
    words = [
        f"precision={precision}",
        f"seed=range({SEEDS})",
        "log.pictures=1",
        *[f"probe={probe}"] * (not any(word.startswith("probe=") for word in PROBLEMS[problem][0])),
        *PROBLEMS[problem][0],
    ]
    if len(list(folder.glob("*/summary.json"))) < SEEDS:
        train_sweep(words, folder)
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*/summary.json"))]


def time_ratios(problem: str, precisions: list[str]) -> dict[str, str]:
    """Return the time of a step of the population relative to f32, as text by precision; the precisions take turns."""
    runs, seconds, n = {}, {precision: [] for precision in precisions}, 1
    for precision in precisions:
        config = check(compose("train", [f"precision={precision}", *_without_probe(PROBLEMS[problem][0])]))
        executor = executor_for(experiments_of(config, SEEDS))
        runs[precision] = executor, executor.advance(executor.init(), 1)[0]
    for index in range(-2, ROUNDS):  # the first call may compile, and the second one says how many steps a call takes
        for precision, (executor, state) in runs.items():
            begun = time.perf_counter()
            runs[precision] = executor, jax.block_until_ready(executor.advance(state, n)[0])
            seconds[precision].append((time.perf_counter() - begun) / n)
        n = max(1, round(SECONDS / seconds["f32"][-1])) if index < 0 else n
    ratios = {name: np.divide(times, seconds["f32"])[2:] for name, times in seconds.items()}
    return {name: f"{np.median(each):.2f} ({each.min():.2f} to {each.max():.2f})" for name, each in ratios.items()}


def _without_probe(words: tuple[str, ...]) -> list[str]:
    return [*(word for word in words if not word.startswith("probe")), "probe=off"]


def same_metrics(folder: Path, other: Path) -> bool:
    """Return whether the runs in both folders logged the same numbers, but for times."""

    def rows(folder: Path) -> list[list[dict[str, Any]]]:
        files = sorted(folder.glob("*/metrics.jsonl"))
        return [[_without_times(json.loads(line)) for line in path.read_text().splitlines()] for path in files]

    return rows(folder) == rows(other)


def _without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {tag: value for tag, value in row.items() if "second" not in tag}


def cell(summaries: list[dict[str, Any]], tag: str) -> str:
    """Return the mean and the interval of the last values of ``tag`` in the runs that completed and logged it."""
    values = [run["metrics"][tag] for run in summaries if run["status"] == "completed" and tag in run["metrics"]]
    if not values:
        return "-"
    interval = mean_interval(np.array(values))
    ends = "no variance" if math.isnan(interval.low) else f"{interval.low:.4g} to {interval.high:.4g}"
    few = "" if len(values) == SEEDS else f", n = {len(values)}"
    return f"{interval.value:.4g} ({ends}{few})"


def rows_of(problem: str, results: dict[str, list[dict[str, Any]]], same: bool, times: dict[str, str]) -> list[str]:
    """Return the rows of the table for ``problem``, one for each metric and precision.

    Args:
        problem: its name.
        results: the summaries of the runs, by precision.
        same: whether the runs in tf32 are those in f32.
        times: the time of a step relative to f32, by precision.
    """
    lines = []
    for name, runs in results.items():
        if name == "tf32" and same:
            lines.append(f"| {problem} | tf32 | every logged metric | equal to f32 | 0 | {times[name]} |")
            continue
        failed = SEEDS - sum(run["status"] == "completed" for run in runs)
        ratio = "1" if name == "f32" else times[name]
        tags = PROBLEMS[problem][1]
        probed = "jsd/probe" not in tags and any("jsd/probe" in run["metrics"] for run in runs)
        shown = (*tags, *["jsd/probe"] * probed)
        lines += [f"| {problem} | {name} | `{tag}` | {cell(runs, tag)} | {failed} | {ratio} |" for tag in shown]
    return lines


def main(words: list[str]) -> None:
    options = dict(word.split("=", 1) for word in words)
    if unknown := set(options) - {"problems", "precisions", "probe", "runs", "out"}:
        raise SystemExit(f"{min(unknown)} is not an option: use problems=, precisions=, probe=, runs= and out=.")
    problems = options.get("problems", ",".join(PROBLEMS)).split(",")
    precisions = list(dict.fromkeys(["f32", *options.get("precisions", ",".join(PRECISIONS)).split(",")]))
    probe = options.get("probe", "off")
    root = Path(options.get("runs") or tempfile.mkdtemp()).absolute()
    device.prepare()
    about = device.describe()
    versions = ", ".join(f"{name} {about['versions'][name]}" for name in ("jax", "jaxlib", "flax"))
    lines = [f"{about['device']}; {versions}; {SEEDS} seeds", ""]
    lines += ["| problem | precision | metric | mean (95 % interval) | failed | time |", "|---|---|---|---|---|---|"]
    for problem in problems:
        folders = {precision: root / problem / precision for precision in precisions}
        results = {precision: train(problem, precision, folder, probe) for precision, folder in folders.items()}
        same = "tf32" in folders and same_metrics(folders["f32"], folders["tf32"])
        lines += rows_of(problem, results, same, time_ratios(problem, precisions))
        print("\n".join(lines), flush=True)
    if "out" in options:
        Path(options["out"]).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
