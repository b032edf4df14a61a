"""Is a run ever lost, and does a file ever do harm? Runs all that tries to break ganrun, and writes a page about it.

    python scripts/safety.py [kills=50] [sweep_kills=10] [inputs=20000] [tests=on] [seed=0] [out=FILE.md]

``kills`` and ``sweep_kills`` are those of torture.py, ``inputs`` those of fuzz.py; ``tests`` are of full and read-only
disks, damaged checkpoints, signals, locks and hostile files. Exit code 1 if anything is lost.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import fuzz
import torture

ROOT = Path(__file__).resolve().parents[1]
GIVEN = {"kills": "50", "sweep_kills": "10", "inputs": "20000", "tests": "on", "seed": "0", "out": ""}
# What each file of tests does to runs, checkpoints and commands.
FAULTS = {
    "tests/commands/test_faults.py": "full, read-only and vanished disks, quotas, two processes in one run, signals",
    "tests/commands/test_resume.py": "runs stopped and continued, other settings, missing files",
    "tests/test_checkpoints.py": "each file cut, emptied, removed, each with a byte flipped; other shapes and names",
    "tests/test_sealed.py": "folders written in part, or changed since",
    "tests/test_lock.py": "locks held, left behind and taken over",
}
HOSTILE = {
    "tests/hostile/test_hostile_arrays.py": "arrays: pickles, bombs, headers that lie",
    "tests/hostile/test_hostile_checkpoints.py": "checkpoints of a stranger, with sums that agree",
    "tests/hostile/test_hostile_config.py": "tags, targets, interpolations and paths in a run's config",
    "tests/hostile/test_hostile_datasets.py": "archives, idx files and mirrors",
    "tests/hostile/test_hostile_folder.py": "links, pipes and folders in place of files",
    "tests/hostile/test_hostile_metrics.py": "rows, summaries and sweeps of a stranger",
    "tests/hostile/test_any_input.py": "whatever Hypothesis makes up as command lines and configs",
    "tests/test_untrusted.py": "the readers that all of them go through",
}
PAGE = """# What ganrun has survived

`{command}` on {today}, {seconds:.0f} s, exit code {code}. {where}.

{total}

## Kills

`kill -9` at a chosen moment or at any time, up to four times in a row; then resumed to the end, and compared with a
run that nothing disturbed: state, metrics, events, pictures and summary, bit for bit. A checkpoint is due every
{interval} steps and is written while training goes on: a kill can cost those and the steps taken during the write.

{kills}

## Faults

{faults}

## Hostile files

Hypothesis is given {examples} tries for each of its tests.

{hostile}

## Bad inputs

Good files and command lines with some of their bytes or words changed: each is accepted, or refused in a line or two.

{inputs}
"""


@dataclass
class Tests:
    """How many tests a file has had, and what came of them."""

    ran: int = 0
    failed: int = 0
    skipped: int = 0


def tested(paths: Iterable[str], examples: int) -> dict[str, Tests]:
    """Run the tests of these files, with so many ``examples`` where they are made up; print what fails."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", *paths, f"--junitxml={report}", "-p", "no:cacheprovider"]
        own = {**os.environ, "GANRUN_EXAMPLES": str(examples)}
        done = subprocess.run(command, cwd=ROOT, env=own, stdout=sys.stderr, check=False)
        found = counted(report, paths)
    if done.returncode and not any(one.failed for one in found.values()):
        raise SystemExit(f"safety.py: pytest ended with exit code {done.returncode}")
    return found


def counted(report: Path, paths: Iterable[str]) -> dict[str, Tests]:
    """Return what a report of pytest's says of each file."""
    found = {path: Tests() for path in paths}
    for case in ElementTree.parse(report).iter("testcase"):
        one = found[case.attrib["classname"].replace(".", "/") + ".py"]
        skipped = case.find("skipped") is not None
        one.skipped += skipped
        one.ran += not skipped
        one.failed += case.find("failure") is not None or case.find("error") is not None
    return found


def sheet(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Return a table, or that there is nothing to show."""
    rows = list(rows)
    if not rows:
        return "Left out."
    first, *others = [f"| {' | '.join(map(str, row))} |" for row in (head, *rows)]
    return "\n".join([first, "|---" * (first.count("|") - 1) + "|", *others])


def where() -> str:
    """Return what was tried, and on what."""
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    commit = f" at {head.stdout.strip()}" if head.returncode == 0 else ""
    packages = ", ".join(f"{name} {version(name)}" for name in ("jax", "numpy", "safetensors"))
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    return f"ganrun {version('ganrun')}{commit}; Python {platform.python_version()}, {packages}; {machine}"


def main() -> int:
    """Print the page; write it to ``out`` too where that is given; return the exit code."""
    words = [word.partition("=") for word in sys.argv[1:]]
    if wrong := [key for key, _, _ in words if key not in GIVEN]:
        print(f"safety.py: no {', '.join(wrong)}; there are {', '.join(GIVEN)}", file=sys.stderr)
        return 2
    given = {**GIVEN, **{key: value for key, _, value in words}}
    begun, seed = time.monotonic(), int(given["seed"])
    kills = torture.run(int(given["kills"]), int(given["sweep_kills"]), seed)
    n = int(given["inputs"])
    tests = tested([*FAULTS, *HOSTILE], examples=max(1, n // 10)) if given["tests"] == "on" else {}
    fuzz.prepare()
    inputs = fuzz.run(n, seed)

    lost = {name: len(tally.faults) for name, tally in kills.items()}
    total = [(f"kills: {name}", tally.kills.total(), lost[name]) for name, tally in kills.items()]
    for kind, files in {"faults": FAULTS, "hostile files": HOSTILE}.items():
        if own := [tests[path] for path in files if path in tests]:
            total.append((kind, sum(one.ran for one in own), sum(one.failed for one in own)))
    everything = sum(inputs.values(), fuzz.Tally())
    total.append(("bad inputs", everything.tried, len(everything.losses)))
    code = int(any(losses for _, _, losses in total))
    sheets = {
        name: sheet(
            ("tests", "what they try", "tried", "failed", "skipped"),
            [(f"`{path}`", files[path], *vars(tests[path]).values()) for path in files if path in tests],
        )
        for name, files in {"faults": FAULTS, "hostile": HOSTILE}.items()
    }
    page = PAGE.format(
        command=" ".join(["python scripts/safety.py", *(word for word in sys.argv[1:] if not word.startswith("out="))]),
        today=f"{date.today():%-d %B %Y}",
        seconds=time.monotonic() - begun,
        code=code,
        where=where(),
        total=sheet(("", "tried", "losses"), total),
        interval=torture.INTERVAL,
        examples=max(1, n // 10),
        kills="\n".join([*torture.table(kills), *(fault for tally in kills.values() for fault in tally.faults)]),
        inputs="\n".join([*fuzz.table(inputs), *everything.losses]),
        **sheets,
    )
    print(page, end="")
    if given["out"]:
        Path(given["out"]).write_text(page, encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
