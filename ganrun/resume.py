"""Where runs go on: the newest checkpoints that they have in common and that can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganrun.errors import GanrunError
from ganrun.sealed import Damaged
from ganrun.untrusted import is_one_line
from ganrun.writers import is_growing

MOST = 2**63  # that a whole number in a note is less than

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


def is_note(note: dict[str, Any], looks: int) -> bool:
    """Return whether ``note`` has the form that :meth:`Lane.save` gives it, for as many ``looks``."""

    def is_number(value: Any, kinds: Any) -> bool:
        return isinstance(value, kinds) and (not isinstance(value, int) or abs(value) < MOST)

    def numbers(node: Any, *kinds: Any) -> bool:
        known = isinstance(node, dict) and all(map(is_one_line, node))
        return known and all(is_number(value, kinds) for value in node.values())

    def sizes(node: Any) -> bool:
        return numbers(node, int) and all(map(is_growing, node)) and min(node.values(), default=0) >= 0

    def is_row(row: Any) -> bool:
        known = isinstance(row, dict) and row.keys() == {"step", "scalars", "look"}
        return known and is_number(row["step"], int) and numbers(row["scalars"], int, float)

    def is_finding(node: Any) -> bool:
        known = isinstance(node, dict) and node.keys() == {"name", "step", "evidence", "try"}
        if not known or not is_number(node["step"], int) or not isinstance(node["try"], list):
            return False
        texts = (node["name"], node["evidence"], *node["try"])
        return all(isinstance(text, str) and is_one_line(text) for text in texts)

    def is_diagnosis(node: Any) -> bool:
        known = isinstance(node, dict) and node.keys() == {"findings", "seen"} and numbers(node["seen"], int)
        return known and isinstance(node["findings"], list) and all(map(is_finding, node["findings"]))

    rows = note.get("rows")
    return (
        is_diagnosis(note.get("diagnosis"))
        and sizes(note.get("files"))
        and numbers(note.get("metrics"), int, float, type(None))
        and is_number(note.get("seconds"), (int, float))
        and isinstance(rows, list)
        and all(map(is_row, rows))
        and sum(bool(row["look"]) for row in rows) == looks
    )
