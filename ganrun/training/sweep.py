"""Trains a sweep batch by batch; the runs of a batch are the members of one program."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax

from ganrun.comparison.report import report
from ganrun.config.hparams import varying
from ganrun.config.settings import Train
from ganrun.errors import GanrunError, cannot_write, tell
from ganrun.evaluation.evaluator import pictures_in
from ganrun.machine.cores import usable_cores
from ganrun.methods.run_state import RunState
from ganrun.storage.lock import Lock
from ganrun.storage.run_directory import PLAN, relative, save_config
from ganrun.storage.sweep_directory import varied_in
from ganrun.training import device
from ganrun.training.build import build_all
from ganrun.training.executor import Population, executor_for
from ganrun.training.init_from import initial_states, tell_taken
from ganrun.training.leading import led
from ganrun.training.loop import Pruner, Run
from ganrun.training.memory_forecast import MemoryForecast, memory_forecast
from ganrun.training.mesh import mesh_for
from ganrun.training.resume import go_back
from ganrun.training.retry import DISK, MEMORY, Retries, died, machine_failure
from ganrun.training.session import RunSession
from ganrun.training.shell_commands import command, resume_command, tensorboard_command
from ganrun.training.stopwatch import OTHER, PARTS, Stopwatch, added, time_line
from ganrun.training.sweep_plan import Job, Plan, ended, reason, warnings_of
from ganrun.training.train import Sweep, train
from ganrun.writers.console import Lines, Messages, PopulationDisplay
from ganrun.writers.fan_out import Worker

KEEP = 2  # minimum number of checkpoints per run, so that runs killed while saving have one in common
AGAIN = -1  # in place of an exit code: the run is tried again
WAITING = 1024  # rows per run that may be queued for the writers


def train_all(
    jobs: Sequence[Job],
    folder: Path,
    pruner: Pruner | None = None,
    whole: bool = True,
    varied: Collection[str] = (),
) -> list[int]:
    """Train ``jobs`` from their latest checkpoints, those with a common program together.

    Errors are reported as they occur and end only the runs that they concern. A signal ends all runs.

    Args:
        jobs: the runs.
        folder: the sweep's directory. The plan is written there, so that a sweep that was killed resumes with the same
            batches, and a log.
        pruner: may end runs early.
        whole: whether ``jobs`` are the whole sweep; if so, the runs are compared at the end.
        varied: hyperparameters that vary in the sweep, even if not in these ``jobs``.

    Returns:
        The exit code of each job.
    """
    varied = varying(job.config for job in jobs) | varied_in(folder) | set(varied)
    plan = Plan.read(folder, jobs) or Plan.of(jobs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            held.callback(Lock(folder).release)
            messages = Messages(folder)
            held.callback(messages.close)
            return _batches(plan, jobs, folder, messages, pruner, whole, varied)
    except OSError as error:
        raise cannot_write(error, folder) from error


def _batches(
    plan: Plan,
    jobs: Sequence[Job],
    folder: Path,
    messages: Messages,
    pruner: Pruner | None,
    whole: bool,
    varied: Collection[str],
) -> list[int]:
    """Train the unfinished ``jobs`` of ``plan`` batch by batch; return the exit code of each job."""
    messages.say(f"sweep directory: {relative(folder)}")
    watch = tensorboard_command(folder, max(pictures_in(job.config) for job in jobs))
    messages.say(f"{plan.describe()}; watch them with: {watch}")
    for job in jobs:
        if not (folder / PLAN).exists() or not (job.folder / "config.yaml").exists():
            job.folder.mkdir(parents=True, exist_ok=True)
            save_config(job.config, job.folder)
    plan.write(folder, jobs, varied)
    codes = {i: code for i, job in enumerate(jobs) if (code := ended(job)) is not None}
    if codes:
        messages.say(f"{len(codes)} of them have ended before")
    spent: dict[str, float] = {}
    begun, retries = time.monotonic(), Retries(max(job.config.retry for job in jobs), messages.say)
    while (batch := plan.next(codes)) is not None:
        shared, executor = Sweep(varied, len(jobs) > 1), None  # frees the last one
        left = [i for i in batch if codes.get(i) != 0]  # skips completed runs, also those resumed individually
        try:
            found, executor = _fit([jobs[i] for i in left], shared.stopwatch)
            fitting = len(left) if found is None else found.fitting
            if found is not None and executor is not None:
                messages.say(found.line())
            if fitting < len(left):
                _tell_too_large(messages, len(left), fitting)
            if 0 < fitting < len(left):
                plan.split(batch, fitting)
                plan.write(folder, jobs, varied)
                continue
            parts = [jobs[i] for i in left]
            results = [1] * len(left)
            if fitting:
                results = _train_batch(parts, executor, messages, pruner, shared)
                results = _retried([job.folder for job in parts], results, retries)
        except Exception as error:
            if _again([jobs[i].folder for i in left], error, retries):
                if machine_failure(error) == MEMORY and len(left) > 1:
                    plan.split(batch, -(-len(batch) // 2))
                    plan.write(folder, jobs, varied)
                continue
            cause = cannot_write(error, folder) if isinstance(error, OSError) else error
            alone = isinstance(cause, GanrunError) and len(left) == 1 < len(jobs)
            named = type(cause)(f"{relative(jobs[left[0]].folder)}: {cause}") if alone else cause
            results = [tell(named)] * len(left)
        spent = added(spent, shared.stopwatch.split())
        codes |= {i: code for i, code in zip(left, results, strict=True) if code != AGAIN}
        if (signal := max(results)) in (130, 143):
            retries.record()
            messages.say(f"resume with: {resume_command(folder)}")
            return [codes.get(i, signal) for i in range(len(jobs))]
    retries.record()
    runs = [job.folder for job in jobs if (job.folder / "config.yaml").exists()]  # one may have been deleted
    if whole and len(jobs) > 1 and runs:
        messages.say(report(runs, folder))
        _tell_end(messages, folder, runs, spent, time.monotonic() - begun, watch)
    return [codes[i] for i in range(len(jobs))]


def _again(runs: Sequence[Path], error: Exception, retries: Retries) -> bool:
    """Begin a retry of ``runs``, which ``error`` has ended together; return false if they are not tried again."""
    what = machine_failure(error)
    left = [run for run in runs if reason(run) is None or died(run)]
    if what is None or not retries.may(left):
        return False
    retries.begin(left, what, error, wait=what != MEMORY)
    return True


def _retried(runs: Sequence[Path], codes: list[int], retries: Retries) -> list[int]:
    """Return the exit ``codes`` of ``runs``, with AGAIN for those that are retried: their files were not written."""
    lost = [run for run, code in zip(runs, codes, strict=True) if code == 1 and died(run)]
    if max(codes) != 1 or not retries.may(lost):
        return codes
    retries.begin(lost, DISK, "files could not be written")
    return [AGAIN if run in lost else code for run, code in zip(runs, codes, strict=True)]


def _tell_end(
    messages: Messages, folder: Path, runs: Sequence[Path], spent: dict[str, float], seconds: float, watch: str
) -> None:
    """Print the outcome of a sweep and the commands to inspect it."""
    warned = warnings_of(runs)
    listed = "; ".join(f"{name} in {len(affected)}" for name, affected in warned.items())
    messages.say(f"warnings: {listed or 'none'}" + (" (each run's train.log has them)" if warned else ""))
    spent = spent | {OTHER: max(0.0, seconds - sum(spent.get(part, 0.0) for part in PARTS))}
    messages.say(f"time: {seconds:.1f} s: {time_line(spent)}")
    messages.say(f"sweep directory: {relative(folder)}")
    messages.say(f"watch them with: {watch}")
    messages.say(f"compare them with: {command('compare', relative(folder))}")


def _fit(jobs: list[Job], stopwatch: Stopwatch) -> tuple[MemoryForecast | None, Population | None]:
    """Compile the program of ``jobs``; return its memory, and the executor if all of them fit.

    A run by itself is compiled and measured when it is trained.
    """
    if len(jobs) == 1:
        return None, None
    with stopwatch.timing("loading"):
        configs = [job.config for job in jobs]
        experiments = build_all(configs)
    with stopwatch.timing("compiling"):
        executor = led(executor_for(experiments, mesh_for(configs[0], len(jobs))), configs)
        found = memory_forecast(executor, jobs[0].config)
    return found, executor if found.fitting == len(jobs) else None


def _tell_too_large(messages: Messages, sessions: int, fitting: int) -> None:
    free = f"{device.free_bytes() / 2**30:.1f} GiB are free"
    if fitting:
        messages.say(f"{sessions} runs at once do not fit the memory ({free}): {fitting} at a time")
    else:
        messages.say(
            f"not even one of these {sessions} runs fits the memory ({free}): choose smaller networks or batches"
        )


def _train_batch(
    jobs: list[Job], executor: Population | None, messages: Messages, pruner: Pruner | None, sweep: Sweep
) -> list[int]:
    """Train ``jobs`` as the members of ``executor``, or the only one by itself; return their exit codes."""
    if executor is None:
        return [train(jobs[0].config, jobs[0].folder, resume=True, pruner=pruner, sweep=sweep)]
    return _together(jobs, executor, messages, pruner, sweep)


def _together(
    jobs: list[Job], executor: Population, messages: Messages, pruner: Pruner | None, sweep: Sweep
) -> list[int]:
    """Train ``jobs`` as the members of ``executor``; return their exit codes."""
    with ExitStack() as held:
        sessions = []
        for experiment, job in zip(executor.experiments, jobs, strict=True):
            with sweep.stopwatch.timing("loading"):
                sessions.append(RunSession(experiment, job.config, job.folder, KEEP, sweep.varied, sweep.stopwatch))
            held.callback(sessions[-1].release)
            if (why := reason(job.folder)) is not None:
                sessions[-1].error = GanrunError(why)
        workers = [Worker(WAITING * len(jobs)) for _ in range(min(len(jobs), usable_cores()))]
        run = _open_run(jobs[0].config, executor, sessions, messages, workers, pruner)
        code = run.go()
        for worker in workers:
            if not run.stop.signal:  # after a signal they may still be busy evaluating
                worker.close()
    messages.say(_reached(sessions))
    return [1 if session.error else code for session in sessions]


def _reached(sessions: Sequence[RunSession]) -> str:
    """Return a line that says how far the runs of a batch have got."""
    line = f"{sum(session.going for session in sessions)} of {len(sessions)} runs reached"
    line += f" step {max(session.step for session in sessions)}"
    if pruned := sum(bool(session.pruned) for session in sessions):
        line += f", {pruned} pruned before"
    if ended := sum(session.ended for session in sessions):
        line += f", {ended} ended before by stop.when"
    return line


def _open_run(
    config: Train,
    executor: Population,
    sessions: list[RunSession],
    messages: Messages,
    workers: list[Worker],
    pruner: Pruner | None,
) -> Run:
    """Open ``sessions`` at their latest common checkpoint and return their run, ready to be started."""
    going, stopwatch = [session for session in sessions if session.going], sessions[0].stopwatch
    with stopwatch.timing("loading"):
        saved = go_back(going) or ()
    with stopwatch.timing("compiling"):
        state = _start(executor, sessions, dict(zip(map(id, going), saved, strict=False)))
    messages.say(
        f"{len(sessions)} runs: {', '.join(relative(session.folder) for session in (sessions[0], sessions[-1]))}"[:200]
    )
    with stopwatch.timing("loading"):
        for i, session in enumerate(sessions):
            if session.going:
                log = Messages(session.folder, name=relative(session.folder))
                session.open(log, [Lines(log, config.steps, session.newest)], workers[i % len(workers)])
                tell_taken(session)
    if executor.mesh.size > 1:
        messages.say(executor.mesh.describe())
    display = PopulationDisplay(
        messages, config.steps, config.log.every, lambda: [session.newest for session in sessions if session.going]
    )
    return Run(executor, sessions, state, going[0].step, display, pruner, evaluators=len(workers))


def _start(executor: Population, sessions: list[RunSession], states: dict[int, RunState]) -> Any:
    """Return the state of all members.

    ``states`` holds the restored states by the ``id`` of their session. Members that failed before are frozen.
    """
    if states:
        state = executor.together([states.get(id(session)) or session.experiment.init() for session in sessions])
    else:
        state = executor.init()
        if any(session.config.init_from is not None for session in sessions):
            state = executor.together(initial_states(executor.apart(state), sessions))
    return jax.block_until_ready(executor.freeze(state, [not session.going for session in sessions]))
