"""The cores of a process: those it is pinned to, or the share of its control group."""

import os

import pytest

from ganrun.machine.cores import usable_cores

HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that writes the kernel's files, for a process that is pinned to 16 cores."""
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(16)), raising=False)

    def write(cgroup, **files):
        for name, text in {"proc/self/cgroup": cgroup, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "proc", tmp_path / "groups"

    return write


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("max 100000", 16),
        ("400000 100000", 4),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("9900000 100000", 16),
        ("x", 16),
    ],
)
def test_a_share_of_version_2_is_rounded_up(machine, limit, cores):
    assert usable_cores(*machine("0::/job/step", **{"groups/job/cpu.max": limit})) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", 16), ("300000", 3)])
def test_a_share_of_version_1_is_that_of_the_cpu_controller(machine, quota, cores):
    files = {"groups/cpu/job/cpu.cfs_quota_us": quota, "groups/cpu/job/cpu.cfs_period_us": "100000\n"}
    assert usable_cores(*machine("4:memory:/job\n3:cpu,cpuacct:/job\n", **files)) == cores


def test_the_smallest_share_of_all_groups_counts(machine):
    files = {
        "groups/cpu.max": "800000 100000",
        "groups/job/cpu.max": "max 100000",
        "groups/job/step/cpu.max": "500000 100000",
    }
    assert usable_cores(*machine("0::/job/step", **files)) == 5


def test_this_process_has_at_most_the_cores_that_it_is_pinned_to():
    assert 1 <= usable_cores() <= HERE
