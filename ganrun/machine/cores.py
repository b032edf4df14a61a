"""The cores that this process may use: fewer than the machine has if it is pinned, or its control group has a share."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from ganrun.machine.control_groups import CGROUPS, PROC, folders


def usable_cores(proc: Path = PROC, groups: Path = CGROUPS) -> int:
    """Return how many cores can work for this process at once, at least 1.

    Args:
        proc: where the kernel describes processes.
        groups: where it describes control groups.
    """
    pinned = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([pinned, *map(math.ceil, _shares(proc, groups))]))


def _shares(proc: Path, groups: Path) -> Iterator[float]:
    """Yield the share of each control group: microseconds of computation per microsecond."""
    for folder in folders("cpu", proc, groups):
        try:
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            else:
                quota, period = (
                    (folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
                )
            if float(quota) > 0 and float(period) > 0:
                yield float(quota) / float(period)
        except (OSError, ValueError):  # no limit: there is no file, or it says max
            continue
