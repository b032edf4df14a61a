"""The end of a run: what its ``summary.json`` holds, and what a person is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ganrun import device
from ganrun.errors import StorageError
from ganrun.observer import pictures_in
from ganrun.rundir import STORAGE, relative
from ganrun.shell import command, resume_command, tensorboard_command
from ganrun.writers.closing import metric_rows, time_line

if TYPE_CHECKING:
    from ganrun.lane import Lane


def summary(lane: Lane, status: str) -> str:
    """Return the text of ``summary.json`` of the run ``lane``, which has ended with ``status``."""
    content: dict[str, Any] = {
        "status": status,
        "steps": lane.step,
        "seconds": round(lane.elapsed(), 3),
        "seconds_split": {part: round(seconds, 3) for part, seconds in lane.split().items()},
        "metrics": lane.metrics(),
    }
    if lane.watch.findings:
        content["warnings"] = [found.plain() for found in lane.watch.findings]
    if (best := lane.checkpoints.best()) is not None:
        content["best_checkpoint"] = best
    if lane.error is not None or lane.pruned:
        content["reason"] = str(lane.error or lane.pruned)
    if isinstance(lane.error, StorageError):
        content["cause"] = STORAGE
    return json.dumps(content | device.describe(), indent=2) + "\n"


def tell_end(lane: Lane, member: bool = False) -> None:
    """Say how the run ``lane`` has come out and what to do with it; of a ``member`` of a sweep in its log only."""
    say, show, folder = lane.messages.say, not member, relative(lane.folder)
    if rows := metric_rows(lane.metrics(), lane.newest, lane.step):
        lane.messages.table(rows, show=show)
    found = [one.told() for one in lane.watch.findings]
    say(f"warnings: {len(found) or 'none'}", show=show)
    for line in found:
        say(f"- {line}", show=show)
    beside = 0.0 if lane.split_before else lane.looking - lane.stopwatch.split()["evaluating"]  # of this sitting
    say(f"time: {time_line(lane.split(), beside)}", show=show)
    if pictures := sum(1 for _ in (lane.folder / "samples").glob("*.png")):
        say(f"pictures: {pictures} in {folder}/samples", show=show)
    if lane.checkpoints.latest() is not None:
        say(f"draw samples with: {command('sample', f'run={folder}')}", show=show)
    announce(lane, show=show)
    if lane.stopped:
        say(f"go on with: {resume_command(lane.folder)}", show=show)


def announce(lane: Lane, more: str = "", *, show: bool = True) -> None:
    """Say where the run ``lane`` is and how to watch it."""
    lane.messages.say(f"run directory: {relative(lane.folder)}{more}", show=show)
    watch = tensorboard_command(lane.folder, pictures_in(lane.config, lane.folder))
    lane.messages.say(f"watch it with: {watch}", show=show)
