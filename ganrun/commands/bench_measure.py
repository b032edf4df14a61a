"""Measures a run's training loop: compile time, steps per second, and memory."""

from __future__ import annotations

import dataclasses
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import numpy as np

from ganrun import datasets
from ganrun.commands.bench_products import Product, large_product, product_speed, work_of_step
from ganrun.config.settings import Train
from ganrun.errors import ConfigError, GanrunError
from ganrun.methods.experiment import Experiment
from ganrun.methods.precision import PRODUCTS
from ganrun.training import device
from ganrun.training.build import build, load_data
from ganrun.training.executor import Executor, SingleRun, executor_for
from ganrun.training.mesh import mesh_for

MAX_SEED = 2**32 - 1
LOOP, PRODUCT = 0.7, 0.15  # shares of the time for the training loop, and for each of the two products
CALLS, FEWEST = 10, 3  # calls of the training loop to aim at, and minimum number
Phase = Callable[[str], AbstractContextManager[Any]]  # tells the user what is being measured


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The speed of a run's training loop on this machine.

    Attributes:
        members: runs in the program.
        compile_seconds: time to trace and compile the training step, without a cache of programs.
        steps_per_call: steps of one call.
        speeds: steps per second, of each member, in each call.
        flops: floating-point operations of the matrix products of one step of one member.
        large: the large product, and its speed in floating-point operations per second.
        dominant: the product with the largest share of the step's work, and its speed; None if the step has no product.
        peak_bytes: peak memory of the process, and of the device if it has memory of its own (otherwise None).
        machine: the device and the versions of the packages.
    """

    members: int
    compile_seconds: float
    steps_per_call: int
    speeds: tuple[float, ...]
    flops: float
    large: tuple[Product, float]
    dominant: tuple[Product, float] | None
    peak_bytes: tuple[int, int | None]
    machine: dict[str, Any]

    @property
    def steps_per_second(self) -> float:
        """The median over the calls, of each member."""
        return statistics.median(self.speeds)

    @property
    def flops_per_second(self) -> float:
        """Floating-point operations in matrix products per second, of all members together."""
        return self.flops * self.steps_per_second * self.members


def experiments_of(config: Train, members: int) -> list[Experiment]:
    """Return the experiments of ``members`` runs with successive seeds; a finite dataset is loaded once.

    Raises:
        ConfigError: the last seed would be too large, or the data cannot be loaded.
    """
    if config.seed + members - 1 > MAX_SEED:
        raise ConfigError(f"members={members} and seed={config.seed} need seeds beyond {MAX_SEED}.")
    configs = [dataclasses.replace(config, seed=config.seed + i) for i in range(members)]
    if members == 1:
        return [build(config)]
    data = load_data(config)
    return [Experiment(member, datasets.reordered(data, member.seed)) for member in configs]


def measure(config: Train, members: int, seconds: float, phase: Phase | None = None) -> Measurement:
    """Measure the training loop of ``config``.

    Args:
        config: of the run.
        members: runs with successive seeds, trained as one population.
        seconds: time for the measurements, besides compiling.
        phase: returns a context for each part of the work, given its description.

    Raises:
        ConfigError: the data cannot be loaded.
        GanrunError: the run diverges, so that it takes no further steps.
    """
    during = phase or (lambda _: nullcontext())
    with during("loading"):
        experiments = experiments_of(config, members)
        executor = SingleRun(experiments[0]) if members == 1 else executor_for(experiments, mesh_for(config, members))
        state = jax.block_until_ready(executor.init())
    with during("compiling"):
        state, first, _ = timed_call(executor, experiments, state, 1)
        state, second, _ = timed_call(executor, experiments, state, 1)
    del state  # the peak of the memory is that of one state
    with during("training"):
        n, speeds, report, _ = call_speeds(
            executor, experiments, second, config.steps_per_call, seconds * LOOP, config.steps
        )
    memory = _peak_bytes()
    work = work_of_step(experiments[0], _loops(experiments[0], report))
    with during("matrix products"):
        most = sorted(work, key=lambda product: work[product])[-1:]
        chosen = [large_product(*(product.dtype for product in most)), *most]
        with jax.default_matmul_precision(PRODUCTS[config.precision]):
            measured = [(product, product_speed(product, seconds * PRODUCT)) for product in chosen]
    return Measurement(
        members=members,
        compile_seconds=max(0.0, first - second),
        steps_per_call=n,
        speeds=tuple(speeds),
        flops=sum(work.values()),
        large=measured[0],
        dominant=measured[1] if work else None,
        peak_bytes=memory,
        machine=device.describe(),
    )


def timed_call(executor: Executor, experiments: Sequence[Experiment], state: Any, n: int) -> tuple[Any, float, Any]:
    """Take ``n`` steps; return the state, the seconds until it is complete, and the report."""
    begun = time.perf_counter()
    state, report = jax.block_until_ready(executor.advance(state, n))
    seconds = time.perf_counter() - begun
    bad_steps = np.atleast_1d(np.asarray(report.bad_step))
    if bad_steps.any():
        i = int(np.argmax(bad_steps > 0))
        tag = experiments[i].method.tags[int(np.atleast_1d(np.asarray(report.bad_tag))[i])]
        raise GanrunError(f"the run diverges at step {bad_steps[i]} ({tag}), so its speed cannot be measured.")
    return state, seconds, report


def call_speeds(
    executor: Executor, experiments: Sequence[Experiment], per_step: float, limit: int, seconds: float, steps: int
) -> tuple[int, list[float], Any, Any]:
    """Return the steps per call, the steps per second of each call, the last report, and the state.

    Runs of ``steps`` steps begin again where they end: beyond its last step, a run may diverge.
    """
    limit = min(limit, executor.most_steps or limit, steps)
    # A single step also includes the dispatch: the estimate of the time per step is from a longer call.
    n = max(1, min(limit, int(seconds / CALLS / per_step)))
    state, taken, report = timed_call(executor, experiments, jax.block_until_ready(executor.init()), n)
    done = n
    n = max(1, min(limit, int(n * seconds / CALLS / taken)))
    speeds: list[float] = []
    end = time.perf_counter() + seconds
    while len(speeds) < FEWEST or time.perf_counter() < end:
        if done + n > steps:
            del state  # its memory, before that of another
            state, done = jax.block_until_ready(executor.init()), 0
        done += n
        state, taken, report = timed_call(executor, experiments, state, n)
        speeds.append(n / taken)
    return n, speeds, report, state


def _loops(experiment: Experiment, report: Any) -> float:
    """Return the mean number of discriminator updates per step; 1 for a method that does not log it."""
    means = np.atleast_2d(np.asarray(report.means)).mean(axis=0)
    return float(dict(zip(experiment.method.tags, means, strict=True)).get("schedule/k", 1.0))


def _peak_bytes() -> tuple[int, int | None]:
    """Return the peak memory of the process, and that of the device with the highest, if devices report theirs."""
    unit = 1 if sys.platform == "darwin" else 1024
    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    peaks = [(item.memory_stats() or {}).get("peak_bytes_in_use") for item in jax.local_devices()]
    return process, max((int(peak) for peak in peaks if peak is not None), default=None)
