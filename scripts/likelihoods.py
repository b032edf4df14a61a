"""Held-out log-likelihood of the explicit models on MNIST against the time of training: the table of likelihoods.md.

    python scripts/likelihoods.py [models=fvsbn,made,...] [seeds=0,1,...] [runs=FOLDER] [steps=N] [out=FILE.md]
        [figure=FILE.png]

Every model is one run of a preset for each of ``seeds`` (0), evaluated at several steps with its averaged weights. The
interval of one run is over the held-out images; of several, all values are shown, with their mean and its interval if
there are three or more. The processor time of the whole command is measured, and the longest of the seeds is shown: the
steps of each model are chosen so that it is within fifteen minutes on one core, to which ``taskset -c 1 python
scripts/likelihoods.py`` confines it. ``steps`` replaces those of all models. The figure shows the first seed. Runs stay
in ``runs=FOLDER`` and are not trained again if they are there. ``GANRUN_DATA`` must hold MNIST. Less than two hours for
each seed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ganrun.comparison.statistics import mean_interval

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Model:
    """A run and what is known about its number.

    Attributes:
        words: settings of ``ganrun train``.
        tag: the metric that is compared.
        kind: what it is.
        binarisation: of the held-out images.
        goal: what ganrun aims at within fifteen minutes of a core.
        published: value of a paper, after longer training or of a larger network.
    """

    words: tuple[str, ...]
    tag: str
    kind: str
    binarisation: str
    goal: float
    published: str


ANEW = "anew"  # binarised anew for each evaluation, with the grey value as the probability of white
MODELS: dict[str, Model] = {
    "fvsbn": Model(("experiment=fvsbn",), "log_likelihood", "exact", ANEW, -97, "-96.6"),
    "made": Model(("experiment=made",), "log_likelihood", "exact", ANEW, -88, "-84.9 to -86.6"),
    "pixelcnn": Model(("experiment=pixelcnn",), "log_likelihood", "exact", ANEW, -86, "-81.5"),
    "vae": Model(("experiment=conv_vae",), "elbo", "lower bound", ANEW, -90, "-86.8"),
    "iwae": Model(
        ("experiment=conv_vae", "method.objective=iwae", "method.training_samples=5", "steps=9000"),
        *("iwae", "lower bound, 50 latents", ANEW, -86.5, "-84.8"),
    ),
    "rbm": Model(
        ("experiment=rbm", "method.ais_steps=5000"), "log_likelihood_ais", "estimate", ANEW, -90, "about -86.3"
    ),
    "realnvp": Model(("experiment=realnvp",), "bits_per_dim/log_likelihood_bound", "lower bound", "bytes", 2.0, "1.06"),
    "gsn": Model(
        ("experiment=gsn", "architecture.hidden=[500,500]", "method.sample_steps=200", "steps=16000"),
        *("parzen", "Parzen windows around 10 000 samples", "grey", 214, "214 ± 1.1"),
    ),
}
CURVE = ("log.pictures=12", "probe=off")
DEFAULTS = {"models": ",".join(MODELS), "seeds": "0", "runs": "", "steps": "", "out": "", "figure": ""}
LOWEST = -115.0  # nats, where the figure ends
TITLE = "MNIST; dots: 1 000 held-out images, at the end all; thin lines: training images; dotted: goals, by colour"
PARTS = 60  # of a run, over which the values of its training minibatches are averaged


def processor_seconds(command: list[str]) -> float:
    """Run ``command`` and return the seconds of processor time that it and its children took.

    Raises:
        SystemExit: if it fails.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}.")
    return usage.ru_utime + usage.ru_stime


def folder_of(runs: Path, name: str, seed: str) -> Path:
    """Return the run directory of the model ``name`` trained with ``seed``."""
    return runs / (name if seed == "0" else f"{name}-seed{seed}")


def train(model: Model, seed: str, steps: str, run: Path) -> float:
    """Train ``model`` in ``run``, unless it is there; return the seconds of processor time of the command."""
    file = run / "processor_seconds.json"
    if not file.is_file():
        length = [f"steps={steps}"] if steps else []
        words = [*model.words, *CURVE, *length, f"seed={seed}", f"hydra.run.dir={run}"]
        seconds = processor_seconds([sys.executable, "-m", "ganrun", "train", *words])
        file.write_text(json.dumps(seconds), encoding="utf-8")
    return float(json.loads(file.read_text(encoding="utf-8")))


def rows_of(run: Path) -> Rows:
    """Return the rows of the metrics of ``run``, each with its share of the processor time, in proportion to steps."""
    rows: Rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    cost = float(json.loads((run / "processor_seconds.json").read_text(encoding="utf-8")))
    for row in rows:
        row["minutes"] = cost / 60 * row["step"] / rows[-1]["step"]
    return rows


def parzen(run: Path) -> tuple[float, float]:
    """Return the log-likelihood of held-out images by ``ganrun eval``, in nats, and half of its 95 % interval."""
    file = run / "parzen.json"
    if not file.is_file():
        words = [f"run={run}", "metrics=[parzen]", "n=10000", "format=json", f"out={file}"]
        subprocess.run([sys.executable, "-m", "ganrun", "eval", *words], check=True, stdout=subprocess.DEVNULL)
    (evaluation,) = json.loads(file.read_text(encoding="utf-8"))["evaluations"]
    metric = evaluation["metrics"]["parzen"]
    return metric["value"], (metric["high"] - metric["low"]) / 2


def held_out(model: Model, run: Path) -> tuple[float, float]:
    """Return the value of ``run`` on held-out images and half of its 95 % interval over them."""
    if model.tag == "parzen":
        return parzen(run)
    last = rows_of(run)[-1]
    return last[model.tag], 1.96 * last.get(f"{model.tag}_se", 0.0)


def line(name: str, runs: Sequence[Path], cost: float) -> str:
    """Return the row of the table of one model: ``runs`` are those of its seeds."""
    model = MODELS[name]
    values, halves = zip(*(held_out(model, run) for run in runs), strict=True)
    in_bits = model.tag.startswith("bits")
    reached = [value <= model.goal if in_bits else value >= model.goal for value in values]
    digits = 3 if in_bits else 2
    if len(runs) > 1:
        shown = ", ".join(f"{value:.{digits}f}" for value in values)
        if len(runs) > 2:  # the interval of two is 13 times as wide as their difference
            mean = mean_interval(np.array(values))
            shown += f"; mean {mean.value:.{digits}f} ({mean.low:.{digits}f} to {mean.high:.{digits}f})"
        verdict = f"reached by {sum(reached)} of {len(runs)}"
    else:
        shown = f"{values[0]:.{digits}f}" + ("" if in_bits else f" ± {halves[0]:.{digits}f}")
        verdict = "reached" if reached[0] else "not reached"
    return (
        f"| {name} | `{' '.join(model.words)}` | {model.binarisation} | {shown} | {model.kind} | {model.goal:g}, "
        f"{verdict} | {model.published} | {rows_of(runs[0])[-1]['step']} | {cost:.0f} |"
    )


def on_training_images(rows: Rows) -> tuple[list[float], list[float]]:
    """Return minutes and values of what training maximises, as means over parts of the run."""
    shown = [(row["minutes"], -row["loss"]) for row in rows if "loss" in row]
    size = max(1, len(shown) // PARTS)
    parts = [shown[start : start + size] for start in range(0, len(shown), size)]
    return [part[-1][0] for part in parts], [sum(value for _, value in part) / len(part) for part in parts]


def draw(runs: Mapping[str, Path], file: Path) -> None:
    """Draw the held-out value of each model against the minutes of processor time, nats beside bits per dimension."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    nats, bits = figure.subplots(1, 2, width_ratios=(2, 1))
    for name, run in runs.items():
        model = MODELS[name]
        rows = rows_of(run)
        points = [(row["minutes"], row[model.tag]) for row in rows[1:] if model.tag in row]
        if not points:
            continue
        axes = bits if model.tag.startswith("bits") else nats
        (drawn,) = axes.plot(*zip(*points, strict=True), marker=".", label=f"{name} ({model.kind})")
        axes.axhline(model.goal, color=drawn.get_color(), linewidth=0.7, linestyle=":")
        if axes is nats and model.kind != "estimate":
            axes.plot(*on_training_images(rows), color=drawn.get_color(), linewidth=0.7, alpha=0.6)
    nats.set_ylim(LOWEST, -80)
    bits.set_ylim(1.5, 4)
    nats.set_ylabel("held-out log p(x), nats")
    bits.set_ylabel("held-out bits per dimension")
    for axes in (nats, bits):
        axes.set_xlabel("minutes of processor time")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    figure.suptitle(TITLE, fontsize="medium")
    figure.savefig(file, dpi=100)


def main() -> None:
    """Train what is missing, and print or write the table and the figure."""
    given = DEFAULTS | dict(word.split("=", 1) for word in sys.argv[1:])
    if unknown := set(given) - set(DEFAULTS):
        sys.exit(f"'{min(unknown)}' is not an option: there are {', '.join(DEFAULTS)}.")
    names = given["models"].split(",")
    if missing := [name for name in names if name not in MODELS]:
        sys.exit(f"models: there is no '{missing[0]}', only {', '.join(MODELS)}.")
    header = "model | command | binarisation | held-out value | what it is | goal | published | steps | seconds"
    lines = [f"| {header} of processor |", "|---" * 9 + "|"]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder, seeds = Path(given["runs"] or temporary).resolve(), given["seeds"].split(",")
        for name in names:
            runs = [folder_of(folder, name, seed) for seed in seeds]
            trained = zip(seeds, runs, strict=True)
            costs = [train(MODELS[name], seed, given["steps"], run) for seed, run in trained]
            lines.append(line(name, runs, max(costs)))
            print(f"{time.strftime('%H:%M')} {lines[-1]}", flush=True)
        if given["out"]:
            Path(given["out"]).write_text("\n".join(lines) + "\n", encoding="utf-8")
        if given["figure"]:
            draw({name: folder_of(folder, name, seeds[0]) for name in names}, Path(given["figure"]))


if __name__ == "__main__":
    main()
