"""The memory of this process, and what it may still use: of the machine, within the limits of whoever started it.

A container and most schedulers limit a control group; others, and ``ulimit``, limit the process itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from ganrun.machine.control_groups import CGROUPS, PROC, folders

# For each version of control groups: the name of the limit, and of the line of memory.stat with what cannot be freed.
LIMITS = {"memory.max": "anon", "memory.limit_in_bytes": "total_rss"}
# The limits of a process, as /proc names them, and what of the process each of them bounds.
OWN_LIMITS = {"Max data size": "VmData", "Max address space": "VmSize"}


def free_host_bytes(proc: Path = PROC, groups: Path = CGROUPS) -> int:
    """Return the bytes that this process may still use: what the machine has free, or less if there is a limit.

    Args:
        proc: where the kernel describes processes.
        groups: where it describes control groups.
    """
    return max(0, min([_available(proc), *_left(proc, groups), *_left_of_own(proc)]))


def resident_bytes(proc: Path = PROC) -> int:
    """Return the bytes of this process that are in memory; 0 if the system does not say."""
    return _of_process(proc, "VmRSS") or 0


def peak_bytes(proc: Path = PROC) -> int:
    """Return the most bytes of this process that have been in memory at once; 0 if the system does not say."""
    return _of_process(proc, "VmHWM") or 0


def return_freed_memory() -> None:
    """Give memory that this process has freed back to the system, if the C library can do that (glibc).

    The compiler frees much, which would otherwise be counted as used until something else takes it.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _of_process(proc: Path, name: str) -> int | None:
    try:
        lines = (proc / "self/status").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _left_of_own(proc: Path) -> Iterator[int]:
    """Yield what is left of the limits of this process itself."""
    try:
        lines = (proc / "self/limits").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return
    for name, used in OWN_LIMITS.items():
        for line in lines:
            soft = line.removeprefix(name).split()[:1] if line.startswith(name) else []
            if soft and soft[0].isdecimal() and (size := _of_process(proc, used)) is not None:
                yield int(soft[0]) - size


def _available(proc: Path) -> int:
    try:
        lines = (proc / "meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left(proc: Path, groups: Path) -> Iterator[int]:
    """Yield what is left of the limit of each control group that this process is in; files' pages can be freed."""
    for folder in folders("memory", proc, groups):
        for name, used in LIMITS.items():
            try:
                limit = (folder / name).read_text(encoding="ascii").strip()
                lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
                bytes_used = next(int(line.split()[1]) for line in lines if line.split()[0] == used)
            except (OSError, StopIteration, ValueError, IndexError):
                continue
            if limit.isdecimal():
                yield int(limit) - bytes_used
