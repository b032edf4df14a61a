"""What bench_vs_pytorch.py measures of one problem: pairs of ganrun and PyTorch, one directly after the other."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench_pytorch.problems import PROBLEMS, Problem
from bench_pytorch.workers import Setting, Worker, WorkerError, ganrun_worker, pytorch_words, timed

QUIET = ("probe=off",)  # a fixed amount of work per run and not per step
FIRST = ("steps=2", "log.every=1", "log.pictures=0")  # of a run that is timed up to its first row of metrics
PRODUCT_SECONDS = 0.5


def tell(text: str) -> None:
    """Print progress to standard error."""
    print(text, file=sys.stderr, flush=True)


def measured(
    name: str, variants: list[str], repeats: int, seconds: float, loop: float, setting: Setting
) -> dict[str, Any]:
    """Return the speeds of problem ``name`` in ganrun and in each variant of PyTorch.

    Args:
        name: of the problem.
        variants: of PyTorch.
        repeats: number of pairs.
        seconds: duration of one measurement.
        loop: duration of a whole run of ganrun, unless its default number of steps takes less.
        setting: where and how the processes run.

    Raises:
        WorkerError: ganrun or eager PyTorch cannot run it, or the networks differ.
    """
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        ours = held.enter_context(ganrun_worker([*PROBLEMS[name].overrides, *QUIET], setting))
        images = str(folder / "images.npy")
        images = images if ours.ask("images", path=images) else None
        n = _calibrated(ours, seconds)
        found = ours.ask("describe")
        ours.ask("loop", n=min(n, 100))  # compiles what else a whole run needs
        whole = max(1, min(found["steps"], round(n * loop / seconds)))
        theirs, skipped = {}, {}
        for variant in variants:
            words = [setting.pytorch, *pytorch_words("serve", name, variant, images)]
            worker = held.enter_context(Worker(words, setting))
            try:
                theirs[variant] = (worker, _calibrated(worker, seconds))
            except WorkerError as error:
                skipped[variant] = str(error)
        if "eager" not in theirs:
            raise WorkerError(f"PyTorch: {skipped.get('eager', 'the variant eager is needed')}")
        plain = theirs["eager"][0]
        other = plain.ask("describe")
        if other["parameters"] != found["parameters"]:
            raise WorkerError(f"the networks differ: {found['parameters']} and {other['parameters']} parameters")
        result = {"ganrun": found, "pytorch": other | {"flops": plain.ask("flops")}, "skipped": skipped}
        result["products"] = _products(ours, plain, found)
        result["whole"] = whole
        result["pairs"] = [_pair(name, ours, n, whole, theirs) for _ in range(repeats)]
    return result


def _calibrated(worker: Worker, seconds: float) -> int:
    """Return how many steps take about ``seconds``; the first step, which may compile, does not count."""
    worker.ask("steps", n=2)
    n = 1
    while (taken := worker.ask("steps", n=n)) < min(0.5, seconds / 4):
        n *= 2
    return max(1, round(n * seconds / taken))


def _products(ours: Worker, theirs: Worker, found: dict[str, Any]) -> dict[str, list[float]]:
    """Return the operations per second of the large and the dominant product, in ganrun and in PyTorch."""
    return {
        kind: [worker.ask("product", shape=found[kind], seconds=PRODUCT_SECONDS) for worker in (ours, theirs)]
        for kind in ("large", "dominant")
    }


def _pair(name: str, ours: Worker, n: int, whole: int, theirs: dict[str, tuple[Worker, int]]) -> dict[str, float]:
    """Return steps per second of the bare step and of a whole run of ganrun, and of each variant of PyTorch."""
    speeds = {"bare": n / ours.ask("steps", n=n)}
    speeds |= {variant: steps / worker.ask("steps", n=steps) for variant, (worker, steps) in theirs.items()}
    speeds["loop"] = whole / ours.ask("loop", n=whole)
    tell(f"{name}: " + ", ".join(f"{what} {speed:.4g} steps/s" for what, speed in speeds.items()))
    return speeds


def starts(name: str, repeats: int, setting: Setting) -> dict[str, Any]:
    """Return the seconds from the command to the first step, and the peak memory, in pairs.

    ``cold`` is ganrun without compiled programs, ``warm`` is with those of the run before.
    """
    problem, rows = PROBLEMS[name], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images = None if problem.networks == "mlp_points" else str(folder / "images.npy")
        if images is not None:
            with ganrun_worker([*problem.overrides, *QUIET], setting) as worker:
                worker.ask("images", path=images)
        for i in range(repeats):
            row: dict[str, Any] = {}
            cache = str(folder / f"cache{i}")
            for kind in ("cold", "warm"):
                row[kind] = _ganrun_start(problem, _new(folder, f"{kind}{i}"), cache, setting)
            words = [setting.pytorch, *pytorch_words("start", name, "eager", images)]
            row["eager"] = timed(words, _new(folder, f"eager{i}"), setting.environment(), _said_step).__dict__
            rows.append(row)
            tell(f"{name}: first step after " + ", ".join(f"{kind} {one['first']:.2f} s" for kind, one in row.items()))
    return {"rows": rows}


def _ganrun_start(problem: Problem, folder: Path, cache: str, setting: Setting) -> dict[str, float]:
    words = [setting.ganrun, "-m", "ganrun", "train", *problem.overrides, *QUIET, *FIRST, "hydra.run.dir=run"]
    return timed(words, folder, setting.environment(GANRUN_CACHE=cache), _logged_step).__dict__


def sweep(name: str, words: list[str], runs: int, steps: int, timed_runs: int, setting: Setting) -> dict[str, Any]:
    """Return the seconds of a sweep of ``runs`` seeds in ganrun, and of as many runs in one process of PyTorch.

    ganrun starts without compiled programs and logs all its metrics; PyTorch logs nothing. Of PyTorch, only
    ``timed_runs`` runs are trained, and the time of the others is extrapolated.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        command = [setting.ganrun, "-m", "ganrun", "train", "-m", f"seed=range({runs})", *words]
        ours = timed(command, _new(folder, "ganrun"), setting.environment(GANRUN_CACHE="off"), _never)
        tell(f"{name}: ganrun {ours.whole:.1f} s")
        command = [setting.pytorch, *pytorch_words("sweep", "ring", "eager", None, timed_runs, steps)]
        theirs = timed(command, _new(folder, "pytorch"), setting.environment(), _said_step)
        tell(f"{name}: PyTorch {theirs.whole:.1f} s for {timed_runs} runs")
    training = theirs.whole - theirs.first  # without the start of the process, of which there is one
    return {"ganrun": ours.whole, "pytorch": theirs.first + training * runs / timed_runs}


def _new(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def _logged_step(folder: Path) -> bool:
    rows = folder / "run" / "metrics.jsonl"
    lines = rows.read_text(encoding="utf-8").splitlines(keepends=True)[:3] if rows.exists() else []
    return any(json.loads(line)["step"] > 0 for line in lines if line.endswith("\n"))  # the last may be incomplete


def _said_step(folder: Path) -> bool:
    return (folder / "output.txt").read_text(encoding="utf-8").startswith("step")


def _never(folder: Path) -> bool:
    del folder
    return False
