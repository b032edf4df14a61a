"""What the note of a checkpoint looks like, which may come from a stranger."""

from __future__ import annotations

from typing import Any

from ganrun.untrusted import is_one_line
from ganrun.writers import is_growing

MOST = 2**63  # that a whole number in a note is less than


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
        and numbers(note.get("split", {}), int, float)
        and isinstance(rows, list)
        and all(map(is_row, rows))
        and sum(bool(row["look"]) for row in rows) == looks
    )
