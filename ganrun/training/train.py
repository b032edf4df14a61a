"""Builds a run from its config and trains it by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ganrun.config.settings import Stop, Train
from ganrun.errors import GanrunError, cannot_write
from ganrun.methods.experiment import Experiment
from ganrun.storage.folder_checks import require_free
from ganrun.storage.run_directory import changed_names, completed, load_config, relative, steps_done, with_source
from ganrun.storage.sweep_directory import sweep_of, varied_in
from ganrun.training.build import build
from ganrun.training.executor import SingleRun
from ganrun.training.init_from import initial_states, matched, read_source, tell_taken
from ganrun.training.leading import led
from ganrun.training.loop import Pruner, Run
from ganrun.training.memory_forecast import memory_forecast, too_large
from ganrun.training.resume import go_back
from ganrun.training.session import RunSession
from ganrun.training.stopwatch import Stopwatch
from ganrun.writers.console import Lines, Messages


@dataclass(frozen=True)
class Sweep:
    """What a run shares with the other runs of its sweep.

    Attributes:
        varied: hyperparameters to show even if they have their default value.
        member: whether the run is one of several; such a run prints no closing report of its own.
        stopwatch: measures how the run's time is divided.
    """

    varied: Collection[str] = ()
    member: bool = False
    stopwatch: Stopwatch = dataclasses.field(default_factory=Stopwatch)


def train(
    config: Train,
    folder: Path,
    *,
    resume: bool = False,
    pruner: Pruner | None = None,
    sweep: Sweep | None = None,
) -> int:
    """Train in the run directory ``folder`` until ``config.steps``, or until ``pruner`` ends the run.

    Args:
        config: of the run.
        folder: the run directory.
        resume: whether to continue from the latest checkpoint in ``folder``.
        pruner: may end the run early.
        sweep: what the run shares with the other runs of its sweep, if it belongs to one.

    Returns:
        The exit code.

    Raises:
        ConfigError: the settings are incompatible. Nothing has been written.
        GanrunError: the run failed; ``summary.json`` records the reason.
    """
    if not resume:
        require_free(folder)
    if resume and completed(folder, config):
        changed = changed_names(load_config(folder), config)
        ignored = f" Until then the changed settings have no effect: {', '.join(changed)}." if changed else ""
        if completed(folder, dataclasses.replace(config, stop=Stop())):
            line = f"is complete at step {config.steps}; give a larger steps=N to go on."
        else:
            line = f"is complete: it ended early, at step {steps_done(folder)}; set stop.when=null to go on."
        print(f"{relative(folder)} {line}{ignored}")
        return 0
    if resume and (folder / "config.yaml").exists():
        # That which the run was started with: its other names, such as latest, may be another run's by now.
        config = dataclasses.replace(config, init_from=load_config(folder).init_from)
    config = with_source(config, resumed=resume)
    sweep = sweep or Sweep()
    sweep_folder = sweep_of(folder)
    varied = set(sweep.varied) | (varied_in(sweep_folder) if sweep_folder is not None else set())
    with sweep.stopwatch.timing("loading"):
        experiment = build(config)
    with sweep.stopwatch.timing("compiling"):
        needed = memory_forecast(SingleRun(experiment), config)
    if not needed.fitting:
        raise GanrunError(too_large("this run", needed))
    run = alone(experiment, config, folder, resume, pruner, dataclasses.replace(sweep, varied=varied))
    run.forecast = needed.line()
    code = run.go()
    if (error := run.sessions[0].error) is not None:
        raise error
    return code


def alone(
    experiment: Experiment,
    config: Train,
    folder: Path,
    resume: bool = False,
    pruner: Pruner | None = None,
    sweep: Sweep | None = None,
) -> Run:
    """Return a single run of ``experiment`` in ``folder``, ready to be started with :meth:`Run.go`."""
    sweep = sweep or Sweep()
    if config.init_from is not None and not resume:
        matched(experiment, read_source(config.init_from))  # raises before anything is written
    with sweep.stopwatch.timing("loading"):
        session = RunSession(experiment, config, folder, varied=sweep.varied, stopwatch=sweep.stopwatch)
    try:
        with sweep.stopwatch.timing("loading"):
            states = go_back([session]) if resume else None
            messages = Messages(folder)
            lines = Lines(messages, config.steps, session.newest)
            session.open(messages, [lines])
    except BaseException as error:
        session.release()
        if isinstance(error, OSError):
            raise cannot_write(error, folder) from error
        raise
    with sweep.stopwatch.timing("compiling"):
        executor = led(SingleRun(experiment), [config])
        state = executor.together(states) if states else executor.init()
        if not states and config.init_from is not None:
            state = executor.together(initial_states(executor.apart(state), [session]))
    tell_taken(session)
    if experiment.mesh.size > 1:
        messages.say(experiment.mesh.describe())
    return Run(executor, [session], state, session.step, lines, pruner, sweep.member)
