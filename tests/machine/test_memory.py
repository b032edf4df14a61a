"""Free memory is that of the machine, or less within a limit, in both versions of control groups."""

import platform

import pytest

from ganrun.machine.memory import free_host_bytes, peak_bytes, resident_bytes, return_freed_memory

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path):
    """Return a function that writes the kernel's files by path, and returns their two folders."""

    def write(cgroup, **files):
        proc, groups = tmp_path / "proc", tmp_path / "groups"
        content = {"proc/meminfo": "MemTotal: 9437184 kB\nMemAvailable: 8388608 kB\n", "proc/self/cgroup": cgroup}
        for name, text in (content | files).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return proc, groups

    return write


def test_without_a_limit_it_is_that_of_the_machine(machine):
    assert free_host_bytes(*machine("0::/user\n")) == 8 * GIB
    assert (
        free_host_bytes(*machine("0::/\n", **{"groups/memory.max": "max\n", "groups/memory.stat": "anon 5\n"}))
        == 8 * GIB
    )


def test_a_limit_of_version_2_counts_what_cannot_be_freed(machine):
    files = {
        "groups/job/memory.max": f"{2 * GIB}\n",
        "groups/job/memory.stat": f"anon {GIB // 2}\nfile {GIB}\n",
        "groups/job/step/memory.max": "max\n",
        "groups/job/step/memory.stat": "anon 7\n",
    }
    assert free_host_bytes(*machine("0::/job/step\n", **files)) == 2 * GIB - GIB // 2


def test_a_limit_of_version_1_is_that_of_the_memory_controller(machine):
    files = {
        "groups/memory/job/memory.limit_in_bytes": f"{3 * GIB}\n",
        "groups/memory/job/memory.stat": f"rss 9\ntotal_rss {GIB}\n",
        "groups/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "groups/memory/memory.stat": "total_rss 77\n",
        "groups/cpu/job/memory.limit_in_bytes": "1\n",
    }
    assert free_host_bytes(*machine("4:memory:/job\n3:cpu,cpuacct:/job\n", **files)) == 2 * GIB


def test_a_container_sees_its_own_group_as_the_root(machine):
    files = {"groups/memory.max": f"{GIB}\n", "groups/memory.stat": f"anon {GIB // 4}\n"}
    assert free_host_bytes(*machine("0::/outside/the/container\n", **files)) == 3 * GIB // 4


def test_a_process_above_its_limit_has_nothing_left_and_damaged_files_count_for_nothing(machine):
    files = {"groups/memory.max": f"{GIB}\n", "groups/memory.stat": f"anon {2 * GIB}\n"}
    assert free_host_bytes(*machine("0::/\n", **files)) == 0
    files = {"groups/memory.max": "many\n", "groups/memory.stat": "\n\n"}
    assert free_host_bytes(*machine("nonsense\n::\n", **files)) == 8 * GIB


LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max data size             {data:<20} unlimited            bytes
Max address space         {space:<20} unlimited            bytes
"""


@pytest.mark.parametrize(
    ("data", "space", "left"),
    [
        ("unlimited", "unlimited", 8 * GIB),
        (4 * GIB, "unlimited", 3 * GIB),  # of which 1 GiB is in use
        ("unlimited", 4 * GIB, 2 * GIB),
        (4 * GIB, 4 * GIB, 2 * GIB),
        (GIB // 2, "unlimited", 0),
    ],
)
def test_a_limit_of_the_process_itself_counts_too(machine, data, space, left):
    status = f"Name:\tx\nVmSize:\t {2 << 20} kB\nVmHWM:\t {3 << 10} kB\nVmRSS:\t {2 << 10} kB\nVmData:\t {1 << 20} kB\n"
    files = {"proc/self/limits": LIMITS.format(data=data, space=space), "proc/self/status": status}
    proc, groups = machine("0::/\n", **files)
    assert free_host_bytes(proc, groups) == left
    assert (resident_bytes(proc), peak_bytes(proc)) == (2 << 20, 3 << 20)


def test_this_process_is_in_memory():
    assert 10 << 20 < resident_bytes() <= peak_bytes() < 1 << 40


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps what it wants")
def test_freed_memory_goes_back_to_the_system():
    pieces = [bytes(1000) for _ in range(200_000)]
    top = pieces.pop()  # without it, glibc gives back what is below the end of its heap by itself
    del pieces
    kept = resident_bytes()
    return_freed_memory()
    assert kept - resident_bytes() > 100 << 20 and len(top) == 1000
