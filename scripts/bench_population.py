"""Benchmarks a sweep as a population against one process per run.

    python scripts/bench_population.py [runs=32] [timed=runs] [members=1,8,64] [out=FILE.md] [KEY=VALUE ...]

Trains the same ``runs`` seeds of `ganrun train KEY=VALUE ...` in three ways, each from a cold start without the
compilation cache: as a population (`-m`), sequentially in one process (`-m hydra/launcher=basic`), and in sequential
processes, as with other tools. The last two train only ``timed`` runs, and their time is extrapolated. With ``members``
it trains populations of those sizes instead, and reports runs per minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ganrun.training import device


def seconds(words: list[str]) -> float:
    """Return how long one `ganrun train` command takes, from start to exit."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "ganrun", "train", *words]
        done = subprocess.run(
            command, cwd=folder, env=os.environ | {"GANRUN_CACHE": "off"}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return time.perf_counter() - begun


def ways(runs: int, timed: int, words: list[str]) -> list[str]:
    """Return the table of the three ways."""
    seeds = f"seed=range(0,{runs})"
    population = seconds(["-m", seeds, *words])
    print(f"population: {population:.1f} s", file=sys.stderr, flush=True)
    each = []
    for seed in range(timed):
        each.append(seconds([f"seed={seed}", *words]))
        print(f"process {seed}: {each[-1]:.1f} s", file=sys.stderr, flush=True)
    processes = sum(each) / timed * runs
    basic = seconds(["-m", f"seed=range(0,{timed})", "hydra/launcher=basic", *words]) / timed * runs
    counted = "" if timed == runs else f", from {timed} of them"
    lines = [f"| {runs} runs as | seconds | relative to the population |", "|---|---|---|"]
    for name, took in (
        ("members of one program", population),
        (f"one after another in one process{counted}", basic),
        (f"one process after another{counted}", processes),
    ):
        lines.append(f"| {name} | {took:.1f} | {took / population:.2f} |")
    return lines


def sizes(members: list[int], words: list[str]) -> list[str]:
    """Return the table of runs per minute by population size."""
    lines = ["| members | seconds | runs per minute |", "|---|---|---|"]
    for count in members:
        took = seconds(["-m", f"seed=range(0,{count})", f"population.members={count}", *words])
        lines.append(f"| {count} | {took:.1f} | {60 * count / took:.1f} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> None:
    """Print the table, and write it to ``out`` if given."""
    own = ("runs", "timed", "members", "out")
    given = dict(word.split("=", 1) for word in sys.argv[1:] if word.split("=", 1)[0] in own)
    words = [word for word in sys.argv[1:] if word.split("=", 1)[0] not in own]
    runs = int(given.get("runs", 32))
    device.prepare()
    about = device.describe()
    said = " ".join(word for word in sys.argv[1:] if not word.startswith("out="))
    lines = [f"`python scripts/bench_population.py {said}`, {about['device']}, jax {about['versions']['jax']}", ""]
    if "members" in given:
        lines += sizes([int(count) for count in given["members"].split(",")], words)
    else:
        lines += ways(runs, min(runs, int(given.get("timed", runs))), words)
    print("\n".join(lines))
    if "out" in given:
        Path(given["out"]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
