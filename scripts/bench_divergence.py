"""Benchmarks the accuracy and the cost of the divergence estimates.

    python scripts/bench_divergence.py [part=table|coverage|training] [seeds=3] [pairs="TEXT;TEXT"] [methods=A,B]
        [out=FILE.md]

table     every estimator on every pair of scripts/divergence_pairs.py: error, standard error, coverage, seconds, memory
coverage  how often the lower bound lies below what the probe's own classifiers score on large fresh samples
training  |jsd/probe - jsd/exact| along runs of `ganrun train` in one and two dimensions

Each estimate is computed in a separate process, so that its time and memory are measured independently.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import divergence_pairs as known
import numpy as np
from threadpoolctl import threadpool_limits

from ganrun.evaluation.divergence import estimators
from ganrun.evaluation.divergence.classifier import stack
from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.evaluation.divergence.estimate import scores
from ganrun.machine.cores import usable_cores
from ganrun.training import device

FROZEN = {1: 10_000, 2: 10_000, 8: 50_000, 32: 50_000}  # examples per distribution, by dimension
SEARCHED = 8  # maximum dimension for knn by default: beyond, its search takes many minutes
REPEATS, SIDE, FRESH = 200, 1000, 5_000


def measure(name: str, method: str, seed: int) -> dict[str, Any]:
    """Return one estimate on one pair, with its seconds and the peak memory of this process."""
    p, q = known.PAIRS[name]
    rng = np.random.default_rng([seed, 1])
    d = p.draw(rng, 2).shape[1]
    n = FROZEN[d]
    begun = time.perf_counter()
    a, b = (
        Distribution(name, (d,), draw=lambda n, s, one=one: one.draw(np.random.default_rng(s), n))
        if method == "streaming"
        else Distribution(name, (d,), rows=one.draw(rng, n))
        for one in (p, q)
    )
    found = estimators.estimate(a, b, method, seed=seed)
    seconds = time.perf_counter() - begun
    peak = peak_mib()
    return {"estimate": found.estimate, "se": found.se, "lower": found.lower, "seconds": seconds, "mib": peak}


def peak_mib() -> float:
    """Return the peak memory of this process; ``getrusage`` would include the parent process as well."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def apart(*words: str) -> dict[str, Any]:
    """Run this script as a worker and return what it prints."""
    done = subprocess.run([sys.executable, __file__, "worker", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def chosen(names: Iterable[str], given: dict[str, str]) -> list[str]:
    """Return those of ``names`` that contain one of the texts of ``pairs``; all of them if it is not given."""
    texts = given.get("pairs", "").split(";")
    return [name for name in names if any(text in name for text in texts)]


def table(given: dict[str, str], seeds: int) -> list[str]:
    """Return the table over pairs and methods; errors are means over the seeds, with the smallest and the largest."""
    lines = [
        "| pair | true | method | n a side | error, mean (range) | se | lower ≤ true | seconds | MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in chosen(known.PAIRS, given):
        true, _ = known.truth(name)
        d = known.PAIRS[name][0].draw(np.random.default_rng(0), 2).shape[1]
        for method in given.get("methods", "stack,streaming,knn" if d <= SEARCHED else "stack,streaming").split(","):
            found = [apart(f"pair={name}", f"estimator={method}", f"seed={seed}") for seed in range(seeds)]
            error = [one["estimate"] - true for one in found]
            column = {key: float(np.mean([one[key] for one in found])) for key in ("se", "seconds", "mib")}
            bounds = [one["lower"] for one in found]
            n = "endless" if method == "streaming" else str(FROZEN[d])
            lines.append(
                f"| {name} | {true:.4f} | {method} | {n} "
                f"| {np.mean(error):+.4f} ({min(error):+.4f} … {max(error):+.4f})"
                f" | {column['se']:.4f} | {_covered(bounds, true)} | {column['seconds']:.1f} | {column['mib']:.0f} |"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def _covered(bounds: list[float | None], true: float) -> str:
    """Return how many of ``bounds`` lie below the true value; "none" for a method without."""
    held = [bound <= true for bound in bounds if bound is not None]
    return f"{sum(held)}/{len(held)}" if held else "none"


def cover(shift: float, seed: int) -> dict[str, Any]:
    """Estimate N(0, 1) against N(shift, 1) from 1000 examples each, and score the classifiers on fresh examples."""
    rng = np.random.default_rng([seed, 7])
    real, fake = rng.standard_normal((SIDE, 1)), rng.standard_normal((SIDE, 1)) + shift
    scored = stack.cross_fit(real, fake, seed, 0.1, workers=usable_cores())
    limit = float(np.log(SIDE)) + 1.0
    found = stack.summarise(scored.real, scored.fake, limit, estimator="stack", d=1)
    fresh = rng.standard_normal((FRESH, 1))
    value = []
    for classify in scored.classifiers:
        on_real, on_fake = scores(classify(fresh).clip(-limit, limit), classify(fresh + shift).clip(-limit, limit))
        value.append(0.5 * (on_real.mean() + on_fake.mean()))
    own = float(np.mean(value))
    normal = found.estimate - 1.645 * found.se
    return {"own": own, "estimate": found.estimate, "lower": found.lower, "normal": normal}


def coverage(seeds: int) -> list[str]:
    """Return the table of how often the lower bounds hold, over ``REPEATS`` repeats."""
    del seeds
    lines = [
        "| shift | repeats | estimate, mean | classifiers' own value, mean | lower bound, mean | holds "
        "| normal bound holds |",
        "|---|---|---|---|---|---|---|",
    ]
    for shift in (1.0, 4.0):
        with threadpool_limits(1):
            found = [cover(shift, seed) for seed in range(REPEATS)]
        mean = {key: np.mean([one[key] for one in found]) for key in ("estimate", "own", "lower")}
        holds = [np.mean([one[key] <= one["own"] for one in found]) for key in ("lower", "normal")]
        lines.append(
            f"| {shift:g} | {REPEATS} | {mean['estimate']:.4f} | {mean['own']:.4f} | {mean['lower']:.4f} "
            f"| {holds[0]:.3f} | {holds[1]:.3f} |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


RUNS = {
    "mixture1d": ["dataset=mixture1d", "loss=minimax", "schedule.k=5", "steps=4000", "latent.dim=1"],
    "ring": ["dataset=ring", "steps=16000"],
    "ring, std .1": ["dataset=ring", "dataset.std=0.1", "steps=16000"],
}


def training(given: dict[str, str], seeds: int) -> list[str]:
    """Return the table of differences between probe and exact value during runs, 20 evaluations each."""
    budget = given.get("budget", "1")
    lines = [
        "| run | budget | seed | exact, first and last | abs. difference: median, largest | within .01 "
        "| seconds per evaluation |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in chosen(RUNS, given):
        for seed in range(seeds):
            probed = trained(
                [*RUNS[name], f"seed={seed}", "probe.times=20", "log.pictures=20", f"probe.budget={budget}"]
            )
            gap = np.array([abs(row["jsd/probe"] - row["jsd/exact"]) for row in probed])
            seconds = np.mean([row["probe/seconds"] for row in probed])
            lines.append(
                f"| {name} | {budget} | {seed} | {probed[0]['jsd/exact']:.3f}, {probed[-1]['jsd/exact']:.3f} "
                f"| {np.median(gap):.4f}, {gap.max():.4f} | {np.sum(gap <= 0.01)}/{len(gap)} | {seconds:.1f} |"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def trained(overrides: list[str]) -> list[dict[str, Any]]:
    """Train with ``overrides`` and return the rows with a probe's metrics."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ganrun", "train", *overrides, f"hydra.run.dir={folder}/run"]
        subprocess.run(command, check=True, capture_output=True)
        rows = [json.loads(line) for line in (Path(folder) / "run/metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "jsd/probe" in row]


def main() -> None:
    """Print the requested part, and write it to ``out`` if given."""
    given = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    device.prepare()
    if sys.argv[1:2] == ["worker"]:
        print(json.dumps(measure(given["pair"], given["estimator"], int(given["seed"]))))
        return
    seeds, part = int(given.get("seeds", 3)), given.get("part", "table")
    about = device.describe()
    said = " ".join(word for word in sys.argv[1:] if not word.startswith("out="))
    lines = [f"`python scripts/bench_divergence.py {said}`, {about['device']}, jax {about['versions']['jax']}", ""]
    lines += {"table": table, "training": training}[part](given, seeds) if part != "coverage" else coverage(seeds)
    print("\n".join(lines))
    if "out" in given:
        Path(given["out"]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
