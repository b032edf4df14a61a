"""Benchmarks losses, penalties and tricks over several seeds, trained as populations.

    python scripts/bench_variants.py part=grid|ring|line|collapse|helvetica|rises|bigan [seeds=5] [out=FILE.md]

Prints a table with means, 95 % intervals (Student's t) and failures; runs are stored in a temporary folder, or in
``runs=FOLDER``. The expected results are in the comments of the parts below.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ganrun.comparison.statistics import mean_interval
from ganrun.training import device

TAGS = ("modes/covered", "modes/kl", "modes/high_quality", "jsd/exact")
GRID = ("dataset=grid", "architecture.generator_hidden=[96,96,96]", "architecture.discriminator_hidden=[96,96,96]")
CONSTANT = tuple(f"optimizer.{player}.decay=constant" for player in ("generator", "discriminator"))
LONG = (*GRID, "steps=30000", "batch_size=256")
SHORT = (*GRID, "steps=10000", "batch_size=256", "architecture.slope=0.01")
MANY = ("log.every=1", "ema.decay=0", "dataset=mixture1d")

# part -> variants by name, each a list of command-line arguments.
PARTS: dict[str, dict[str, tuple[str, ...]]] = {
    # r3gan: 25 of 25 modes with mode KL <= .02 for at least 4 of 5 seeds; nonsaturating at a constant rate does not.
    "grid": {
        "experiment=r3gan": ("experiment=r3gan",),
        "nonsaturating, constant rate": (*LONG, *CONSTANT),
        "nonsaturating, cosine": LONG,
    },
    # The preset reaches an exact JSD of at most .09.
    "ring": {"experiment=ring": ("experiment=ring",), "defaults": ()},
    # The preset reaches an exact JSD of at most .03; the goal is below .01.
    "line": {"experiment=mixture1d": ("experiment=mixture1d",), "defaults": ("dataset=mixture1d",)},
    # Each variant is compared with the baseline of the same seed in mode KL.
    "collapse": {
        "baseline": SHORT,
        "packing 2": (*SHORT, "inputs.packing=2"),
        "packing 4": (*SHORT, "inputs.packing=4"),
        "minibatch discrimination": (
            *SHORT,
            "architecture.minibatch=discrimination",
            "architecture.minibatch_kernels=4",
        ),
        "minibatch standard deviation": (*SHORT, "architecture.minibatch=stddev"),
        "unrolled 5": (*SHORT, "generator_update.unrolled=5"),
    },
    # Generator updates per discriminator update, of which there are 1500: 7.1 to 7.6 effective modes of 8, down to 1.
    "helvetica": {
        f"{turns} to 1": ("steps=1500", f"schedule.generator_steps={turns}", *CONSTANT, "ema.decay=0")
        for turns in (1, 10, 40)
    },
    # Share of steps in which the exact JSD rises: 52 to 54 % with k = 1; 19 % with k = 100 and a slow G.
    "rises": {
        "k = 1, rate 1e-3": (*MANY, *CONSTANT, "steps=400", "log.pictures=400"),
        "k = 100, G's rate 1e-4": (
            *MANY,
            *CONSTANT,
            "steps=400",
            "log.pictures=400",
            "schedule.k=100",
            "optimizer.generator.learning_rate=1e-4",
        ),
    },
    # Error of E(G(z)) for z: MSE / var below .05.
    "bigan": {"2-D Gaussian": ("dataset=grid", "dataset.side=1", "dataset.std=1", "inference=bigan", "steps=8000")},
}


def trained(words: tuple[str, ...], seeds: int, folder: Path) -> tuple[list[Path], float]:
    """Train ``seeds`` runs of ``words`` as one population in ``folder``; return their folders and the seconds."""
    quiet = () if any(word.startswith("log.pictures") for word in words) else ("log.pictures=1",)
    command = [sys.executable, "-m", "ganrun", "train", "-m", *words, f"seed=range(0,{seeds})", "probe=off", *quiet]
    begun = time.perf_counter()
    done = subprocess.run([*command, f"hydra.sweep.dir={folder}"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [folder / str(seed) for seed in range(seeds)], time.perf_counter() - begun


def last(run: Path) -> dict[str, Any]:
    """Return the summary of a run."""
    return json.loads((run / "summary.json").read_text(encoding="utf-8"))


def effective_modes(run: Path) -> float:
    """Return the exponential of the entropy of the distribution of high-quality samples over the eight modes."""
    return 8 * math.exp(-last(run)["metrics"]["modes/kl"])


def share_of_rises(run: Path) -> float:
    """Return the share of steps in which the exact divergence rises."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return float(np.mean(np.diff([row["jsd/exact"] for row in rows]) > 0))


def inference_error(run: Path) -> float:
    """Return MSE / var of E(G(z)) for z on 10 000 latents, with the averaged networks."""
    import jax

    from ganrun.evaluation.load_run import load_run as learnt
    from ganrun.latent_space import latent_error
    from ganrun.storage.run_directory import load_config

    experiment, state = learnt(run, load_config(run))
    prior, variables = experiment.method.prior, experiment.variables(state)
    assert prior is not None
    z = prior.draw(jax.random.key(1), 10_000)
    return latent_error(np.asarray(z), np.asarray(experiment.encode(variables, experiment.decode(variables, z))))


READ = {"helvetica": ("effective modes", effective_modes), "rises": ("share of rises", share_of_rises)}
READ |= {"bigan": ("MSE / var of E(G(z))", inference_error)}


def told(values: list[float]) -> str:
    """Return the mean of ``values`` as text, with its interval unless there are too few or all are equal."""
    found = mean_interval(np.array(values))
    return f"{found.value:.4g}" + ("" if np.isnan(found.low) else f" ({found.low:.3g} to {found.high:.3g})")


def row(part: str, name: str, words: tuple[str, ...], seeds: int, folder: Path) -> tuple[str, list[float]]:
    """Train one variant; return its row of the table, and the mode KL of its runs if they have one."""
    runs, took = trained(words, seeds, folder)
    good = [run for run in runs if last(run)["status"] == "completed"]
    cells = [name, f"{len(good)} of {seeds}"]
    kls: list[float] = []
    if part in READ:
        values = [READ[part][1](run) for run in good]
        cells += [told(values), " ".join(f"{value:.3g}" for value in values)]
    else:
        seen = [last(run)["metrics"] for run in good]
        kls = [one["modes/kl"] for one in seen if one.get("modes/kl") is not None]
        for tag in TAGS:
            values = [one[tag] for one in seen if one.get(tag) is not None]
            cells.append(told(values) if values else "")
        cells.append(" ".join(f"{one['modes/covered']:.0f}:{one['modes/kl']:.3f}" for one in seen))
    return f"| {' | '.join([*cells, f'{took:.0f}'])} |", kls


def main() -> None:
    """Print the table, and write it to ``out`` if given."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    part, seeds = given["part"], int(given.get("seeds", 5))
    device.prepare()
    about = device.describe()
    columns = [READ[part][0], "each"] if part in READ else [*TAGS, "covered:KL of each"]
    lines = [f"`part={part} seeds={seeds}`, {about['device']}, jax {about['versions']['jax']}", ""]
    lines += [f"| {' | '.join(['', 'completed', *columns, 'seconds'])} |", "|---" * (len(columns) + 3) + "|"]
    first: list[float] = []
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(given.get("runs", temporary)).resolve()
        for i, (name, words) in enumerate(PARTS[part].items()):
            line, kls = row(part, name, words, seeds, place / part / str(i))
            lines.append(line)
            print(line, file=sys.stderr, flush=True)
            if part == "collapse" and i == 0:
                first = kls
            elif part == "collapse":
                difference = [one - other for one, other in zip(kls, first, strict=True)]
                lines[-1] += f" mode KL minus baseline, paired by seed: {told(difference)}"
    text = "\n".join(lines) + "\n"
    print(text)
    if "out" in given:
        Path(given["out"]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
