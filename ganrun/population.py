"""A sweep at work: batch after batch of its plan, the runs of each as lanes of one program."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax

from ganrun import datasets, device
from ganrun.comparison.report import report
from ganrun.config import Train, data_folder
from ganrun.errors import GanrunError, cannot_write, tell
from ganrun.game.crew import Population, crew_of
from ganrun.game.method import Gan
from ganrun.game.state import State
from ganrun.hparams import varying
from ganrun.lane import Lane
from ganrun.lock import Lock
from ganrun.observer import pictures_in, samples_shown
from ganrun.resume import go_back
from ganrun.run import Judge, Run, Sweep, build, train
from ganrun.rundir import PLAN, relative, save_config
from ganrun.shell import command, resume_command, tensorboard_command
from ganrun.stopwatch import OTHER, PARTS, Stopwatch, added
from ganrun.sweep import Job, Plan, ended, reason, warnings_of
from ganrun.sweep_folder import varied_in
from ganrun.writers import Worker
from ganrun.writers.closing import time_line
from ganrun.writers.console import Crowd, Lines, Messages
from ganrun.writers.pictures import points

KEEP = 2  # checkpoints a lane keeps at least, so that lanes killed while they were saving have one in common
SHARE = 0.8  # of the free memory that training and looks may take: reading looks needs some too
WAITING = 1024  # rows of a lane that may wait to be written


def train_all(
    jobs: Sequence[Job],
    folder: Path,
    judge: Judge | None = None,
    whole: bool = True,
    varied: Collection[str] = (),
) -> list[int]:
    """Train ``jobs``, those of one program together, from where they stand; return their exit codes.

    ``folder`` is the sweep's: it gets the plan, so that a sweep that was killed goes on with the same lanes together,
    and a log. Errors are told as they come, and the runs that they do not concern go on. A signal ends them all.
    ``judge`` may end runs early. At the end they are compared, unless they are not the ``whole`` sweep. ``varied`` are
    hyperparameters that vary in the sweep though perhaps not in these ``jobs``.
    """
    varied = varying(job.config for job in jobs) | varied_in(folder) | set(varied)
    plan = Plan.read(folder, jobs) or Plan.of(jobs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            held.callback(Lock(folder).release)
            messages = Messages(folder)
            held.callback(messages.close)
            return _batches(plan, jobs, folder, messages, judge, whole, varied)
    except OSError as error:
        raise cannot_write(error, folder) from error


def _batches(
    plan: Plan,
    jobs: Sequence[Job],
    folder: Path,
    messages: Messages,
    judge: Judge | None,
    whole: bool,
    varied: Collection[str],
) -> list[int]:
    """Train what ``plan`` has left of ``jobs``, batch after batch; return their exit codes."""
    messages.say(f"sweep directory: {relative(folder)}")
    watch = tensorboard_command(folder, max(pictures_in(job.config) for job in jobs))
    messages.say(f"{plan.told()}; watch them with: {watch}")
    for job in jobs:
        if not (folder / PLAN).exists() or not (job.folder / "config.yaml").exists():
            job.folder.mkdir(parents=True, exist_ok=True)
            save_config(job.config, job.folder)
    plan.write(folder, jobs, varied)
    codes = {i: code for i, job in enumerate(jobs) if (code := ended(job)) is not None}
    if codes:
        messages.say(f"{len(codes)} of them have ended before")
    spent: dict[str, float] = {}
    begun = time.monotonic()
    while (batch := plan.next(codes)) is not None:
        shared = Sweep(varied, len(jobs) > 1)
        left = [i for i in batch if codes.get(i) != 0]  # what has arrived, perhaps by itself since, stays as it is
        try:
            fitting, crew = _fit([jobs[i] for i in left], shared.stopwatch)
            if fitting < len(left):
                _told_too_large(messages, len(left), fitting)
            if 0 < fitting < len(left):
                plan.split(batch, fitting)
                plan.write(folder, jobs, varied)
                continue
            parts = [jobs[i] for i in left]
            found = _trained(parts, crew, messages, judge, shared) if fitting else [1] * len(left)
        except Exception as error:
            told = cannot_write(error, folder) if isinstance(error, OSError) else error
            alone = isinstance(told, GanrunError) and len(left) == 1 < len(jobs)
            named = type(told)(f"{relative(jobs[left[0]].folder)}: {told}") if alone else told
            found = [tell(named)] * len(left)
        spent = added(spent, shared.stopwatch.split())
        codes |= dict(zip(left, found, strict=True))
        if (signal := max(found)) in (130, 143):
            messages.say(f"go on with: {resume_command(folder)}")
            return [codes.get(i, signal) for i in range(len(jobs))]
    runs = [job.folder for job in jobs if (job.folder / "config.yaml").exists()]  # someone may have deleted one
    if whole and len(jobs) > 1 and runs:
        messages.say(report(runs, folder))
        _tell_end(messages, folder, runs, spent, time.monotonic() - begun, watch)
    return [codes[i] for i in range(len(jobs))]


def _tell_end(
    messages: Messages, folder: Path, runs: Sequence[Path], spent: dict[str, float], seconds: float, watch: str
) -> None:
    """Say how a sweep has come out and what to do with it."""
    warned = warnings_of(runs)
    listed = "; ".join(f"{name} in {len(found)}" for name, found in warned.items())
    messages.say(f"warnings: {listed or 'none'}" + (" (each run's train.log has them)" if warned else ""))
    spent = spent | {OTHER: max(0.0, seconds - sum(spent.get(part, 0.0) for part in PARTS))}
    messages.say(f"time: {seconds:.1f} s: {time_line(spent)}")
    messages.say(f"sweep directory: {relative(folder)}")
    messages.say(f"watch them with: {watch}")
    messages.say(f"compare them with: {command('compare', relative(folder))}")


def _fit(jobs: list[Job], stopwatch: Stopwatch) -> tuple[int, Population | None]:
    """Compile the program of ``jobs``; return how many of them memory has room for, and the program if it is all."""
    if len(jobs) == 1:
        return 1, None
    with stopwatch.timing("loading"):
        gans = build_all(jobs)
    with stopwatch.timing("compiling"):
        crew = crew_of(gans)
        needed, free = memory(crew, jobs[0].config), SHARE * device.free_bytes()
    return (len(jobs), crew) if needed <= free else (int(len(jobs) * free / needed), None)


def memory(crew: Population, config: Train) -> int:
    """Return how many bytes ``crew`` needs to train and, if ``config`` asks for looks, for these. Compiles it."""
    looks = config.log.pictures or config.probe.name != "off"
    return crew.memory(samples_shown(crew.gans[0]) if looks else 0, [points(gan.data.density) for gan in crew.gans])


def _told_too_large(messages: Messages, lanes: int, fitting: int) -> None:
    free = f"{device.free_bytes() / 2**30:.1f} GiB are free"
    if fitting:
        messages.say(f"{lanes} runs at once do not fit the memory ({free}): {fitting} at a time")
    else:
        messages.say(f"not even one of these {lanes} runs fits the memory ({free}): choose smaller networks or batches")


def build_all(jobs: Sequence[Job]) -> list[Gan]:
    """Return the methods of ``jobs`` of one program; a finite set of data is loaded once."""
    first = jobs[0].config
    data = datasets.load(first.dataset, data_folder(first), first.seed, first.conditional)
    gans = []
    for config in (job.config for job in jobs):
        if data.density is None:
            gans.append(Gan(config, datasets.reordered(data, config.seed)))
        else:
            gans.append(build(config))
    return gans


def _trained(
    jobs: list[Job], crew: Population | None, messages: Messages, judge: Judge | None, sweep: Sweep
) -> list[int]:
    """Train ``jobs``, one by itself or many as the lanes of ``crew``; return their exit codes."""
    if crew is None:
        return [train(jobs[0].config, jobs[0].folder, resume=True, judge=judge, sweep=sweep)]
    return _together(jobs, crew, messages, judge, sweep)


def _together(jobs: list[Job], crew: Population, messages: Messages, judge: Judge | None, sweep: Sweep) -> list[int]:
    """Train ``jobs`` as the lanes of ``crew``; return their exit codes."""
    with ExitStack() as held:
        lanes = []
        for gan, job in zip(crew.gans, jobs, strict=True):
            lanes.append(Lane(gan, job.config, job.folder, KEEP, sweep.varied, sweep.stopwatch))
            held.callback(lanes[-1].release)
            if (why := reason(job.folder)) is not None:
                lanes[-1].error = GanrunError(why)
        workers = [Worker(WAITING * len(jobs)) for _ in range(min(len(jobs), os.cpu_count() or 1))]
        run = _begun(jobs[0].config, crew, lanes, messages, workers, judge)
        code = run.go()
        for worker in workers:
            if not run.stop.signal:  # else what is still being read keeps them busy
                worker.close()
    ended = f", {pruned} pruned before" if (pruned := sum(bool(lane.pruned) for lane in lanes)) else ""
    arrived = f"{sum(lane.going for lane in lanes)} of {len(lanes)} lanes arrived"
    messages.say(f"{arrived} at step {max(lane.step for lane in lanes)}{ended}")
    return [1 if lane.error else code for lane in lanes]


def _begun(
    config: Train,
    crew: Population,
    lanes: list[Lane],
    messages: Messages,
    workers: list[Worker],
    judge: Judge | None,
) -> Run:
    """Return the run of ``lanes`` from where they stand."""
    going, stopwatch = [lane for lane in lanes if lane.going], lanes[0].stopwatch
    with stopwatch.timing("loading"):
        saved = go_back(going) or ()
    with stopwatch.timing("compiling"):
        state = _start(crew, lanes, dict(zip(map(id, going), saved, strict=False)))
    messages.say(f"{len(lanes)} lanes: {', '.join(relative(lane.folder) for lane in (lanes[0], lanes[-1]))}"[:200])
    with stopwatch.timing("loading"):
        for i, lane in enumerate(lanes):
            if lane.going:
                own = Messages(lane.folder, name=relative(lane.folder))
                lane.open(own, [Lines(own, config.steps, lane.newest)], workers[i % len(workers)])
    crowd = Crowd(messages, config.steps, config.log.every, lambda: [lane.newest for lane in lanes if lane.going])
    return Run(crew, lanes, state, going[0].step, crowd, judge)


def _start(crew: Population, lanes: list[Lane], states: dict[int, State]) -> Any:
    """Return the state of all lanes, of which ``states`` has those that go on; what failed before takes no step."""
    if states:
        state = crew.together([states.get(id(lane)) or lane.method.init() for lane in lanes])
    else:
        state = crew.init()
    return jax.block_until_ready(crew.freeze(state, [not lane.going for lane in lanes]))
