"""Streamed training data: their speed relative to resident ones, and a dataset that is larger than the memory.

    python scripts/bench_feed.py [part=speed,large] [architecture=dcgan] [rounds=5] [seconds=5]
        [gigabytes=8] [limit=2] [steps=200] [folder=FOLDER]

``part=speed``: steps per second of ``feed=streamed`` relative to ``feed=resident``, one directly after the other.
``part=large``: writes ``gigabytes`` of random images to ``folder`` and trains on them in a process that a control group
limits to ``limit`` GiB, which takes a Linux machine on which this script may make such groups (root, as a rule).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ganrun import datasets
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.methods.experiment import Experiment
from ganrun.training import device

DEFAULTS = {
    "part": "speed,large",
    "architecture": "dcgan",
    "rounds": "5",
    "seconds": "5",
    "gigabytes": "8",
    "limit": "2",
    "steps": "200",
    "folder": "",
}
EXAMPLES = 60_000  # of the dataset for the speed
GROUPS = Path("/sys/fs/cgroup")


def write_images(path: Path, count: int, shape: tuple[int, ...]) -> None:
    """Write ``count`` random images to the .npy file ``path``, in parts."""
    rng = np.random.default_rng(0)
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (count, *shape))
    for start in range(0, count, 4096):
        part = images[start : start + 4096]
        part[:] = rng.integers(0, 256, part.shape, np.uint8)
    images.flush()


def speed(given: dict[str, str], folder: Path) -> None:
    """Measure both feeds in turn, and print the ratio."""
    write_images(folder / "small.npy", EXAMPLES, (32, 32, 3))
    words = ["dataset=array", f"data_dir={folder}/small.npy", f"architecture={given['architecture']}"]
    config = check(compose("train", [*words, "optimizer=adam_image", "batch_size=64", "probe=off", "latent.dim=64"]))
    option = config.dataset.resolve(folder / "small.npy")
    runs: dict[str, list[Any]] = {}
    for feed, most in (("resident", None), ("streamed", 0)):
        data = datasets.load(option, folder / "small.npy", 0, device_bytes=most)
        experiment = Experiment(config, data)
        runs[feed] = [experiment, experiment.advance(experiment.init(), 1)[0]]
    n, ratios = 1, []
    for index in range(-2, int(given["rounds"])):
        taken = {}
        for feed, (experiment, state) in runs.items():
            begun = time.perf_counter()
            for _ in range(4):  # a window is gathered while the call before it is running
                state, _ = experiment.advance(state, n)
            jax.block_until_ready(state)
            runs[feed][1], taken[feed] = state, (time.perf_counter() - begun) / (4 * n)
        if index < 0:
            n = max(1, min(config.steps_per_call, round(float(given["seconds"]) / 4 / taken["resident"])))
        else:
            ratios.append(taken["resident"] / taken["streamed"])
            print(f"resident {1 / taken['resident']:.1f} steps/s, streamed {ratios[-1]:.3f} times that", flush=True)
    print(f"streamed relative to resident: median {np.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


@contextlib.contextmanager
def group(limit: int) -> Iterator[Path]:
    """Make a control group whose processes may use ``limit`` bytes; yield its folder."""
    old = (GROUPS / "memory").is_dir()
    folder = (GROUPS / "memory" if old else GROUPS) / f"bench_feed_{os.getpid()}"
    try:
        folder.mkdir()
        (folder / ("memory.limit_in_bytes" if old else "memory.max")).write_text(str(limit))
        with contextlib.suppress(OSError):  # without swap accounting
            (folder / ("memory.swappiness" if old else "memory.swap.max")).write_text("0")
    except OSError as error:
        sys.exit(f"no control group can be made in {folder.parent} ({error.strerror}): run this part as root.")
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


def large(given: dict[str, str], folder: Path) -> None:
    """Train on more data than the memory holds, and print how that went."""
    gigabytes, limit = float(given["gigabytes"]), int(float(given["limit"]) * (1 << 30))
    path = folder / "large.npy"
    shape = (64, 64, 3)
    if not path.exists():
        write_images(path, int(gigabytes * 1e9 / np.prod(shape)), shape)
    run = folder / "run"
    words = [
        "dataset=array", f"data_dir={path}", "architecture=mlp", "architecture.generator_hidden=[64]",
        "architecture.discriminator_hidden=[64]", "batch_size=64", "optimizer=adam_image", "probe=off",
        f"steps={given['steps']}", f"hydra.run.dir={run}",
    ]  # fmt: skip
    with group(limit) as place:
        enter = f'echo $$ > {place}/cgroup.procs && exec "$@"'
        begun = time.monotonic()
        command = ["sh", "-c", enter, "sh", sys.executable, "-m", "ganrun", "train", *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        peaks = [place / name for name in ("memory.max_usage_in_bytes", "memory.peak")]
        peak = next((int(name.read_text()) for name in peaks if name.exists()), 0)
    print(done.stdout[-600:] + done.stderr[-600:])
    size = path.stat().st_size / (1 << 30)
    print(
        f"{size:.1f} GiB of images under a limit of {limit / (1 << 30):.1f} GiB: exit code {done.returncode}, "
        f"{time.monotonic() - begun:.0f} s, peak with the files' pages {peak / (1 << 30):.2f} GiB"
    )


def main() -> None:
    """Run the parts that are asked for."""
    given = DEFAULTS | dict(word.split("=", 1) for word in sys.argv[1:])
    if unknown := set(given) - set(DEFAULTS):
        sys.exit(f"'{min(unknown)}' is not an option: there are {', '.join(DEFAULTS)}.")
    device.prepare()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(given["folder"] or temporary)
        for name, part in (("speed", speed), ("large", large)):
            if name in given["part"].split(","):
                part(given, folder)


if __name__ == "__main__":
    main()
