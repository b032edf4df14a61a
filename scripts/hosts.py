"""A run on several hosts, processes of this machine, that is killed and resumed, compared with one that is not.

    python scripts/hosts.py [hosts=2] [members=1] [kills=12] [seed=0] [signal=KILL] [folder=FOLDER] [KEY=VALUE ...]

Every host is a process ``ganrun train`` with a virtual device of the CPU, and connects to the first one by the loopback
interface. A run without a break is trained first. Then the same run is trained again: at ``kills`` moments drawn with
``seed``, a quarter of them before the first step, one of its hosts, each in turn, receives ``signal`` (KILL, TERM, or
STOP, with which it stands still until the others have ended); when all have ended, the run is resumed. The last
checkpoints of both must have the same bits. With several ``members``, the run is a population of so many seeds. Other
words are settings of the run. Exits with 1 if a bit differs.
"""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

DEFAULTS = {"hosts": "2", "members": "1", "kills": "12", "seed": "0", "signal": "KILL", "folder": ""}
TINY = ("architecture.generator_hidden=[16]", "architecture.discriminator_hidden=[16]", "batch_size=64")
TINY += ("steps=3000", "checkpoint.steps=50", "probe=off", "log.pictures=2", "hosts.timeout=30")
TINY += ("hosts.heartbeat=3600",)  # a machine with too many processes may stand still
PATIENCE = 150.0  # seconds in which the other hosts notice that one is lost, and end
EARLIEST = 0.3  # fraction of the time before the first step after which a host may be killed
LAST = 3600.0  # seconds in which a run that is not killed ends
STARTING = 0.25  # fraction of the kills that come before the first step
LONGER = 1.0  # seconds at most after a checkpoint at which a host is killed


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def started(words: tuple[str, ...], hosts: int, folder: Path) -> list[subprocess.Popen[bytes]]:
    """Start ``ganrun train`` with ``words`` on every host, each in a working directory of its own in ``folder``."""
    address = f"hosts.coordinator=127.0.0.1:{free_port()}"
    processes = []
    for i in range(hosts):
        place = folder / f"host{i}"
        place.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "ganrun", "train", *words, f"hosts.count={hosts}", f"hosts.index={i}", address]
        with (place / "output.txt").open("ab") as output:
            processes.append(subprocess.Popen(command, cwd=place, stdout=output, stderr=subprocess.STDOUT))
    return processes


def ended(processes: list[subprocess.Popen[bytes]], seconds: float) -> list[int]:
    """Wait for all ``processes``, kill those that have not ended after ``seconds``, and return the exit codes."""
    until = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
    return [process.wait() for process in processes]


def last_state(run: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the newest checkpoint of ``run``, or of each member if it is a sweep, by their names."""
    arrays = {}
    for folder in sorted(run.glob("**/checkpoints")):
        newest = max((path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
        found = load_file(newest / "state.safetensors")
        arrays |= {f"{folder.parent.name}/{name}": array for name, array in found.items()}
    return arrays


def place(run: Path, options: dict[str, str]) -> tuple[str, ...]:
    """Return the words that train in the folder ``run``: one run, or a population of several seeds."""
    members = int(options["members"])
    return (f"hydra.run.dir={run}",) if members == 1 else ("-m", f"seed=range({members})", f"hydra.sweep.dir={run}")


def training_seconds(run: Path) -> float:
    """Return the seconds that ``run``, or a member if it is a sweep, has taken for its steps."""
    summary = next(iter(run.glob("**/summary.json")))
    return float(json.loads(summary.read_text(encoding="utf-8"))["seconds_split"]["training"])


def newest(run: Path) -> int:
    """Return the step of the newest checkpoint of ``run``; 0 if there is none."""
    steps = [int(path.name) for path in run.glob("**/checkpoints/*") if path.name.isdigit()]
    return max(steps, default=0)


def wait_for(step: int, run: Path, processes: list[subprocess.Popen[bytes]], seconds: float = LAST) -> None:
    """Wait until ``run`` has a checkpoint of ``step`` or a later one, a process has ended, or ``seconds`` are over."""
    until = time.monotonic() + seconds
    while newest(run) < step and all(process.poll() is None for process in processes) and time.monotonic() < until:
        time.sleep(0.05)


def killed(words: tuple[str, ...], hosts: int, run: Path, times: tuple[float, int], options: dict[str, str]) -> int:
    """Train ``run``, kill a host at each of the moments and resume it; return how often it had to be resumed.

    ``times``: the seconds before the first step, and the number of steps. The moments are spread over the steps that
    are left, so that as many kills as are asked for come before the end.
    """
    kills, (start, steps) = int(options["kills"]), times
    draw, number = random.Random(int(options["seed"])), signal.Signals[f"SIG{options['signal']}"]
    folder, new = run.parents[1], (*words, *place(run, options))
    for kill in range(kills):
        command = (f"resume={run}",) if list(run.glob("**/config.yaml")) else new
        done = newest(run)
        share = (steps - done) / (kills - kill + 1)
        processes = started(command, hosts, folder)
        if draw.random() < STARTING:
            wait_for(done + int(share), run, processes, draw.uniform(EARLIEST * start, start))
        else:
            wait_for(done + int(draw.uniform(0, share)) + 1, run, processes)
            wait_for(done + int(share), run, processes, draw.uniform(0, LONGER))
        if any(process.poll() is not None for process in processes):
            if any(codes := ended(processes, PATIENCE)):
                sys.exit(f"the hosts ended by themselves with {codes}: see {folder}/host*/output.txt")
            return kill
        victim, step = kill % hosts, newest(run)
        processes[victim].send_signal(number)
        sent = time.monotonic()
        if number == signal.SIGSTOP:
            ended([process for process in processes if process is not processes[victim]], PATIENCE)
            processes[victim].kill()
        codes = ended(processes, PATIENCE)
        after = f"after {time.monotonic() - sent:.1f} s"
        print(f"{options['signal']} {kill + 1}: host {victim} at step {step}; exit codes {codes} {after}", flush=True)
        if codes == [0] * hosts:
            return kill
    last = started((f"resume={run}",) if list(run.glob("**/config.yaml")) else new, hosts, folder)
    if any(codes := ended(last, LAST)):
        sys.exit(f"the last resumed run ended with {codes}: see {folder}/host*/output.txt")
    return kills


def main() -> None:
    """Train the run twice and compare the states."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    options = DEFAULTS | {name: given.pop(name) for name in DEFAULTS if name in given}
    hosts = int(options["hosts"])
    words = (*TINY, *(f"{name}={value}" for name, value in given.items()))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options["folder"] or temporary).resolve()
        undisturbed, disturbed = (folder / name / "host0" / "run" for name in ("undisturbed", "disturbed"))
        begun = time.monotonic()
        codes = ended(started((*words, *place(undisturbed, options)), hosts, undisturbed.parents[1]), LAST)
        whole = time.monotonic() - begun
        if any(codes):
            print((undisturbed.parent / "output.txt").read_text()[-2000:])
            sys.exit(f"the run without a break ended with {codes}.")
        print(f"without a break: {whole:.1f} s on {hosts} hosts", flush=True)
        start = whole - training_seconds(undisturbed), newest(undisturbed)
        times = killed(words, hosts, disturbed, start, options) if int(options["kills"]) else 0
        one = last_state(undisturbed)
        other = last_state(disturbed) if times else one
        different = [name for name in one if not np.array_equal(one[name], other[name])]
        print(f"{hosts} hosts, {times} kills: {len(different)} of {len(one)} arrays differ")
        sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
