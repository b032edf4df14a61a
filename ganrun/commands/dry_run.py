"""``ganrun train --dry-run``: says what a command line would run, without running it or writing anything."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from ganrun.cli import UNUSED
from ganrun.config.cli_args import CliArguments
from ganrun.config.hydra_bridge import use_plugins
from ganrun.config.registry import require_options
from ganrun.errors import ConfigError

if TYPE_CHECKING:
    from ganrun.commands.dry_run_plan import Planned
    from ganrun.commands.dry_run_trial import Trial
    from ganrun.training.sweep_plan import Plan

OPTION, TIMED = "--dry-run", "timed"
LIMIT = 10.0  # seconds in which a dry run answers, unless it is asked to time every program
AROUND = 1.0  # of these, for the start of Python before and the answer after


def option_of(words: list[str]) -> tuple[str | None, list[str]]:
    """Return the value of ``--dry-run`` in ``words``, empty without one, None if it is not there; and the other words.

    Raises:
        ConfigError: it has another value.
    """
    given = [word for word in words if word.partition("=")[0] == OPTION]
    value = given[-1].partition("=")[2] if given else None
    if value not in (None, "", TIMED):
        raise ConfigError(f"{given[-1]}: write {OPTION}, or {OPTION}={TIMED} to time every program.")
    return value, [word for word in words if word not in given]


def main(arguments: CliArguments, timed: bool, sweeper_words: Sequence[str] = ()) -> int:
    """Print what ``arguments`` would run.

    Args:
        arguments: the command line.
        timed: whether to time every program, however long it takes.
        sweeper_words: the default launcher and sweeper of a sweep.

    Raises:
        ConfigError: the command line is wrong, as ``ganrun train`` would say.
    """
    begun = time.monotonic()
    if arguments.value("resume") is not None:
        raise ConfigError(f"{OPTION} says what a new run or sweep would be: leave out resume.")
    use_plugins(arguments)
    require_options()
    arguments = arguments.replaced([*arguments.overrides, *sweeper_words])
    from ganrun.commands.dry_run_plan import batches_of, read_plan

    planned = read_plan(arguments)
    from ganrun.config.schema import to_dict
    from ganrun.training import device
    from ganrun.training.mesh import cpu_devices

    device.prepare(cpu_devices(map(to_dict, planned.configs[:1])))
    from ganrun.commands.dry_run_format import lines_of
    from ganrun.commands.dry_run_trial import write_no_programs

    write_no_programs()
    jobs, plan = batches_of(planned)
    trials = _tried(jobs, plan, planned, None if timed else begun + LIMIT - AROUND)
    for line in lines_of(planned, jobs, plan, trials):
        print(line)
    return 0


def _tried(jobs: Sequence[Any], plan: Plan, planned: Planned, until: float | None) -> dict[Hashable, Trial]:
    """Measure each program at its largest batch, those of most runs first, ``until`` a time of the monotonic clock."""
    from ganrun.commands.dry_run_plan import program_of
    from ganrun.commands.dry_run_trial import Trial, measure

    largest: dict[Hashable, list[int]] = {}
    for batch in plan.batches:
        key = program_of(planned, batch)
        if len(batch) > len(largest.get(key, ())):
            largest[key] = batch
    runs = Counter(program_of(planned, batch) for batch in plan.batches for _ in batch)
    trials = {key: Trial(len(largest[key])) for key, _ in runs.most_common()}

    def work() -> None:
        for key, trial in trials.items():
            measure(trial, [jobs[i] for i in largest[key]])

    thread = threading.Thread(target=work, name=UNUSED, daemon=True)
    thread.start()
    thread.join(None if until is None else max(0.1, until - time.monotonic()))
    return {key: dataclasses.replace(trial) for key, trial in trials.items()}
