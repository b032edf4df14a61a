"""The summary of a run: ``summary.json``, and the closing report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ganrun.errors import StorageError
from ganrun.evaluation.budget import PARTS
from ganrun.evaluation.evaluator import pictures_in
from ganrun.storage.run_directory import STORAGE, relative
from ganrun.training import device
from ganrun.training.shell_commands import command, resume_command, tensorboard_command
from ganrun.training.stopwatch import time_line
from ganrun.writers.closing import metric_rows

if TYPE_CHECKING:
    from ganrun.training.session import RunSession


def summary(session: RunSession, status: str) -> str:
    """Return the text of ``summary.json`` for the run ``session``, which ended with ``status``."""
    content: dict[str, Any] = {
        "status": status,
        "steps": session.step,
        "seconds": round(session.elapsed(), 3),
        "seconds_split": {part: round(seconds, 3) for part, seconds in session.split().items()},
        "metrics": session.metrics(),
    }
    if session.budget is not None:
        content["evaluation"] = session.budget.describe(session.costs)
    if session.watch.findings:
        content["warnings"] = [finding.plain() for finding in session.watch.findings]
    if (best := session.checkpoints.best()) is not None:
        content["best_checkpoint"] = best
    if session.error is not None or session.pruned or session.ended:
        content["reason"] = str(session.error or session.pruned or session.ending)
    if session.retries:
        content["retries"] = session.retries
    if session.ended:
        content["stop"] = session.stop_settings()
    if isinstance(session.error, StorageError):
        content["cause"] = STORAGE
    return json.dumps(content | device.describe(), indent=2) + "\n"


def tell_end(session: RunSession, member: bool = False) -> None:
    """Print the outcome of the run ``session`` and the commands to use it; a ``member`` of a sweep only logs them."""
    say, show, folder = session.messages.say, not member, relative(session.folder)
    if rows := metric_rows(session.metrics(), session.newest, session.step):
        session.messages.table(rows, show=show)
    lines = [finding.told() for finding in session.watch.findings]
    say(f"warnings: {len(lines) or 'none'}", show=show)
    for line in lines:
        say(f"- {line}", show=show)
    # Known for this session only, so not given for a resumed run.
    overlapped = 0.0 if session.split_before else session.costs.spent - session.stopwatch.split()["evaluating"]
    say(f"time: {time_line(session.split(), overlapped)}", show=show)
    if line := _evaluation_line(session):
        say(line, show=show)
    if pictures := sum(1 for _ in (session.folder / "samples").glob("*.png")):
        say(f"pictures: {pictures} in {folder}/samples", show=show)
    if session.checkpoints.latest() is not None:
        say(f"draw samples with: {command('sample', f'run={folder}')}", show=show)
    announce(session, show=show)
    if session.stopped:
        say(f"resume with: {resume_command(session.folder)}", show=show)


def _evaluation_line(session: RunSession) -> str:
    """Return a line about what was left out of the evaluation to save time; empty if nothing was."""
    if session.budget is None:
        return ""
    evaluated = session.budget.describe(session.costs)
    counts = {part: evaluated[part] for part in PARTS if part in evaluated}
    if all(done == due for done, due in counts.values()):
        return ""
    listed = ", ".join(f"{part} {done} of {due} times" for part, (done, due) in counts.items())
    share = f"evaluated within evaluate.share={evaluated['share']:g} of the time"
    return f"{share}: {listed}; evaluate.share=1 leaves none out"


def announce(session: RunSession, more: str = "", *, show: bool = True) -> None:
    """Print the run directory of ``session`` and the TensorBoard command for it."""
    session.messages.say(f"run directory: {relative(session.folder)}{more}", show=show)
    watch = tensorboard_command(session.folder, pictures_in(session.config, session.folder))
    session.messages.say(f"watch it with: {watch}", show=show)
