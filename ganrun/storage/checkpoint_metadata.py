"""Validates the metadata of a checkpoint, which may come from an untrusted source."""

from __future__ import annotations

from typing import Any

from ganrun.storage.growing_files import is_growing
from ganrun.storage.safe_io import is_one_line

MAX = 2**63  # integers in the metadata are smaller than this in magnitude


def is_metadata(metadata: dict[str, Any], snapshots: int) -> bool:
    """Return whether ``metadata`` has the form that :meth:`RunSession.save` writes.

    ``snapshots`` is the number of snapshots stored with it, which must be that of the rows that have one.
    """

    def is_number(value: Any, kinds: Any) -> bool:
        return isinstance(value, kinds) and (not isinstance(value, int) or abs(value) < MAX)

    def numbers(node: Any, *kinds: Any) -> bool:
        known = isinstance(node, dict) and all(map(is_one_line, node))
        return known and all(is_number(value, kinds) for value in node.values())

    def sizes(node: Any) -> bool:
        return numbers(node, int) and all(map(is_growing, node)) and min(node.values(), default=0) >= 0

    def is_row(row: Any) -> bool:
        known = isinstance(row, dict) and row.keys() == {"step", "scalars", "snapshot"}
        return known and is_number(row["step"], int) and numbers(row["scalars"], int, float) and is_parts(row)

    def is_parts(row: dict[str, Any]) -> bool:
        parts = row["snapshot"]
        return isinstance(parts, list) and all(isinstance(part, str) and is_one_line(part) for part in parts)

    def is_finding(node: Any) -> bool:
        known = isinstance(node, dict) and node.keys() == {"name", "step", "evidence", "try"}
        if not known or not is_number(node["step"], int) or not isinstance(node["try"], list):
            return False
        texts = (node["name"], node["evidence"], *node["try"])
        return all(isinstance(text, str) and is_one_line(text) for text in texts)

    def is_diagnosis(node: Any) -> bool:
        known = isinstance(node, dict) and node.keys() == {"findings", "seen"} and numbers(node["seen"], int)
        return known and isinstance(node["findings"], list) and all(map(is_finding, node["findings"]))

    rows = metadata.get("rows")
    return (
        is_diagnosis(metadata.get("diagnosis"))
        and sizes(metadata.get("files"))
        and numbers(metadata.get("metrics"), int, float, type(None))
        and is_number(metadata.get("seconds"), (int, float))
        and numbers(metadata.get("split", {}), int, float)
        and is_one_line(metadata.get("ending", ""))
        and is_number(metadata.get("retries", 0), int)
        and isinstance(rows, list)
        and all(map(is_row, rows))
        and sum(bool(row["snapshot"]) for row in rows) == snapshots
    )
