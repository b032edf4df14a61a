"""A GAN beside models with an explicit density, on the same data: likelihood, divergence, quality and sampling time.

    python scripts/rivals.py [data=ring,digits,mnist] [models=gan,vae,...] [seeds=3] [n=2000] [fraction=1]
        [runs=FOLDER] [out=FILE.md]

Every model is trained with ``seeds`` seeds and evaluated by ``ganrun eval`` with ``n`` samples against held-out data.
Numbers are means over the seeds with 95 % intervals; a run that fails is counted. ``fraction`` shortens all runs. The
log-likelihood is that of held-out data in nats: exact, a lower bound, or an estimate, as its column says. For images of
one channel it is that of images binarised anew, except for flows, whose bound is that of the bytes, so that the two
cannot be compared; ``parzen`` is that by Parzen windows around the samples. Sampling is timed for 1000 samples after a
first call. Runs stay in ``runs=FOLDER`` and are not trained again if they are there.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from train_sweep import train_sweep

from ganrun.comparison.statistics import mean_interval
from ganrun.evaluation.load_run import load_run
from ganrun.evaluation.metrics.spec import bounds
from ganrun.storage.run_directory import load_config

Words = tuple[str, ...]
VECTORS: dict[str, Words] = {
    "gan": (),
    "gan preset": ("experiment=ring",),
    "vae": ("method=vae",),
    "drifting": ("experiment=drifting",),
    "made": ("method=autoregressive", "architecture=made"),
    "spline flow": ("method=flow", "architecture=spline"),
}
DIGITS: dict[str, Words] = {
    "gan": ("architecture=dcgan", "architecture.width=32", "steps=6000"),
    "vae": ("method=vae", "steps=10000"),
    "iwae": ("method=vae", "method.objective=iwae", "method.training_samples=10", "steps=10000"),
    "fvsbn": ("method=autoregressive", "architecture=fvsbn", "steps=10000"),
    "made": ("method=autoregressive", "architecture=made", "steps=10000"),
    "pixelcnn": ("method=autoregressive", "architecture=pixelcnn", "steps=1000"),
    "realnvp": ("method=flow", "architecture=realnvp", "steps=2000"),
    "rbm": ("method=rbm", "steps=6000"),
    "dbm": ("method=dbm", "method.hidden=[100,50]", "steps=4000"),
    "gsn": ("method=gsn", "steps=3000"),
}
# About five minutes of one core for three seeds each, and nine to twenty for convolutional networks.
MNIST: dict[str, Words] = {
    "gan": ("experiment=dcgan", "architecture.width=32", "batch_size=64", "steps=2000"),
    "vae": ("experiment=vae", "steps=5500"),
    "iwae": ("experiment=iwae", "method.training_samples=10", "batch_size=100", "steps=2750"),
    "fvsbn": ("experiment=fvsbn", "steps=8000"),
    "made": ("experiment=made", "steps=5500"),
    "pixelcnn": ("experiment=pixelcnn", "batch_size=16", "steps=1000"),
    "realnvp": ("experiment=realnvp", "steps=600"),
    "rbm": ("experiment=rbm", "steps=3000"),
    "gsn": ("experiment=gsn", "architecture.hidden=[500,500]", "method.sample_steps=200", "steps=1500"),
}
MODELS = {"ring": VECTORS, "digits": DIGITS, "mnist": MNIST}
# The log densities that a method may have, the most informative first, and what they are.
KINDS = {
    "log_likelihood": "exact",
    "log_likelihood_bound": "lower bound, bytes",
    "log_likelihood_ais": "estimate",
    "iwae": "lower bound",
    "mean_field_bound_ais": "lower bound minus an estimate",
}
SHOWN = {
    "ring": ("jsd/exact", "jsd/probe", "precision", "recall", "modes/covered"),
    "": ("jsd/probe", "precision", "recall", "parzen"),
}
DEFAULTS = {"data": ",".join(MODELS), "models": "", "seeds": "3", "n": "2000", "fraction": "1", "runs": "", "out": ""}
DRAWN = 1000  # samples whose drawing is timed


def place(runs: Path, data: str, model: str) -> Path:
    """Return the folder of the runs of ``model`` in ``runs``."""
    return (runs / data / re.sub("[^a-z0-9]+", "_", model)).resolve()


def train(words: Words, seeds: int, fraction: float, folder: Path) -> list[Path]:
    """Train the seeds of one model in ``folder``, unless they are there; return the directories of completed runs."""
    if len(list(folder.glob("*/summary.json"))) < seeds:
        more = [f"seed=range({seeds})", "probe=off", "evaluate.share=0.05"]
        if fraction != 1:
            more.append(f"steps={max(1, round(fraction * steps_of(words)))}")
        train_sweep((*words, *more), folder)
    found = sorted(folder.glob("*/summary.json"))
    return [path.parent for path in found if json.loads(path.read_text())["status"] == "completed"]


def steps_of(words: Words) -> int:
    """Return the number of steps of the run that ``words`` describe."""
    from ganrun.config.hydra_bridge import compose

    return int(compose("train", list(words))["steps"])


def evaluate(run: Path, n: int) -> dict[str, float]:
    """Return the metrics of ``ganrun eval`` by tag, kept in the run's directory."""
    file = run / f"eval_{n}.json"
    if not file.exists():
        words = [
            f"run={run}",
            f"n={n}",
            "metrics=[manifold,jsd,exact,modes,log_density,parzen]",
            "format=json",
            f"out={file}",
        ]
        subprocess.run([sys.executable, "-m", "ganrun", "eval", *words], check=True, stdout=subprocess.DEVNULL)
    (evaluation,) = json.loads(file.read_text())["evaluations"]
    return {tag: metric["value"] for tag, metric in evaluation["metrics"].items() if metric["value"] is not None}


def sampling_seconds(run: Path) -> float:
    """Return the seconds in which 1000 samples of a run are drawn in one call, after a first one."""
    config = load_config(run)
    experiment, state = load_run(run, config)
    variables = experiment.variables(state)

    def draw(seed: int) -> None:
        jax.block_until_ready(experiment.sample(variables, jax.random.key(seed), DRAWN))

    draw(0)
    begun = time.perf_counter()
    draw(1)
    return time.perf_counter() - begun


def cell(values: list[float], tag: str = "") -> str:
    """Return the mean of ``values`` of the metric ``tag`` with its 95 % interval, as text; empty if there are none."""
    if not values:
        return ""
    interval = mean_interval(np.array(values))
    low, high = np.clip([interval.low, interval.high], *bounds(tag))
    return f"{interval.value:.4g}" + (f" ({low:.4g} to {high:.4g})" if np.isfinite(low) else "")


def line(data: str, model: str, runs: list[Path], seeds: int, n: int) -> str:
    """Return the row of the table for the completed ``runs`` of ``model``."""
    found = [evaluate(run, n) for run in runs]
    tag = next((tag for tag in KINDS if found and tag in found[0]), None)
    density = f"{cell([one[tag] for one in found], tag)}, {KINDS[tag]}" if tag else "none"
    values = [cell([one[shown] for one in found if shown in one], shown) for shown in SHOWN.get(data, SHOWN[""])]
    seconds = cell([sampling_seconds(run) for run in runs[:1]])
    trained = cell([json.loads((run / "summary.json").read_text())["seconds"] for run in runs])
    failed = f" ({seeds - len(runs)} of {seeds} failed)" if len(runs) < seeds else ""
    return f"| {model}{failed} | {density} | {' | '.join(values)} | {seconds} | {trained} |"


def header(data: str) -> list[str]:
    """Return the first two lines of the table of ``data``."""
    shown = [f"`{tag}`" for tag in SHOWN.get(data, SHOWN[""])]
    columns = ["model", "log p(x), nats", *shown, f"seconds for {DRAWN} samples", "seconds of training"]
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def main() -> None:
    """Train and evaluate what is missing, and print or write the tables."""
    given = DEFAULTS | dict(word.split("=", 1) for word in sys.argv[1:])
    if unknown := set(given) - set(DEFAULTS):
        sys.exit(f"'{min(unknown)}' is not an option: there are {', '.join(DEFAULTS)}.")
    seeds, n, fraction = int(given["seeds"]), int(given["n"]), float(given["fraction"])
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        for data in given["data"].split(","):
            if data not in MODELS:
                sys.exit(f"data: there is no '{data}', only {', '.join(MODELS)}.")
            lines += [f"## {data}", "", *header(data)]
            for model in given["models"].split(",") if given["models"] else MODELS[data]:
                if model not in MODELS[data]:
                    sys.exit(f"models: there is no '{model}' for {data}, only {', '.join(MODELS[data])}.")
                folder = place(Path(given["runs"] or temporary), data, model)
                words = (*(() if data == "mnist" else (f"dataset={data}",)), *MODELS[data][model])
                lines.append(line(data, model, train(words, seeds, fraction, folder), seeds, n))
                print(lines[-1], flush=True)
            lines.append("")
    text = "\n".join(lines)
    if given["out"]:
        Path(given["out"]).write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
