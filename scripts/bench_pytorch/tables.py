"""The results of bench_vs_pytorch.py as Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from bench_pytorch.problems import PROBLEMS

GIGA, MEBI = 1e9, 2**20
VARIANTS = {"eager": "eager", "compile": "torch.compile", "graphs": "CUDA graphs"}


def page(results: dict[str, Any]) -> str:
    """Return all tables, for each machine and set of versions in ``results``."""
    return "\n\n".join(_section(key, content) for key, content in sorted(results.items())) + "\n"


def _section(key: str, content: dict[str, Any]) -> str:
    problems = {name: content["problems"][name] for name in PROBLEMS if name in content.get("problems", {})}
    blocks = [f"### {key}"]
    speeds = {name: one["speed"] for name, one in problems.items() if "speed" in one}
    if speeds:
        blocks += [SPEED, _speed_table(speeds), *_skipped(speeds), WORK, _work_table(speeds)]
    started = {name: one["start"] for name, one in problems.items() if "start" in one}
    if started:
        blocks += [START, _start_table(started)]
    if content.get("sweeps"):
        blocks += [SWEEPS, _sweep_table(content["sweeps"])]
    return "\n\n".join(blocks)


SPEED = (
    "Steps per second: medians of the pairs, and the median and the range of the ratios of ganrun to PyTorch within a "
    "pair. `ganrun train` is a whole run of so many steps with its default logging, without the probe, and with as "
    "many pictures per step as in a run of the default length (at least one). PyTorch logs "
    "nothing and keeps no moving average."
)
WORK = (
    "Work of the matrix products and convolutions of a step, as counted in each program; the share of the speed of a "
    "large product, and of the product with the most work in the step. Each product is timed in both, and the faster "
    "one counts."
)
START = (
    "Seconds from the command to the first step: `ganrun train` with an empty cache of programs, and with those of the "
    "run before; a script in PyTorch. Peak memory of the processes."
)
SWEEPS = (
    "Seconds of a whole sweep of the ring, from the command to its end: `ganrun train -m`, without compiled programs "
    "and with all its metrics, pictures and files; PyTorch, one run after another in one process, without any."
)


def _speed_table(problems: dict[str, Any]) -> str:
    rows = []
    for name, one in problems.items():
        pairs, ours = one["pairs"], one["ganrun"]
        for variant in VARIANTS:
            if variant not in pairs[0]:
                continue
            rows.append(
                [
                    PROBLEMS[name].title,
                    f"{ours['batch']}, {ours['k']}",
                    _number(_median(pairs, "bare")),
                    f"{_number(_median(pairs, 'loop'))} ({one['whole']} steps)",
                    VARIANTS[variant],
                    _number(_median(pairs, variant)),
                    ratio([pair["bare"] / pair[variant] for pair in pairs]),
                    ratio([pair["loop"] / pair[variant] for pair in pairs]),
                ]
            )
    head = ("problem", "batch, k", "ganrun step", "`ganrun train`", "PyTorch", "its steps/s", "step / PyTorch")
    return table((*head, "`ganrun train` / PyTorch"), rows)


def _skipped(problems: dict[str, Any]) -> list[str]:
    lines = [
        f"{PROBLEMS[name].title}, {VARIANTS[variant]}: left out, {reason}"
        for name, one in problems.items()
        for variant, reason in one["skipped"].items()
    ]
    return ["\n".join(f"- {line}" for line in lines)] if lines else []


def _work_table(problems: dict[str, Any]) -> str:
    rows = []
    for name, one in problems.items():
        work = [one["ganrun"]["flops"], one["pytorch"]["flops"]]
        rates = [work[0] * _median(one["pairs"], "bare"), work[1] * _median(one["pairs"], "eager")]
        products = {kind: max(speeds) for kind, speeds in one["products"].items()}
        rows.append(
            [
                PROBLEMS[name].title,
                f"{one['ganrun']['parameters']:,}".replace(",", " "),
                " / ".join(_number(flops / GIGA) for flops in work),
                " / ".join(_number(rate / GIGA) for rate in rates),
                " / ".join(_number(speed / GIGA) for speed in one["products"]["large"]),
                " / ".join(f"{rate / products['large']:.0%}" for rate in rates),
                "{0}x{1} @ {1}x{2}".format(*one["ganrun"]["dominant"]),
                " / ".join(_number(speed / GIGA) for speed in one["products"]["dominant"]),
                " / ".join(f"{rate / products['dominant']:.0%}" for rate in rates),
            ]
        )
    head = ("ganrun / PyTorch eager", "parameters", "GFLOP/step", "GFLOP/s", "large product, GFLOP/s", "share of it")
    return table((*head, "product with the most work", "its GFLOP/s", "share of it"), rows)


def _start_table(problems: dict[str, Any]) -> str:
    rows = []
    for name, one in problems.items():
        seconds = {kind: [row[kind]["first"] for row in one["rows"]] for kind in ("cold", "warm", "eager")}
        peaks = {kind: [row[kind]["peak"] / MEBI for row in one["rows"]] for kind in ("cold", "warm", "eager")}
        cells = [f"{statistics.median(values):.2f}" for values in seconds.values()]
        cells += [f"{statistics.median(peaks[kind]):.0f}" for kind in ("cold", "warm", "eager")]
        rows.append([PROBLEMS[name].title, *cells])
    head = ("problem", "ganrun, empty cache, s", "ganrun, filled cache, s", "PyTorch eager, s")
    return table((*head, "ganrun, empty cache, MiB", "ganrun, filled cache, MiB", "PyTorch eager, MiB"), rows)


def _sweep_table(sweeps: dict[str, Any]) -> str:
    rows = []
    for one in sweeps.values():
        pairs, partial = one["pairs"], one["timed"] < one["runs"]
        rows.append(
            [
                f"{one['runs']} x {one['steps']} steps",
                f"{statistics.median(pair['ganrun'] for pair in pairs):.1f}",
                f"{statistics.median(pair['pytorch'] for pair in pairs):.1f}"
                + (f", extrapolated from {one['timed']} of them" if partial else ""),
                ratio([pair["pytorch"] / pair["ganrun"] for pair in pairs]),
            ]
        )
    return table(("sweep", "ganrun, s", "PyTorch eager, s", "PyTorch / ganrun"), rows)


def ratio(values: Sequence[float]) -> str:
    """Return the median of ``values`` and their range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _median(pairs: list[dict[str, float]], what: str) -> float:
    return statistics.median(pair[what] for pair in pairs)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
