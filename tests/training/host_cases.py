"""Trains on streamed data as one of several hosts, and prints what it reads and the end as JSON: run by test_hosts.py.

    python host_cases.py COUNT [INDEX PORT]

With one host, the mesh has as many virtual devices as there are otherwise hosts.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.datasets import reordered, rows, streaming
from ganrun.mesh import Mesh, fetch
from ganrun.methods.experiment import Experiment
from ganrun.storage.state_arrays import flatten
from ganrun.training.build import load_data
from ganrun.training.executor import ShardedRuns, SingleRun

DEVICES = 2
WORDS = (
    "dataset=digits",
    "conditional=true",
    "feed=streamed",
    "batch_size=32",
    "steps_per_call=4",
    "probe=off",
    "latent.dim=4",
    "architecture.generator_hidden=[16]",
    "architecture.discriminator_hidden=[16]",
)
CALLS = (3, 2, 4)


def ends(executor: Any) -> list[str]:
    """The hashes of the members' states after the calls."""
    state = executor.init()
    for n in CALLS:
        state, report = executor.advance(state, n)
        jax.block_until_ready(report)
    states = [flatten(fetch(one)) for one in executor.apart(state)]
    return [hashlib.sha256(b"".join(one[name].tobytes() for name in sorted(one))).hexdigest() for one in states]


def main(count: int, index: int, port: int) -> None:
    if count > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", count, index, initialization_timeout=60)
    else:
        jax.config.update("jax_num_cpu_devices", DEVICES)
    read: list[int] = []
    ahead: list[int] = []
    original = rows.Reader.read

    def counted(self: rows.Reader, index: np.ndarray, out: np.ndarray) -> None:
        (ahead if threading.current_thread().name.startswith("ganrun-feed") else read).extend(index.tolist())
        original(self, index, out)

    rows.Reader.read = counted  # type: ignore[method-assign]
    config = check(compose("train", WORDS))
    data = load_data(config)
    members = [Experiment(replace(config, seed=seed), reordered(data, seed)) for seed in range(DEVICES)]
    executors = {
        "run": SingleRun(Experiment(config, data, Mesh(data=DEVICES))),
        "population": ShardedRuns(members, 1, Mesh(population=DEVICES)),
    }
    found = {}
    for name, executor in executors.items():
        read.clear()
        ahead.clear()
        hashes = ends(executor)
        streaming._thread().submit(int).result()  # the last window, which is read ahead, has been read before this
        found[name] = {"ends": hashes, "read": sorted(read + ahead), "ahead": len(ahead)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), *(map(int, sys.argv[2:]) if len(sys.argv) > 2 else (0, 0)))
