"""Statistics of a sweep for TensorBoard: mean and interval of every metric over the runs of a group, as runs."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganrun.comparison.curves import Band
from ganrun.comparison.groups import Group
from ganrun.config.labels import member_name
from ganrun.evaluation.metrics.spec import bounds
from ganrun.storage.metrics_file import rows_of
from ganrun.storage.run_directory import STATISTICS
from ganrun.writers.event_file import EventFile

PARTS = ("mean", "low", "high")
Curves = dict[int, dict[str, float]]  # values by step and tag


def write_statistics(groups: Sequence[Group], folder: Path, level: float = 0.95, interval: str = "student") -> int:
    """Write the statistics of each of ``groups`` with at least two runs that count; return the number of such groups.

    Those of a group are three runs, ``statistics/GROUP/mean``, ``low`` and ``high``. Earlier ones are replaced, by the
    same files if the runs are the same. Values that are not finite are left out, and low and high where there is no
    interval.

    Args:
        groups: of the runs of a sweep.
        folder: of the sweep.
        level: confidence level of the intervals.
        interval: method for them: student or bootstrap.
    """
    target = folder / STATISTICS
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    written = 0
    for number, one in enumerate(groups):
        if len(one.counted) < 2:
            continue
        written += 1
        name = member_name(number, one.settings) if one.settings else "all"
        files = [run.folder / "metrics.jsonl" for run in one.counted]
        newest = max((path.stat().st_mtime for path in files if path.exists()), default=0.0)
        for part, curves in _statistics(one, Band(level, interval)).items():
            if curves:
                _write(target / name / part, curves, newest)
    return written


def _statistics(group: Group, band: Band) -> dict[str, Curves]:
    """Return the curves of each of :data:`PARTS`."""
    samples: dict[str, dict[int, list[float]]] = {}
    for run in group.counted:
        for row in rows_of(run.folder):
            for tag, value in row.items():
                if tag != "step" and math.isfinite(value):
                    samples.setdefault(tag, {}).setdefault(int(row["step"]), []).append(value)
    curves: dict[str, Curves] = {part: {} for part in PARTS}
    for tag, by_step in samples.items():
        means = [math.fsum(values) / len(values) for values in by_step.values()]
        low, high = np.clip(band.ends(list(by_step.values())), *bounds(tag))
        for part, values in zip(PARTS, (means, low, high), strict=True):
            for step, value in zip(by_step, values, strict=True):
                if math.isfinite(value):
                    curves[part].setdefault(step, {})[tag] = float(value)
    return curves


def _write(folder: Path, curves: Curves, written: float) -> None:
    folder.mkdir(parents=True)
    file = EventFile(folder, written=written)
    for step in sorted(curves):
        file.scalars(step, curves[step])
    file.close()
