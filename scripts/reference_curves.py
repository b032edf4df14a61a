"""Trains every loss as it should be, collapsed and saturated: the figures and tables of docs/curves.md.

    python scripts/reference_curves.py [out=docs] [keep=FOLDER] [losses=hinge,minimax] [steps=2000]

The three kinds of run differ in the learning rate of the generator only: they and their seeds are one population.
The sweeps are kept in the folder `keep` and are not trained again if they are there.
"""

from __future__ import annotations

import io
import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure
from PIL import Image
from train_sweep import train_sweep

from ganrun.storage.sweep_directory import runs_of

KINDS = {"healthy": 1e-3, "collapsed": 0.1, "saturated": 1e-6}  # learning rates of the generator
SEEDS = 3
# Penalties of the losses that are not used without one.
PENALTIES = {
    "wasserstein": "gradient_penalty",
    "cramer": "gradient_penalty",
    "logistic": "r1",
    "relativistic": "[r1,r2]",
    "relativistic_average": "[r1,r2]",
}
LOSSES = (
    *("minimax", "nonsaturating", "maximum_likelihood", "logistic", "feature_matching", "fgan", "hinge"),
    *("least_squares", "wasserstein", "cramer", "relativistic", "relativistic_average"),
)
COMMAND = (
    *("dataset=ring", "dataset.std=0.1", "batch_size=128", "ema.decay=0", "probe=off", "metric=modes"),
    *("architecture.generator_hidden=[64,64]", "architecture.discriminator_hidden=[64,64]"),
    *("optimizer.generator.decay=constant", "optimizer.discriminator.decay=constant"),
    *("log.every=20", "log.pictures=1", "evaluate.share=1"),
)
ROWS = (  # the tags of each row of a figure: the first of these pairs that a run logs
    (("D(x)", "D(G(z))"), ("critic/real", "critic/fake")),
    (("value",), ("value/pair",), ("loss/discriminator", "loss/generator")),
)
COLOURS = ("#1f77b4", "#d95f02")
RANGES = {"D(x)": (0.0, 1.0), "value": (-3.0, 0.1), "value/pair": (-0.5, 0.75)}  # what lies outside is cut off
LEVELS = {"D(x)": 0.5, "value": -math.log(4), "value/pair": 0.0}  # where D cannot tell data from samples
COLUMNS = (
    "D(x)",
    "D(G(z))",
    "value",
    "critic/real",
    "critic/fake",
    "value/pair",
    "loss/generator",
    "grad_norm/generator",
)
FAILED = "all end with NaN or Inf"
MARKS = ("<!-- results -->\n", "<!-- end of results -->")


def words(loss: str, steps: int) -> list[str]:
    """Return the settings of the sweep of ``loss``."""
    listed = ",".join(f"{rate:g}" for rate in KINDS.values())
    penalty = [f"penalty={PENALTIES[loss]}"] if loss in PENALTIES else []
    varied = [f"optimizer.generator.learning_rate={listed}", f"seed=range({SEEDS})", f"steps={steps}"]
    return [f"loss={loss}", *penalty, *COMMAND, *varied]


def trained(loss: str, steps: int, folder: Path) -> dict[str, list[list[dict[str, Any]]]]:
    """Return the rows of metrics of each run of each kind that reached its end; train the sweep if it is not there."""
    if not (folder / "sweep.json").is_file():
        train_sweep(words(loss, steps), folder)
    found: dict[str, list[list[dict[str, Any]]]] = {kind: [] for kind in KINDS}
    for run in runs_of(folder):
        config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        rate = config["optimizer"]["generator"]["learning_rate"]
        if json.loads((run / "summary.json").read_text(encoding="utf-8"))["status"] != "completed":
            continue
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        kind = next(kind for kind, of_kind in KINDS.items() if math.isclose(of_kind, rate))
        found[kind].append([json.loads(line) for line in lines])
    return found


def curve(runs: Sequence[Sequence[Mapping[str, Any]]], tag: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps at which all runs have ``tag``, and its values ``(runs, steps)``."""
    series = [{row["step"]: row[tag] for row in rows if row.get(tag) is not None} for rows in runs]
    steps = sorted(set.intersection(*(set(of_run) for of_run in series)))
    return np.array(steps), np.array([[of_run[step] for step in steps] for of_run in series])


def draw(loss: str, found: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> Image.Image:
    """Return the figure of ``loss``: a column for each kind, the mean of the seeds within their lowest and highest."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    panels: Any = figure.subplots(len(ROWS), len(KINDS), sharex=True, sharey="row")
    tags = [next(tags for tags in row if tags[0] in found["healthy"][0][-1]) for row in ROWS]
    for column, kind in enumerate(KINDS):
        for row, shown in enumerate(tags):
            axes = panels[row, column]
            if not found[kind]:
                axes.text(0.5, 0.5, FAILED, transform=axes.transAxes, ha="center")
                continue
            for tag, colour in zip(shown, COLOURS, strict=False):
                steps, values = curve(found[kind], tag)
                axes.plot(steps, values.mean(axis=0), color=colour, label=tag, linewidth=1)
                axes.fill_between(steps, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.25, linewidth=0)
            if shown[0] in LEVELS:
                axes.axhline(LEVELS[shown[0]], color="grey", linewidth=0.8, linestyle="--")
            axes.grid(alpha=0.3)
        panels[0, column].set_title(kind)
        panels[-1, column].set_xlabel("step")
    for row, shown in enumerate(tags):
        limit(panels[row], [curve(found["healthy"], tag)[1] for tag in shown], shown)
        panels[row, 0].legend(fontsize="small")
    figure.suptitle(f"loss={loss}")
    file = io.BytesIO()
    figure.savefig(file, dpi=100)
    return Image.open(file).convert("RGB").quantize(64)


def limit(panels: Any, healthy: Sequence[np.ndarray], tags: Sequence[str]) -> None:
    """Give a row of panels the range of its tags, or a scale that shows large and small scores."""
    if tags[0] in RANGES:
        panels[0].set_ylim(*RANGES[tags[0]])
    else:
        size = max(float(np.abs(values).max()) for values in healthy)
        for axes in panels:
            axes.set_yscale("symlog", linthresh=max(size, 1e-3))


def table(loss: str, found: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> str:
    """Return the means over the last quarter of the steps, of all seeds with their range, and the modes at the end."""
    logged = [tag for tag in COLUMNS if tag in found["healthy"][0][-1]]
    lines = [f"| loss={loss} | {' | '.join(f'`{tag}`' for tag in logged)} | modes of 8 |"]
    lines.append("|---" * (len(logged) + 2) + "|")
    for kind, runs in found.items():
        if not runs:
            lines.append(f"| {kind} | {FAILED}{' |' * (len(logged) + 1)}")
            continue
        cells = []
        for tag in logged:
            steps, values = curve(runs, tag)
            means = values[:, steps > 0.75 * steps[-1]].mean(axis=1)
            cells.append(f"{means.mean():.3g} ({means.min():.3g} to {means.max():.3g})")
        modes = ", ".join(str(int(rows[-1]["modes/covered"])) for rows in runs)
        ended = f" ({SEEDS - len(runs)} of {SEEDS} ended with NaN or Inf)" if len(runs) < SEEDS else ""
        lines.append(f"| {kind}{ended} | {' | '.join(cells)} | {modes} |")
    return "\n".join(lines)


def main() -> None:
    """Train, draw and write the figures, and the tables into the page."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    out, steps = Path(given.get("out", "docs")), int(given.get("steps", 2000))
    losses = given.get("losses", ",".join(LOSSES)).split(",")
    parts = []
    with tempfile.TemporaryDirectory() as scratch:
        keep = Path(given.get("keep", scratch))
        for loss in losses:
            found = trained(loss, steps, keep / loss)
            (out / "gallery" / "curves").mkdir(parents=True, exist_ok=True)
            draw(loss, found).save(out / "gallery" / "curves" / f"{loss}.png", optimize=True)
            parts.append(f"### {loss}\n\n![Curves of loss={loss}](gallery/curves/{loss}.png)\n\n{table(loss, found)}\n")
            print(table(loss, found), flush=True)
    page = out / "curves.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else "".join(MARKS)
    before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
    page.write_text(before + MARKS[0] + "\n" + "\n".join(parts) + "\n" + MARKS[1] + after, encoding="utf-8")


if __name__ == "__main__":
    main()
