"""The control groups of this process, by which containers and schedulers limit it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def folders(controller: str, proc: Path = PROC, groups: Path = CGROUPS) -> Iterator[Path]:
    """Yield the folders of the control groups of this process, and of those that contain them.

    Args:
        controller: which limits are asked for, ``memory`` or ``cpu``: version 1 has a tree of groups for each.
        proc: where the kernel describes processes.
        groups: where it describes control groups.
    """
    try:
        lines = (proc / "self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        root = groups / controller if controllers else groups
        place = root / path.lstrip("/")
        # A container sees its own group as the root, while the path may be that outside it.
        yield from (folder for folder in (place, *place.parents) if folder == root or root in folder.parents)
