"""What ``stop.when`` saves and costs: steps saved and nats lost, over several seeds of ten runs with known densities.

    python scripts/early_stopping.py [problems=ring,pacgan,...] [patience=5,10,15] [times=40] [seeds=3]
        [runs=FOLDER] [out=FILE.md]

Every problem is trained to its end once, its seeds as one population, with ``jsd/exact`` evaluated ``times`` times.
The rule of :mod:`ganrun.training.plateau` depends on the rows of a run only, so where it would have ended the run is
read from them. Nats lost: ``jsd/exact`` at that step less that at the end, mean over the seeds with its 95 % interval.
The runs stay in ``runs=FOLDER`` and are not trained again if they are there. About an hour on one core of a CPU.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from train_sweep import train_sweep

from ganrun.comparison.statistics import mean_interval
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.config.settings import Train
from ganrun.training.plateau import Plateau

TAG = "jsd/exact"
PROBLEMS: dict[str, tuple[str, ...]] = {
    "ring": ("experiment=ring",),
    "mixture1d": ("experiment=mixture1d",),
    "pacgan": ("experiment=pacgan",),
    "unrolled": ("experiment=unrolled",),
    "nonsaturating": (),
    "hinge": ("loss=hinge",),
    "least squares": ("loss=least_squares",),
    "relativistic with R1 and R2": ("loss=relativistic", "penalty=[r1,r2]"),
    "Wasserstein with gradient penalty": ("loss=wasserstein", "penalty=gradient_penalty", "schedule.k=5"),
    "grid": ("dataset=grid",),
}
DEFAULTS = {"problems": ",".join(PROBLEMS), "patience": "5,10,15", "times": "40", "seeds": "3", "runs": "", "out": ""}
Row = dict[str, Any]


def rows_of(problem: str, times: int, seeds: int, folder: Path) -> list[list[Row]]:
    """Train the seeds of ``problem`` in ``folder``, unless they are there; return the rows of those that completed."""
    if len(list(folder.glob("*/summary.json"))) < seeds:
        words = [f"seed=range({seeds})", f"log.pictures={times}", "evaluate.share=1", "probe=off", *PROBLEMS[problem]]
        train_sweep(words, folder)
    found = []
    for path in sorted(folder.glob("*/summary.json")):
        if json.loads(path.read_text())["status"] == "completed":
            lines = (path.parent / "metrics.jsonl").read_text().splitlines()
            found.append([row for row in map(json.loads, lines) if row.get(TAG) is not None])
    return found


def stopped_at(rows: list[Row], config: Train) -> int:
    """Return the index of the row at which the run of ``rows`` would have ended: the one after the decisive one."""
    plateau = Plateau(config)
    for index, row in enumerate(rows[:-1]):
        plateau.see(int(row["step"]), row)
        if plateau.reason():
            return index + 1
    return len(rows) - 1


def line(problem: str, runs: list[list[Row]], config: Train, seeds: int) -> str:
    """Return the row of the table for the completed ``runs`` of ``problem``."""
    stops = [stopped_at(rows, config) for rows in runs]
    saved = [1 - rows[at]["step"] / rows[-1]["step"] for rows, at in zip(runs, stops, strict=True)]
    lost = [rows[at][TAG] - rows[-1][TAG] for rows, at in zip(runs, stops, strict=True)]
    end, interval = float(np.mean([rows[-1][TAG] for rows in runs])), mean_interval(np.array(lost))
    failed = f", {seeds - len(runs)} failed" if len(runs) < seeds else ""
    steps = f"{np.mean(saved):.0%} ({min(saved):.0%} to {max(saved):.0%}{failed})"
    nats = f"{np.mean(lost):+.4f} ({interval.low:+.4f} to {interval.high:+.4f})"
    return f"| {problem} | {config.stop.patience} | {end:.3f} | {steps} | {nats} |"


def main() -> None:
    """Train what is missing, and print or write the table."""
    given = DEFAULTS | dict(word.split("=", 1) for word in sys.argv[1:])
    if unknown := set(given) - set(DEFAULTS):
        sys.exit(f"'{min(unknown)}' is not an option: there are {', '.join(DEFAULTS)}.")
    times, seeds = int(given["times"]), int(given["seeds"])
    lines = [
        f"| run | `stop.patience` | `{TAG}` at the end | steps saved: mean (range) | nats lost: mean (95 % interval) |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as temporary:
        for problem in given["problems"].split(","):
            if problem not in PROBLEMS:
                sys.exit(f"problems: there is no '{problem}', only {', '.join(PROBLEMS)}.")
            folder = Path(given["runs"] or temporary) / problem.replace(",", "").replace(" ", "_")
            runs = rows_of(problem, times, seeds, folder)
            for patience in map(int, given["patience"].split(",")) if runs else ():
                config = check(compose("train", [f"stop.when={TAG}", *PROBLEMS[problem]]))
                config = replace(config, stop=replace(config.stop, patience=patience, times=times))
                lines.append(line(problem, runs, config, seeds))
                print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    if given["out"]:
        Path(given["out"]).write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
