"""Trains on meshes of 8 virtual devices and prints what the tests compare, as JSON: run by test_mesh.py as a script."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.datasets import reordered
from ganrun.mesh import Mesh
from ganrun.methods.experiment import Experiment
from ganrun.storage.checkpoints import Checkpoints
from ganrun.storage.state_arrays import flatten
from ganrun.training.build import load_data
from ganrun.training.executor import ShardedRuns, fewer
from ganrun.training.vmapped import VmappedRuns

jax.config.update("jax_num_cpu_devices", 8)

TINY = ("architecture.generator_hidden=[16]", "architecture.discriminator_hidden=[16]", "batch_size=32", "probe=off")
WIDE = ("architecture.generator_hidden=[64]", "architecture.discriminator_hidden=[64,64]", "batch_size=32", "probe=off")
# Layers and losses that compare the rows of a minibatch.
# Gradient descent: Adam turns rounding errors of a gradient near zero into whole steps.
ROWS = (
    *TINY,
    "optimizer=sgd",
    "architecture.minibatch=discrimination",
    "loss=relativistic_average",
    "inputs.packing=2",
)
IMAGES = ("dataset=digits", "architecture=dcgan", "architecture.width=2", "batch_size=16", "probe=off")
COLLECTIVE = re.compile(r"^\s*(?:ROOT )?\S+ = .*? (all-\w+|reduce-scatter|collective-permute)(?:-start)?\(", re.M)
ONE = Mesh()


def experiment(words: tuple[str, ...], mesh: Mesh = ONE, seed: int = 0) -> Experiment:
    config = check(compose("train", [*words, f"seed={seed}", "steps=400"]))
    return Experiment(config, load_data(config), mesh)


def trained(words: tuple[str, ...], mesh: Mesh, steps: int) -> dict[str, np.ndarray]:
    one = experiment(words, mesh)
    return flatten(one.advance(one.init(), steps)[0])


def difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The largest difference of two states, except for sums over steps; -1 if they are equal bit for bit."""
    if all(np.array_equal(one[name], other[name]) for name in one):
        return -1.0
    compared = [name for name in one if not name.startswith("accumulator") and one[name].size]
    return max(float(np.abs(one[name].astype(float) - other[name].astype(float)).max()) for name in compared)


def on_meshes() -> dict[str, float]:
    """The difference between one device and others after some steps."""
    cases = {
        "data": (WIDE, Mesh(data=8), 200),
        "sharded": (WIDE, Mesh(data=4, sharded=True), 200),
        # After 100 steps these weights are chaotic: on one device, a change of 1e-7 grows to 0.4 in 200 steps.
        "rows": (ROWS, Mesh(data=8), 50),
        "images": (IMAGES, Mesh(data=8), 20),
    }
    one = {words: trained(words, ONE, steps) for words, _, steps in cases.values()}
    return {name: difference(one[words], trained(words, mesh, steps)) for name, (words, mesh, steps) in cases.items()}


def resumed() -> dict[str, float]:
    """The difference between a run without a break on 8 devices and runs that continue on others from its middle."""
    whole = experiment(WIDE, Mesh(data=8))
    state, _ = whole.advance(whole.init(), 50)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder))
        checkpoints.save(50, state, {})
        checkpoints.wait()
        end = flatten(whole.advance(state, 50)[0])
        for count in (8, 4, 2, 1):
            mesh = Mesh(data=count, sharded=count == 4)
            one = experiment(WIDE, mesh)
            restored = mesh.placed(checkpoints.restore(one.abstract())[0])
            found[str(count)] = difference(end, flatten(one.advance(restored, 50)[0]))
    return found


def population() -> dict[str, Any]:
    """The difference between six members on 4 x 2 devices and on one, and the results of a frozen one."""
    members = [experiment(TINY, seed=seed) for seed in range(6)]
    plain, meshed = VmappedRuns(members), ShardedRuns(members, 1, Mesh(population=4, data=2))
    alone = plain.apart(plain.advance(plain.init(), 100)[0])
    state = meshed.init()
    spread = str(jax.tree.leaves(state[0].model)[0].sharding.spec)
    state, report = meshed.advance(meshed.freeze(state, [False] * 5 + [True]), 100)
    members_apart = [flatten(member) for member in meshed.apart(state)]
    pairs = zip([flatten(member) for member in alone[:5]], members_apart[:5], strict=True)
    again = meshed.apart(meshed.together(meshed.apart(state)))
    fetched = meshed.snapshot(state, 16, [np.zeros((0, 2))] * 6)[0]()[0].samples.shape
    return {
        "difference": max(difference(*pair) for pair in pairs),
        "frozen": int(members_apart[5]["step"]),
        "reports": len(report.means),
        "spread": spread,
        "round trip": max(difference(a, flatten(b)) for a, b in zip(members_apart, again, strict=True)),
        "samples": list(fetched),
    }


def streamed() -> dict[str, float]:
    """The difference between streamed data on a mesh and resident data on one device, for a run and a member."""
    words, mesh = (*TINY, "dataset=digits", "latent.dim=4"), Mesh(population=2, data=4)
    config = check(compose("train", [*words, "steps=400"]))
    whole, host = load_data(config), load_data(replace(config, feed="streamed"))
    one = [Experiment(config, reordered(whole, seed)) for seed in (0, 1)]
    alone = [flatten(run.advance(run.init(), 5)[0]) for run in one]
    run = Experiment(config, reordered(host, 0), Mesh(data=8))
    members = ShardedRuns([Experiment(config, reordered(host, seed)) for seed in (0, 1)], 1, mesh)
    fewer_state = fewer(members, members.advance(members.init(), 5)[0], [0])
    (last,) = fewer_state[0].apart(fewer_state[1])
    return {
        "run": difference(alone[0], flatten(run.advance(run.init(), 5)[0])),
        "member": difference(alone[0], flatten(last)),
        "devices": fewer_state[0].mesh.size,
    }


def collectives() -> dict[str, dict[str, int]]:
    """The communication of a compiled step on 8 devices, by kind."""
    cases = {
        "vectors": WIDE,
        "images": IMAGES,
        "vae": ("dataset=digits", "method=vae", "batch_size=16", "probe=off"),
        "streamed": (*WIDE, "dataset=digits", "latent.dim=4", "conditional=true", "feed=streamed"),
    }
    return {
        name: Counter(COLLECTIVE.findall(experiment(words, Mesh(data=8)).compiled().as_text()))
        for name, words in cases.items()
    }


def memory() -> dict[str, int]:
    """The bytes of the model on the first device, with all parameters and with a quarter of them."""
    found = {}
    for name, mesh in {"replicated": Mesh(data=4), "sharded": Mesh(data=4, sharded=True)}.items():
        leaves = jax.tree.leaves(experiment(WIDE, mesh).init().model)
        found[name] = sum(leaf.addressable_shards[0].data.nbytes for leaf in leaves)
    return found


if __name__ == "__main__":
    parts = {
        "meshes": on_meshes,
        "resumed": resumed,
        "population": population,
        "streamed": streamed,
        "collectives": collectives,
        "memory": memory,
    }
    json.dump({name: function() for name, function in parts.items()}, sys.stdout)
