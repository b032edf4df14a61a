"""Compares ganrun with plain PyTorch on the same networks, one measurement directly after the other.

    python scripts/bench_vs_pytorch.py [pytorch=PYTHON] [problems=ring,dcgan28] [repeats=3] [out=FILE.md] ...

PyTorch is not a dependency of ganrun. `python -m venv venv/pytorch && venv/pytorch/bin/pip install torch numpy`
installs it, and ``pytorch=venv/pytorch/bin/python`` names it. JAX and PyTorch run in processes of their own.

``problems``: ring, mnist_mlp, dcgan28, dcgan32, resnet, r3gan; all by default.
``variants``: of PyTorch: eager, compile, graphs (CUDA graphs); all by default, those that do not run are left out.
``parts``: speed (steps per second and work), start (seconds to the first step, memory); both by default.
``sweeps=on``: also sweeps of the ring, which take minutes: 16 runs of 1000 steps, and 32 of 16 000 (``long=off``: not).
``timed=2``: runs of PyTorch in the long sweep; the time of the others is extrapolated.
``seconds=5``: duration of one measurement; ``loop=20``: of a whole `ganrun train`, at most its default number of steps.
``threads=N``: cores that each process may use, all by default.
``ganrun=PYTHON``: Python with ganrun, this one by default. ``data_dir``: folder with mnist/, $GANRUN_DATA by default.
``keep=FILE.json``: adds the results to those in the file, so that problems can be measured one at a time.
``out=FILE.md``: writes the tables of all results, between the markers `<!-- results -->` if the file has them.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench_pytorch import pairs, tables
from bench_pytorch.problems import PROBLEMS
from bench_pytorch.workers import Setting, WorkerError

INSTALL = "pip install torch numpy, in an environment of its own, and name its Python: pytorch=FOLDER/bin/python"
MARKER, END = "<!-- results -->", "<!-- end of results -->"
VERSIONS = "import importlib.metadata as m, sys; print(*(m.version(name) for name in sys.argv[1:]))"
DEFAULTS = {
    "problems": ",".join(PROBLEMS),
    "variants": ",".join(tables.VARIANTS),
    "parts": "speed,start",
    "repeats": "3",
    "seconds": "5",
    "loop": "20",
    "sweeps": "off",
    "long": "on",
    "timed": "2",
    "threads": "0",
    "ganrun": sys.executable,
    "pytorch": sys.executable,
    "data_dir": os.environ.get("GANRUN_DATA", ""),
    "keep": "",
    "out": "",
}


def options(words: list[str]) -> dict[str, str]:
    """Return the options that ``words`` set, and the defaults of the others; exit if there is no such option."""
    given = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in DEFAULTS or not equals:
            sys.exit(f"'{word}' is not an option: there are {', '.join(DEFAULTS)}.")
        given[key] = value
    chosen = DEFAULTS | given
    for key, allowed in (("problems", PROBLEMS), ("variants", tables.VARIANTS), ("parts", ("speed", "start"))):
        if unknown := [name for name in chosen[key].split(",") if name and name not in allowed]:
            sys.exit(f"{key}: there is no '{unknown[0]}', only {', '.join(allowed)}.")
    return chosen


def versions(setting: Setting) -> str:
    """Return the machine and the versions of both, which name the results; exit if one of them is missing."""
    found = []
    for python, names, remedy in (
        (setting.ganrun, ("jax", "jaxlib"), "pip install -e ."),
        (setting.pytorch, ("torch",), INSTALL),
    ):
        done = subprocess.run([python, "-c", VERSIONS, *names], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{python} has no {names[0]}: {remedy}.")
        found += [f"{name} {version}" for name, version in zip(names, done.stdout.split(), strict=True)]
    cores = setting.threads or len(os.sched_getaffinity(0))
    return f"{platform.machine()}, {cores} cores: {', '.join(found)}"


def measure(given: dict[str, str], setting: Setting, results: dict[str, Any]) -> None:
    """Measure what is asked for, and add it to ``results``."""
    repeats, parts = int(given["repeats"]), given["parts"].split(",")
    problems = results.setdefault("problems", {})
    for name in filter(None, given["problems"].split(",")):
        one = problems.setdefault(name, {})
        try:
            if "speed" in parts:
                seconds, loop = float(given["seconds"]), float(given["loop"])
                one["speed"] = pairs.measured(name, given["variants"].split(","), repeats, seconds, loop, setting)
            if "start" in parts:
                one["start"] = pairs.starts(name, repeats, setting)
        except WorkerError as error:
            pairs.tell(f"{name} is left out: {error}")
    if given["sweeps"] == "on":
        _sweeps(given, repeats, setting, results)


def _sweeps(given: dict[str, str], repeats: int, setting: Setting, results: dict[str, Any]) -> None:
    """Measure the sweeps of the ring."""
    cases = {"16 short": (16, 1000, 16, ["steps=1000"])}
    if given["long"] == "on":
        cases["32 default"] = (32, 16_000, int(given["timed"]), [])
    for name, (runs, steps, timed, words) in cases.items():
        rows = [pairs.sweep(name, words, runs, steps, timed, setting) for _ in range(repeats)]
        case = {"runs": runs, "steps": steps, "timed": timed, "pairs": rows}
        results.setdefault("sweeps", {})[name] = case


def write(out: Path, text: str) -> None:
    """Write ``text`` to ``out``: between its markers if it has them, otherwise as the whole file."""
    before = out.read_text(encoding="utf-8") if out.exists() else ""
    if MARKER in before and END in before:
        head, tail = before.split(MARKER)[0], before.split(END)[1]
        text = f"{head}{MARKER}\n\n{text}\n{END}{tail}"
    out.write_text(text, encoding="utf-8")


def main() -> None:
    """Measure, and print or write the tables."""
    given = options(sys.argv[1:])
    setting = Setting(given["ganrun"], given["pytorch"], given["data_dir"] or None, int(given["threads"]))
    setting.limit()
    kept = Path(given["keep"]) if given["keep"] else None
    results = json.loads(kept.read_text(encoding="utf-8")) if kept and kept.exists() else {}
    try:
        measure(given, setting, results.setdefault(versions(setting), {}))
    finally:
        if kept:
            kept.write_text(json.dumps(results, indent=1), encoding="utf-8")
    text = tables.page(results)
    if given["out"]:
        write(Path(given["out"]), text)
    else:
        print(text)


if __name__ == "__main__":
    main()
