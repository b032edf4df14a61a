"""Monitors the memory and the speed of a run of many million steps, to detect leaks and slowdowns.

    python scripts/soak.py [minutes=60] [steps=10000000] [out=FILE.md] [KEY=VALUE ...]

Trains tiny networks, with evaluations, a probe and a checkpoint every 30 seconds, and reads the process's memory once
per second. The run is stopped after ``minutes``. Memory and speed should be constant from the second tenth of the time
on; the first includes compilation.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TINY = ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]", "batch_size=16")
TINY += ("log.pictures=200", "probe.times=20", "probe.budget=0.05")
OWN = ("minutes", "steps", "out")
STOPPED = 143  # exit code of a run that SIGTERM has stopped


def resident(pid: int) -> float:
    """Return the resident memory of the process, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def tenths(values: np.ndarray) -> list[float]:
    """Return the median of each tenth of ``values``."""
    return [float(np.median(part)) for part in np.array_split(values, 10)]


def row(name: str, medians: list[float]) -> str:
    """Return a row of the table: the tenths, and the ratio of the last to the second."""
    return f"| {name} | {' | '.join(f'{one:.0f}' for one in medians)} | {medians[-1] / medians[1]:.3f} |"


def main() -> None:
    """Print the report, and write it to ``out`` if given."""
    given = dict(word.split("=", 1) for word in sys.argv[1:] if word.split("=", 1)[0] in OWN)
    words = [word for word in sys.argv[1:] if word.split("=", 1)[0] not in OWN]
    minutes, steps = float(given.get("minutes", 60)), int(given.get("steps", 10_000_000))
    memory = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "ganrun", "train", *TINY, f"steps={steps}", *words, f"hydra.run.dir={run}"]
        with (Path(folder) / "out.txt").open("w") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
            end = time.monotonic() + 60 * minutes
            while process.poll() is None and time.monotonic() < end:
                memory.append(resident(process.pid))
                time.sleep(1)
            process.send_signal(signal.SIGTERM)
            asked = time.monotonic()
            code = process.wait()
        took = time.monotonic() - asked
        if code not in (0, STOPPED):
            sys.exit(f"soak.py: the run ended with exit code {code}:\n{(Path(folder) / 'out.txt').read_text()[-2000:]}")
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        speed = np.array([row["steps_per_second"] for row in rows if "steps_per_second" in row])
        sizes = {path.name: path.stat().st_size / 2**20 for path in run.iterdir() if path.is_file()}
    events = [size for name, size in sizes.items() if name.startswith("events")]
    lines = [
        f"`python scripts/soak.py {' '.join(word for word in sys.argv[1:] if not word.startswith('out='))}`: "
        f"{rows[-1]['step']} steps in {len(memory) / 60:.0f} minutes, exit code {code} {took:.1f} s after SIGTERM",
        "",
        f"| median of each tenth | {' | '.join(map(str, range(1, 11)))} | last / second |",
        "|---" * 12 + "|",
        row("memory (MiB)", tenths(np.array(memory))),
        row("steps per second", tenths(speed)),
        "",
        f"metrics.jsonl: {len(rows)} rows, {sizes['metrics.jsonl']:.1f} MiB; events: {len(events)} files, "
        f"{sum(events):.1f} MiB.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if "out" in given:
        Path(given["out"]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
