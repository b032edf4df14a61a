"""Crash-consistency test: kills runs at many points, resumes them, and compares them with uninterrupted runs.

    python scripts/torture.py [kills=50] [sweep_kills=10] [seed=0] [out=FILE.md]

``kills`` is the number of kills of single runs (an MLP on points and a DCGAN on images), ``sweep_kills`` that of sweeps
of four population members; all use a moving average, a probe and an adaptive schedule. Runs are killed at the moments
of killed_run.py and at random times, several times in a row. Every run is resumed until it completes; its state,
metrics, events and pictures must then be bit-identical to those of the uninterrupted run. Exit code 1 if anything
differs or is lost.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from killed_run import MOMENTS
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

INTERVAL = 20  # steps between checkpoints
HARD = (f"checkpoint.steps={INTERVAL}", "log.every=10", "log.pictures=4", "probe.times=3", "probe.budget=0.05")
HARD += ("schedule=adaptive", "schedule.k=3", "ema.decay=0.9", "batch_size=16")
NETWORKS = ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]")
RUNS = {
    "mlp": (*HARD, *NETWORKS, "steps=240"),
    "dcgan": (*HARD, "dataset=digits", "architecture=dcgan", "architecture.width=4", "latent.dim=8", "steps=120"),
}
SWEEP = (*HARD, *NETWORKS, "steps=160", "seed=0,1", "optimizer.generator.learning_rate=1e-3,2e-3", "-m")
TIMES = ("steps_per_second", "probe/seconds", "evaluate/seconds")
IN_A_ROW = 4  # maximum number of kills of one run before it may complete
# Approximate number of times that each moment occurs in a run: a kill targets one of these.
OFTEN = {"step": 15, "checkpoint": 30, "rename": 8, "event": 20, "row": 15, "probe": 3, "resume": 1}
AT_ANY_TIME = "any time"
LAUNCH, TRAIN = 4.0, 5.0  # seconds: approximate start-up and training time of a run


@dataclass
class Tally:
    """Counts of kills and comparisons, and the faults found."""

    kills: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    most_lost: int = 0
    faults: list[str] = field(default_factory=list)


def ganrun(words: list[str], cwd: Path, moment: str = "", count: int = 0) -> tuple[int, str, str]:
    """Run a command in ``cwd``, killed at ``moment`` if given; return its exit code, stdout and stderr."""
    prefix = [sys.executable, "-m", "ganrun"]
    if moment in MOMENTS:
        prefix = [sys.executable, str(Path(__file__).with_name("killed_run.py")), moment, str(count)]
    process = subprocess.Popen([*prefix, *words], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if moment == AT_ANY_TIME:
        time.sleep(count / 1000)
        process.kill()
    out, err = process.communicate()
    return process.returncode, out, err


def rows(run: Path) -> list[dict[str, object]]:
    """Return the rows of metrics without timings, which differ between runs."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{tag: value for tag, value in json.loads(line).items() if tag not in TIMES} for line in lines]


def events(run: Path) -> list[tuple[int, str, object]]:
    """Return every scalar, picture and histogram of all event files, by step and tag, including duplicates."""
    seen: list[tuple[int, str, object]] = []
    for path in sorted(run.glob("events.out.tfevents.*")):
        for event in LegacyEventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.tag not in TIMES and not value.tag.startswith(("_hparams_", "custom_scalars")):
                    seen.append((event.step, value.tag, value.SerializeToString()))
    return sorted(seen, key=lambda one: one[:2])


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in ``folder`` by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def steps(run: Path) -> list[int]:
    """Return the steps of the complete checkpoints of ``run``."""
    found = (run / "checkpoints").glob("*/SHA256SUMS")
    return sorted(int(path.parent.name) for path in found if path.parent.name.isdecimal())


def differences(run: Path, reference: Path) -> list[str]:
    """Return the names of what differs between a run that was killed and the uninterrupted ``reference``."""
    told = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    wanted = json.loads((reference / "summary.json").read_text(encoding="utf-8"))
    for one in (told, wanted):
        for tag in TIMES:
            one["metrics"].pop(tag, None)
    last = steps(reference)[-1]
    state = f"checkpoints/{last}/state.safetensors"
    pairs = {
        "status": (told["status"], "completed"),
        "metrics in summary.json": (told["metrics"], wanted["metrics"]),
        "warnings": (told.get("warnings"), wanted.get("warnings")),
        "steps of checkpoints": (steps(run), steps(reference)),
        "state": ((run / state).read_bytes(), (reference / state).read_bytes()),
        "metrics.jsonl": (rows(run), rows(reference)),
        "events": (events(run), events(reference)),
        "pictures": (digests(run / "samples"), digests(reference / "samples")),
    }
    return [name for name, (one, other) in pairs.items() if one != other]


def last_row(run: Path) -> int:
    """Return the last step in metrics.jsonl, ignoring an incomplete last line."""
    path = run / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    return int(json.loads(whole[-1])["step"]) if whole else 0


def lives(words: list[str], cwd: Path, kills: int, chance: random.Random, tally: Tally) -> list[Path]:
    """Run the command ``words`` in ``cwd``, kill it ``kills`` times, resume it until it completes; return its runs."""
    home = cwd / "run"
    key = "hydra.sweep.dir" if "-m" in words else "hydra.run.dir"
    command = ["train", *words, f"{key}=run"]
    killed = 0
    while killed <= kills:
        moment, count = "", 0
        if killed < kills:
            moment = chance.choice([AT_ANY_TIME, *OFTEN])
            most = OFTEN.get(moment, 0) * (4 if "-m" in words else 1)
            count = chance.randint(1, most) if most else int(1000 * chance.uniform(LAUNCH - 1, LAUNCH + TRAIN))
        before = [(run, last_row(run), steps(run)) for run in runs_in(home)]
        code, out, err = ganrun(command, cwd, moment, count)
        if "Traceback" in err or code not in (0, -signal.SIGKILL):
            tally.faults.append(f"{moment} {count}: exit code {code}: {err.strip()[-300:]}")
            return []
        if len(before) == 1 and "continues at step" in out:
            run, row, had = before[0]
            at = int(out.split("continues at step ")[1].split()[0])
            tally.most_lost = max(tally.most_lost, row - at)
            if at < max(had, default=0):
                tally.faults.append(f"{run}: went on at {at}, and had a checkpoint of {had[-1]}")
        if code == 0 and moment and killed < kills:
            killed = kills  # it completed before the moment: nothing is left to kill
        elif code == 0:
            break
        else:
            killed += 1
            tally.kills[moment] += 1
        if (home / "config.yaml").exists() or (home / "sweep.json").exists():
            command = ["train", "resume=run"]
    return runs_in(home)


def runs_in(home: Path) -> list[Path]:
    """Return the run directories in ``home``, a run or a sweep."""
    return [home] if (home / "config.yaml").exists() else sorted(path.parent for path in home.glob("*/config.yaml"))


def torture(name: str, words: tuple[str, ...], kills: int, chance: random.Random, place: Path) -> Tally:
    """Kill runs of ``words`` ``kills`` times in total, and compare each with an uninterrupted one."""
    tally = Tally()
    whole = place / name / "whole"
    whole.mkdir(parents=True)
    if kills:
        references = lives(list(words), whole, 0, chance, tally)
    while tally.kills.total() < kills and not tally.faults:
        cwd = place / name / str(tally.compared)
        cwd.mkdir()
        most = min(chance.randint(1, IN_A_ROW), kills - tally.kills.total())
        found = lives(list(words), cwd, most, chance, tally)
        if not tally.faults and len(found) != len(references):
            tally.faults.append(f"{cwd}: {len(found)} runs of {len(references)}")
        for run, reference in zip(found, references, strict=False):
            tally.faults += [f"{run}: {what}" for what in differences(run, reference)]
        tally.compared += len(found)
        print(f"{name}: {tally.kills.total()} kills, {tally.compared} runs compared", file=sys.stderr, flush=True)
    return tally


def table(tallies: dict[str, Tally]) -> list[str]:
    """Return the report."""
    moments = [*OFTEN, AT_ANY_TIME]
    lines = [f"| | kills | {' | '.join(moments)} | runs compared | most steps lost by a kill | differences |"]
    lines.append("|---" * (len(moments) + 5) + "|")
    for name, tally in tallies.items():
        each = " | ".join(str(tally.kills[moment]) for moment in moments)
        lost = tally.most_lost if name != "sweep" else ""
        lines.append(f"| {name} | {tally.kills.total()} | {each} | {tally.compared} | {lost} | {len(tally.faults)} |")
    return lines


def run(kills: int, sweep_kills: int, seed: int) -> dict[str, Tally]:
    """Kill single runs and sweeps so many times in total; return the tallies by name."""
    chance, tallies = random.Random(seed), {}
    os.environ.pop("HYDRA_FULL_ERROR", None)
    with tempfile.TemporaryDirectory() as folder:
        for name, words in RUNS.items():
            share = kills // 2 if name == "mlp" else kills - kills // 2
            tallies[name] = torture(name, words, share, chance, Path(folder))
        tallies["sweep"] = torture("sweep", SWEEP, sweep_kills, chance, Path(folder))
    return tallies


def main() -> None:
    """Print the report, and write it to ``out`` if given."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    begun = time.monotonic()
    tallies = run(int(given.get("kills", 50)), int(given.get("sweep_kills", 10)), int(given.get("seed", 0)))
    said = " ".join(word for word in sys.argv[1:] if not word.startswith("out="))
    faults = [fault for tally in tallies.values() for fault in tally.faults]
    took = f"{time.monotonic() - begun:.0f} s; checkpoints every {INTERVAL} steps"
    text = "\n".join([f"`python scripts/torture.py {said}`: {took}", "", *table(tallies), *faults]) + "\n"
    print(text)
    if "out" in given:
        Path(given["out"]).write_text(text, encoding="utf-8")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
