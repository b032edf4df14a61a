"""The trial of a program for a dry run: its memory, and how long its parts take, measured without writing anything."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ganrun.commands.bench_measure import call_speeds, timed_call
from ganrun.config.settings import Train
from ganrun.errors import GanrunError
from ganrun.evaluation.evaluator import Evaluator, Snapshot
from ganrun.machine.cores import usable_cores
from ganrun.methods.experiment import Experiment
from ganrun.methods.run_state import Report, RunState
from ganrun.plots.pictures import points
from ganrun.training.build import build, build_all
from ganrun.training.executor import Executor, SingleRun, executor_for
from ganrun.training.memory_forecast import SHARE, memory_forecast
from ganrun.training.mesh import mesh_for
from ganrun.training.sweep_plan import Job, cut

SECONDS = 1.0  # time for the calls of the training program
NEVER = 1e9  # seconds of compiling from which a program is stored in the cache: none is


@dataclasses.dataclass
class Trial:
    """What is known of a program; None: not measured yet.

    Attributes:
        members: runs in the program.
        bytes: memory that it needs; 0 if unknown.
        free: memory for it: the share of the free memory that a sweep uses.
        fits: whether one run or more fits.
        loading: seconds to load the data.
        compiling: seconds to compile the program, or to read it from the cache of programs.
        per_step: seconds of a step of all members.
        first: seconds that the first evaluation takes more than the others.
        costs: seconds of each part of an evaluation of one run (:data:`~ganrun.evaluation.budget.PARTS`).
        times: how often each part is due.
        error: why no more can be measured.
    """

    members: int
    bytes: int | None = None
    free: int = 0
    fits: bool = True
    loading: float | None = None
    compiling: float | None = None
    per_step: float | None = None
    first: float | None = None
    costs: dict[str, float] | None = None
    times: dict[str, int] = dataclasses.field(default_factory=dict)
    error: str = ""


class Compiled(SingleRun):
    """A single run whose program is compiled already."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment)
        self.program = experiment.compiled()

    def advance(self, state: RunState, n: int) -> tuple[RunState, Report]:
        one = self.experiments[0]
        result = self.program(state, one.window(state.cursor, n), one.data.held_out, jnp.int32(n))
        one.prefetch()
        return result


def write_no_programs() -> None:
    """Let JAX read its cache of programs, and not write to it."""
    jax.config.update("jax_persistent_cache_min_compile_time_secs", NEVER)


def measure(trial: Trial, jobs: Sequence[Job]) -> None:
    """Measure the program of ``jobs`` and write what is found to ``trial``, as soon as it is known.

    If not all of ``jobs`` fit in memory, as many are measured as a sweep would train at a time.
    """
    try:
        executor = _open(trial, jobs)
        if executor is not None:
            config = jobs[0].config
            state = _train(trial, executor, config)
            _evaluate(trial, executor, state, config)
    except (GanrunError, OSError) as error:
        trial.error = str(error).splitlines()[0]


def _open(trial: Trial, jobs: Sequence[Job]) -> Executor | None:
    begun, trial.members = time.perf_counter(), len(jobs)
    config, single = jobs[0].config, len(jobs) == 1
    experiments = [build(config)] if single else build_all([job.config for job in jobs])
    loaded = time.perf_counter()
    trial.loading = loaded - begun
    mesh = mesh_for(config, len(jobs))
    executor: Any = Compiled(experiments[0]) if single else executor_for(experiments, mesh)
    found = memory_forecast(executor, config)
    trial.free = int(SHARE * found.free)
    if 0 < found.fitting < len(jobs):
        return _open(trial, jobs[: len(cut(list(range(len(jobs))), found.fitting)[0])])
    if not found.fitting:
        trial.fits = False
        trial.error = "not even one run fits the memory"
    trial.bytes, trial.compiling = found.more, time.perf_counter() - loaded
    return executor if trial.fits else None


def _train(trial: Trial, executor: Executor, config: Train) -> Any:
    begun = time.perf_counter()
    experiments = executor.experiments  # type: ignore[attr-defined]
    state = jax.block_until_ready(executor.init())
    state, _, _ = timed_call(executor, experiments, state, 1)
    state, second, _ = timed_call(executor, experiments, state, 1)
    assert trial.compiling is not None
    trial.compiling += time.perf_counter() - begun - 2 * second
    limit = min(config.steps_per_call, config.log.every)
    del state  # its memory, before that of another
    _, speeds, _, state = call_speeds(executor, experiments, second, limit, SECONDS, config.steps)
    trial.per_step = statistics.median(1 / speed for speed in speeds)
    return state


def _evaluate(trial: Trial, executor: Executor, state: Any, config: Train) -> None:
    experiments = executor.experiments  # type: ignore[attr-defined]
    evaluator = Evaluator(experiments[0], config)
    trial.times = {part: times for part, times in evaluator.times().items() if times}
    if not evaluator.at_the_end:
        trial.first, trial.costs = 0.0, {}
        return
    shown = [points(one.data.density) for one in experiments]
    fetch = executor.snapshot(state, evaluator.samples, shown)[0]
    snapshot = Snapshot(config.steps, fetch, evaluator.at_the_end, last=True)
    workers = usable_cores() if len(experiments) == 1 else 1
    seconds = []
    for _ in range(2):
        begun = time.perf_counter()
        result = evaluator.read(snapshot, workers)
        seconds.append(time.perf_counter() - begun)
    trial.first, trial.costs = max(0.0, seconds[0] - seconds[1]), result.seconds


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Seconds that a batch of runs takes, by part."""

    loading: float
    compiling: float
    training: float
    evaluating: float

    @property
    def total(self) -> float:
        return self.loading + self.compiling + self.training + self.evaluating

    def __add__(self, other: Forecast) -> Forecast:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Forecast(*(one + two for one, two in pairs))


NOTHING = Forecast(0.0, 0.0, 0.0, 0.0)


def forecast(trial: Trial, config: Train, members: int, again: bool, pruned: bool = False) -> Forecast | None:
    """Return how long a batch takes; None if the speed of its program is not known.

    Evaluation is added to training where both compete for the cores of a CPU: in a population, or on a single core.
    Elsewhere only the last one is added, for which nothing is left to train. If its cost is not known, it is assumed to
    take the share of the time that it may.

    Args:
        trial: of its program.
        config: of one of its runs.
        members: number of its runs.
        again: whether a batch of the same program was trained before, so that nothing is compiled.
        pruned: whether decisions depend on every evaluation, so that there is no limit to them.
    """
    if trial.per_step is None or trial.loading is None or trial.compiling is None:
        return None
    scale, cores = members / trial.members, usable_cores()
    training = config.steps * trial.per_step * scale
    compiling = 0.0 if again else trial.compiling
    base = trial.loading * scale + compiling + training
    decides = pruned or config.checkpoint.best is not None or config.stop.when is not None
    share = 1.0 if decides else config.evaluate.share
    if trial.costs is None:
        return Forecast(trial.loading * scale, compiling, training, base * min(share, 0.5) / (1 - min(share, 0.5)))
    threads = min(members, cores)
    last = sum(trial.costs.values()) * members / threads
    every = sum(times * trial.costs.get(part, 0.0) for part, times in trial.times.items()) * members / threads
    affordable = every if share >= 1 else min(every, max(last, share / (1 - share) * base))
    competes = jax.default_backend() == "cpu" and (members > 1 or cores == 1)
    first = 0.0 if again else trial.first or 0.0
    evaluating = affordable + first if competes else last + max(0.0, first - training)
    return Forecast(trial.loading * scale, compiling, training, evaluating)
