"""The result of ``ganrun eval`` as text, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ganrun.errors import WIDTH, shown
from ganrun.evaluation.measurements.base import Measurement, Sets, Settings
from ganrun.evaluation.measurements.families import FAMILIES, Result
from ganrun.evaluation.metrics.spec import spec_of
from ganrun.methods.metric_spec import MetricSpec

HEADINGS = ("metric", "value", "interval", "n", "floor", "better", "flag")
COLUMNS = (
    "samples", "metric", "value", "low", "high", "interval", "n", "reference_n", "floor", "floor_n", "unit", "better",
    "flags", "features", "checksum", "seed",
)  # fmt: skip
TESTS = {"authenticity": "AuthPct", "data_copying": "C_T", "copy_test": "copy_test"}


@dataclass(frozen=True)
class Evaluation:
    """What was measured on one set of samples, and how."""

    sets: Sets
    result: Result
    settings: Settings


def as_text(evaluations: Sequence[Evaluation]) -> str:
    """Return a table for each of ``evaluations``."""
    return "\n".join(_table(one) for one in evaluations)


def _table(one: Evaluation) -> str:
    rows = [HEADINGS, *(_row(measurement) for measurement in one.result.measurements)]
    rows[0] = tuple(f"{one.settings.level:.0%} interval" if head == "interval" else head for head in HEADINGS)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"samples    {one.sets.label}", f"reference  {one.sets.reference_label}", ""]
    lines += ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", *_foot(one), ""])


def _row(found: Measurement) -> tuple[str, ...]:
    spec = _spec(found.tag)
    unit = f" {spec.unit}" if spec.unit else ""
    value = "-" if found.value is None else f"{_number(found.value)}{unit}{' !' if found.flags else ''}"
    interval = "-" if found.low is None or found.high is None else f"{_number(found.low)} to {_number(found.high)}"
    sizes = " : ".join(str(n) for n in (found.n, found.reference_n) if n) or "-"
    floor = "-" if found.floor is None else _number(found.floor)
    if found.floor is not None and found.floor_n not in (0, found.n):
        floor += f" (n = {found.floor_n})"
    return found.tag, value, interval, sizes, floor, spec.better or "", "; ".join(found.flags)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _foot(one: Evaluation) -> list[str]:
    """Return lines that say how the numbers were computed."""
    sets, settings, result = one.sets, one.settings, one.result
    weights = f"sha256 {sets.extractor.checksum}" if sets.extractor.checksum else "no weights"
    kinds: dict[str, list[str]] = {}
    for found in result.measurements:
        if found.interval:
            kinds.setdefault(found.interval, []).append(found.tag)
    lines = [
        f"features   {sets.extractor.name}, {sets.extractor.size} numbers, {weights}",
        f"settings   seed {settings.seed}, k {settings.k}, n {len(sets.fake)} samples : {len(sets.reference)} examples",
        *(f"interval   {kind}: {', '.join(tags)}" for kind, tags in kinds.items()),
    ]
    if any(found.floor is not None for found in result.measurements):
        lines.append("floor      the same metric of real examples in the place of the samples")
    lines += [f"power      {line}" for line in _power(result.measurements)]
    if any(found.flags for found in result.measurements):
        lines.append("!          see the flag: the value must not be read as it stands")
    lines += [f"left out   {name}: {reason}" for name, reason in result.left_out.items()]
    return [*lines, *(f"warning    {shown(note)}" for note in sets.notes)]


def _power(measurements: Sequence[Measurement]) -> list[str]:
    """Return the smallest shares of copies that the tests find."""
    lines = []
    for found in measurements:
        power = found.details.get("power")
        if power:
            told = ", ".join(f"{kind} copies {_share(share)}" for kind, share in power.items())
            lines.append(f"{TESTS[found.tag]} finds, in 80 % of repeats at the 5 % level: {told}")
    return lines


def _share(share: float | None) -> str:
    return "never, up to half of the samples" if share is None else f"from {100 * share:g} % of the samples on"


def as_json(evaluations: Sequence[Evaluation]) -> str:
    """Return all numbers as a JSON object."""
    return json.dumps({"evaluations": [_object(one) for one in evaluations]}, allow_nan=False, indent=2) + "\n"


def _object(one: Evaluation) -> dict[str, Any]:
    sets = one.sets
    extractor = {"name": sets.extractor.name, "size": sets.extractor.size, "checksum": sets.extractor.checksum}
    return {
        "samples": shown(sets.label),
        "reference": shown(sets.reference_label),
        "n": len(sets.fake),
        "reference_n": len(sets.reference),
        "seed": one.settings.seed,
        "k": one.settings.k,
        "level": one.settings.level,
        "features": extractor,
        "metrics": {found.tag: _fields(found) for found in one.result.measurements},
        "left_out": one.result.left_out,
        "warnings": list(sets.notes),
    }


def _fields(found: Measurement) -> dict[str, Any]:
    spec = _spec(found.tag)
    numbers = {name: _finite(getattr(found, name)) for name in ("value", "low", "high", "floor")}
    sizes = {"n": found.n, "reference_n": found.reference_n, "floor_n": found.floor_n}
    about = {"interval": found.interval, "unit": spec.unit, "better": spec.better, "flags": list(found.flags)}
    return numbers | sizes | about | {"details": _plain(found.details)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return _finite(value) if isinstance(value, float) else value


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def as_csv(evaluations: Sequence[Evaluation]) -> str:
    """Return one line per number."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one in evaluations:
        common = {"samples": shown(one.sets.label), "features": one.sets.extractor.name, "seed": one.settings.seed}
        common["checksum"] = one.sets.extractor.checksum
        for found in one.result.measurements:
            fields = _fields(found) | {"metric": found.tag, "flags": "; ".join(found.flags)} | common
            writer.writerow({name: fields[name] for name in COLUMNS})
    return text.getvalue()


def beside(evaluations: Sequence[Evaluation]) -> str:
    """Return a line with what :func:`as_csv` has no column for: what was left out, and warnings; empty for nothing."""
    parts = []
    for one in evaluations:
        found = [f"{name}: {reason}" for name, reason in one.result.left_out.items()] + list(one.sets.notes)
        if found:
            parts.append((f"{one.sets.label}: " if len(evaluations) > 1 else "") + ", ".join(found))
    return shown("; ".join(parts), WIDTH)


def _spec(tag: str) -> MetricSpec:
    own = (spec for family in FAMILIES for spec in family.specs if spec.name == tag)
    return next(own, None) or spec_of(tag) or MetricSpec(tag, tag)


FORMATS: dict[str, Callable[[Sequence[Evaluation]], str]] = {"text": as_text, "json": as_json, "csv": as_csv}
