"""Restores runs from the newest readable checkpoints that they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganrun.errors import GanrunError
from ganrun.storage.checksums import Damaged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ganrun.methods.run_state import RunState
    from ganrun.storage.checkpoints import Saved
    from ganrun.training.session import RunSession


def go_back(sessions: Sequence[RunSession]) -> list[RunState] | None:
    """Restore ``sessions`` to the newest step for which all have a readable checkpoint; return their states.

    Without a common checkpoint the sessions start at step 0, and None is returned.

    Raises:
        GanrunError: there are common steps, but at each of them a checkpoint is damaged.
    """
    first = sessions[0].checkpoints
    steps = first.common([session.checkpoints for session in sessions])
    for step in reversed(steps):
        saved = [_unless_damaged(session, step) for session in sessions]
        intact = [checkpoint for checkpoint in saved if checkpoint is not None]
        if len(intact) == len(sessions):
            return [session.restore(checkpoint) for session, checkpoint in zip(sessions, intact, strict=True)]
    if steps:
        lines = [line for session in sessions for line in session.checkpoints.damaged]
        raise GanrunError(lines[0] + (f" {len(lines) - 1} more cannot be read either." if len(lines) > 1 else ""))
    for session in sessions:
        session.start()
    return None


def _unless_damaged(session: RunSession, step: int) -> Saved | None:
    try:
        return session.read(step)
    except Damaged as error:
        session.checkpoints.damaged.append(session.checkpoints.unreadable(step, error))
        return None
