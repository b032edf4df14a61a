"""Communication of the training step on several devices, and weak scaling predicted from published link speeds.

    python scripts/scaling.py [presets=dcgan,sngan,made] [out=FILE.md]

The step of each preset is compiled for 8 virtual devices of the CPU, with its minibatch on each of them, and
all communication in the program is listed: its kind, its bytes, and what it sums. The prediction adds the time of
these sums to that of the arithmetic of a device. The formula is in docs/scaling.md. Nothing is measured here.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import jax

from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.mesh import Mesh
from ganrun.methods.experiment import Experiment
from ganrun.training.build import load_data

DEVICES = 8
DEFAULTS = {"presets": "dcgan,sngan,made", "out": ""}
CHIPS = (8, 64, 256, 1024)
KINDS = "all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute"
LINE = re.compile(rf"^\s*(?:ROOT )?%\S+ = (?P<shapes>.*?) (?P<kind>{KINDS})(?:-start)?\((?P<rest>.*)$", re.M)
SHAPE = re.compile(r"(pred|[a-z]+(\d+))\[([\d,]*)\]")
NAMES = re.compile(r'op_name="([^"]*)"')
UTILISATION = 0.3  # fraction of the peak that the arithmetic of a step is assumed to reach
LATENCY = 1e-6  # seconds for a message between neighbours


@dataclass(frozen=True)
class Chip:
    """A chip: peak of bfloat16 products in FLOP/s, and bytes per second in one direction to neighbours.

    ``node`` chips are connected by links of ``near`` bytes per second, and those of other nodes by ``far``.
    """

    name: str
    peak: float
    near: float
    node: int
    far: float


# Published: TPU v5e 197 TFLOP/s and 400 GB/s in both directions, pods of 256 (data centre network beyond, 6.4 Tb/s per
# pod); TPU v5p 459 TFLOP/s and 1 200 GB/s, pods of thousands; H100 SXM 989 TFLOP/s, NVLink 900 GB/s in nodes of 8 and
# an InfiniBand link of 400 Gb/s for each GPU.
CHIP_TYPES = (
    Chip("TPU v5e", 197e12, 200e9, 256, 3.1e9),
    Chip("TPU v5p", 459e12, 600e9, 6144, 6.25e9),
    Chip("H100", 989e12, 450e9, 8, 50e9),
)


@dataclass(frozen=True)
class Collective:
    """One communication: kind, bytes, number of arrays, and what is communicated."""

    kind: str
    bytes: int
    arrays: int
    parts: tuple[str, ...]


def collectives(text: str) -> list[Collective]:
    """Return the communication in the text of a compiled program."""
    found = []
    for match in LINE.finditer(text):
        shapes = SHAPE.findall(match["shapes"])
        sizes = [math.prod(int(n) for n in dims.split(",") if n) * int(bits or 8) // 8 for _, bits, dims in shapes]
        names = NAMES.findall(match["rest"])
        found.append(Collective(match["kind"], sum(sizes), len(sizes), parts_of(names[0] if names else "")))
    return found


def parts_of(name: str) -> tuple[str, ...]:
    """Return what a communication with this ``op_name`` of JAX is for."""
    tests = {
        "batch statistics": "BatchNorm" in name,
        "gradients": "transpose(" in name or "grad" in name,
        "rows of a minibatch": "Minibatch" in name,
    }
    return tuple(part for part, holds in tests.items() if holds) or ("metrics",)


def all_reduce_seconds(chip: Chip, chips: int, count: float, size: float) -> float:
    """Return the time of ``count`` sums over ``chips``, of ``size`` bytes together.

    Each chip sends and receives twice its share of the bytes within its node, and its part of them between nodes. A sum
    waits for messages down and up a tree.
    """
    inside, nodes = min(chips, chip.node), max(1, chips // chip.node)
    seconds = count * LATENCY * 2 * (math.ceil(math.log2(inside)) + math.ceil(math.log2(nodes)))
    seconds += 2 * (inside - 1) / inside * size / chip.near
    return seconds + 2 * (nodes - 1) / nodes * size / inside / chip.far


def efficiency(chip: Chip, chips: int, flops: float, count: int, size: float) -> float:
    """Return the fraction of ``chips`` times the speed of one chip: without overlap of arithmetic and communication."""
    alone = flops / (chip.peak * UTILISATION)
    return alone / (alone + all_reduce_seconds(chip, chips, count, size))


def rows(preset: str) -> tuple[list[str], list[str]]:
    """Return the rows of both tables for ``preset``: communication, and predicted efficiency."""
    config = check(compose("train", [f"experiment={preset}", "probe=off"]))
    config = replace(config, batch_size=DEVICES * config.batch_size)
    program = Experiment(config, load_data(config), Mesh(data=DEVICES)).compiled()
    found = collectives(program.as_text())
    kinds = Counter(one.kind for one in found)
    size = sum(one.bytes for one in found)
    parts = Counter(part for one in found for part in one.parts)
    flops = float(program.cost_analysis()["flops"])  # of one device: the body of a loop counts once
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    what = ", ".join(f"{part} in {count}" for part, count in sorted(parts.items()))
    each = config.batch_size // DEVICES
    first = [f"| {preset} | {each} | {listed} | {size / 2**20:.2f} | {what} | {flops / 1e9:.1f} |"]
    second = []
    for chip in CHIP_TYPES:
        shares = [f"{efficiency(chip, chips, flops, len(found), size):.0%}" for chips in CHIPS]
        second.append(f"| {preset} | {chip.name} | {' | '.join(shares)} |")
    return first, second


def main() -> None:
    """Compile the presets and print or write the tables."""
    given = DEFAULTS | dict(word.split("=", 1) for word in sys.argv[1:])
    jax.config.update("jax_num_cpu_devices", DEVICES)
    first = [
        "| preset | examples per device | communication of a step | MiB | for | GFLOP per device |",
        "|---" * 6 + "|",
    ]
    second = [f"| preset | chip | {' | '.join(map(str, CHIPS))} chips |", "|---" * (2 + len(CHIPS)) + "|"]
    for preset in given["presets"].split(","):
        more, shares = rows(preset)
        first, second = first + more, second + shares
        print(more[0], flush=True)
    text = "\n".join([*first, "", *second]) + "\n"
    if given["out"]:
        Path(given["out"]).write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
