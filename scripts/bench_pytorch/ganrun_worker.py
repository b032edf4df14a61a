"""The process of bench_vs_pytorch.py in which ganrun runs; it answers requests, one JSON object a line.

python -m bench_pytorch.ganrun_worker [KEY=VALUE ...]     settings of `ganrun train`
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ganrun.commands.bench_products import Product, large_product, product_speed, work_of_step
from ganrun.config import user_plugins
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.methods.experiment import Experiment
from ganrun.training import device
from ganrun.training.build import build
from ganrun.training.train import alone

CALL_SECONDS = 0.25  # duration of one call, as in the training loop


class Worker:
    """A run, and the answers to requests about it."""

    def __init__(self, words: list[str]) -> None:
        user_plugins.use(user_plugins.named(words))
        device.prepare()
        self.config = check(compose("train", words))
        self.experiment = build(self.config)
        self.state = jax.block_until_ready(self.experiment.init())
        self.per_step, self.k = CALL_SECONDS, 1.0

    def describe(self) -> dict[str, Any]:
        """Return the versions, the device, and the size and the work of the problem."""
        work = work_of_step(self.experiment, self.k)
        model = self.state.model
        return {
            **device.describe(),
            "parameters": sum(
                leaf.size for leaf in jax.tree.leaves((model.generator.params, model.discriminator.params))
            ),
            "flops": sum(work.values()),
            "large": large_product()[:4],
            "dominant": max(work, key=lambda product: work[product])[:4],
            "batch": self.config.batch_size,
            "steps": self.config.steps,
            "k": self.k,
        }

    def steps(self, n: int) -> float:
        """Take ``n`` steps with ``Experiment.advance``, in calls of the training loop's size; return the seconds."""
        begun, left, report = time.perf_counter(), n, None
        while left:
            call = max(1, min(left, self.config.steps_per_call, int(CALL_SECONDS / self.per_step)))
            self.state, report = self.experiment.advance(self.state, call)
            left -= call
        jax.block_until_ready(self.state)
        taken = time.perf_counter() - begun
        assert report is not None
        if int(report.bad_step):
            raise RuntimeError(f"the run diverges at step {int(report.bad_step)}")
        self.per_step = taken / n
        means = dict(zip(self.experiment.method.tags, np.asarray(report.means).tolist(), strict=True))
        self.k = round(means.get("schedule/k", 1.0))
        return taken

    def loop(self, n: int) -> float:
        """Train ``n`` steps as `ganrun train` does, in a temporary folder; return the seconds to the last file.

        There are as many pictures per step as in a run of the default length, but at least one.
        """
        pictures = math.ceil(self.config.log.pictures * min(1.0, n / self.config.steps))
        log = dataclasses.replace(self.config.log, pictures=pictures)
        config = dataclasses.replace(self.config, steps=n, log=log)
        experiment = Experiment(config, self.experiment.data)
        with tempfile.TemporaryDirectory() as folder:
            run = alone(experiment, config, Path(folder) / "run")
            jax.block_until_ready(run.state)
            begun = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                run.go()
            return time.perf_counter() - begun

    def images(self, path: str) -> bool:
        """Save the training images to ``path``, uint8 ``(examples, height, width, channel)``, if there are any."""
        rows = getattr(self.experiment.data.train, "flat", None)
        if rows is not None:
            np.save(path, np.asarray(rows).reshape(-1, *self.experiment.data.shape))
        return rows is not None

    def answer(self, request: dict[str, Any]) -> Any:
        """Return the answer to one request."""
        match request["do"]:
            case "describe":
                return self.describe()
            case "steps":
                return self.steps(request["n"])
            case "loop":
                return self.loop(request["n"])
            case "images":
                return self.images(request["path"])
            case "product":
                return product_speed(Product(*request["shape"]), request["seconds"])
        raise ValueError(f"there is no {request['do']}")


def main() -> None:
    """Answer requests until standard input ends."""
    out, worker = os.fdopen(os.dup(1), "w"), None
    os.dup2(2, 1)  # what ganrun prints must not be taken for an answer
    for line in sys.stdin:
        try:
            worker = worker or Worker(sys.argv[1:])
            reply: dict[str, Any] = {"answer": worker.answer(json.loads(line))}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        print(json.dumps(reply), file=out, flush=True)


if __name__ == "__main__":
    main()
