"""Compares the memory that ``ganrun train`` forecasts with the peak that it reaches, for twenty configurations.

    python scripts/bench_memory.py [CONFIGURATION ...]

Each configuration is trained for a few steps in a process of its own, in a temporary folder. On a CPU, the peak is that
of the process (``VmHWM``), on an accelerator that of the device. Prints a table in Markdown. Without names, all
configurations are run, which takes half an hour on two cores. ``GANRUN_DATA`` must hold MNIST.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile

SHORT = ("log.every=6", "log.pictures=1", "steps=24", "checkpoint.steps=3")  # saves while it trains, often enough
UNITS = {"MiB": 1.0, "GiB": 1024.0}
# Runs the command and says at the end what its peak was, in MiB.
COMMAND = """
import sys
from ganrun.cli import main
from ganrun.machine.memory import peak_bytes
try:
    main(["train", *sys.argv[1:]])
finally:
    import jax
    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", peak_bytes())
    print(f"\\npeak {peak / 2**20:.1f}")
"""
CONFIGURATIONS = {
    "ring": (),
    "ring, probe": ("probe=streaming",),
    "mixture1d": ("experiment=mixture1d",),
    "ring, 4 runs": ("-m", "seed=range(4)"),
    "ring, 16 runs, no pictures": ("-m", "seed=range(16)", "log.pictures=0"),
    "ring, 64 runs, no pictures": ("-m", "seed=range(64)", "log.pictures=0"),
    "ring, 1024 units": ("architecture.generator_hidden=[1024,1024]", "architecture.discriminator_hidden=[1024,1024]"),
    "ring, 2048 units, 8 runs, nothing evaluated": (
        *("-m", "seed=range(8)", "log.pictures=0", "probe=off"),
        *("architecture.generator_hidden=[2048,2048]", "architecture.discriminator_hidden=[2048,2048]"),
    ),
    "digits": ("dataset=digits",),
    "digits, maxout, 8 runs": ("-m", "seed=range(8)", "dataset=digits", "architecture=maxout"),
    "goodfellow2014": ("experiment=goodfellow2014",),
    "goodfellow2014, 4 runs": ("-m", "seed=range(4)", "experiment=goodfellow2014"),
    "dcgan": ("experiment=dcgan",),
    "dcgan, batch 512": ("experiment=dcgan", "batch_size=512"),
    "vae": ("experiment=vae",),
    "vae, 16 runs": ("-m", "seed=range(16)", "experiment=vae"),
    "made": ("experiment=made",),
    "rbm": ("experiment=rbm",),
    "gsn": ("experiment=gsn",),
    "spline": ("experiment=spline",),
}


def measured(words: tuple[str, ...]) -> tuple[float, float] | None:
    """Return the forecast and the peak of a training command in MiB; None if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", COMMAND, *SHORT, *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    told = re.findall(r"memory.*: about ([\d.]+) (MiB|GiB) at the peak", done.stdout)
    peak = re.findall(r"^peak ([\d.]+)$", done.stdout, re.MULTILINE)
    if done.returncode or not told or not peak:
        print(done.stderr.strip().splitlines()[-1:] or done.stdout.splitlines()[-1:], file=sys.stderr)
        return None
    return max(float(number) * UNITS[unit] for number, unit in told), float(peak[0])


def main(names: list[str]) -> None:
    print("| configuration | forecast, MiB | peak, MiB | forecast / peak |\n|---|---|---|---|", flush=True)
    for name in names or CONFIGURATIONS:
        found = measured(CONFIGURATIONS[name])
        row = "failed | |" if found is None else f"{found[0]:.0f} | {found[1]:.0f} | {found[0] / found[1]:.2f}"
        print(f"| {name} | {row} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
