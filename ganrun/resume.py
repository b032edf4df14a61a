"""Where runs go on: the newest checkpoints that they have in common and that can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganrun.errors import GanrunError
from ganrun.sealed import Damaged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ganrun.checkpoints import Saved
    from ganrun.game.state import State
    from ganrun.lane import Lane


def go_back(lanes: Sequence[Lane]) -> list[State] | None:
    """Bring ``lanes`` to the newest step of which all have a checkpoint that can be read; return their states there.

    None where they have none in common: then they begin at step 0.

    Raises:
        GanrunError: there are such steps, but one of the checkpoints of each is damaged.
    """
    first = lanes[0].checkpoints
    steps = first.common([lane.checkpoints for lane in lanes])
    for step in reversed(steps):
        saved = [_unless_damaged(lane, step) for lane in lanes]
        whole = [one for one in saved if one is not None]
        if len(whole) == len(lanes):
            return [lane.restore(own) for lane, own in zip(lanes, whole, strict=True)]
    if steps:
        told = [line for lane in lanes for line in lane.checkpoints.damaged]
        raise GanrunError(told[0] + (f" So it is with {len(told) - 1} more." if len(told) > 1 else ""))
    for lane in lanes:
        lane.start()
    return None


def _unless_damaged(lane: Lane, step: int) -> Saved | None:
    try:
        return lane.read(step)
    except Damaged as error:
        lane.checkpoints.damaged.append(lane.checkpoints.unreadable(step, error))
        return None
