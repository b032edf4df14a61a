"""One process at a time in a run directory."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ganrun.errors import ConfigError, GanrunError
from ganrun.storage.lock import Lock

HOLD = """
import sys
from pathlib import Path
from ganrun.storage.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
lock.release()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds ``folder`` until it is told a line."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused_in_a_line_that_names_the_first(tmp_path) -> None:
    with holder(tmp_path) as first:
        for _ in range(2):
            with pytest.raises(ConfigError) as refusal:
                Lock(tmp_path)
            named = f"process {first.pid} on {socket.gethostname()}"
            assert str(refusal.value) == f"{tmp_path} is in use by {named}: wait for it, or stop it."
            assert refusal.value.exit_code == 2


def test_a_second_run_of_the_same_process_is_refused_too(tmp_path) -> None:
    lock = Lock(tmp_path)
    with pytest.raises(ConfigError, match=f"is in use by process {os.getpid()} on "):
        Lock(tmp_path)
    lock.release()


def test_the_lock_is_free_and_its_file_gone_once_it_is_released(tmp_path) -> None:
    with holder(tmp_path) as first:
        first.communicate("go\n")
        assert first.returncode == 0 and list(tmp_path.iterdir()) == []
        Lock(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_goes_with_a_process_that_is_killed(tmp_path) -> None:
    with holder(tmp_path) as first:
        first.kill()
        first.wait()
    assert (tmp_path / ".lock").exists()  # which holds nobody up
    lock = Lock(tmp_path)
    assert (tmp_path / ".lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_what_an_earlier_holder_said_at_greater_length_is_not_left_behind(tmp_path) -> None:
    (tmp_path / ".lock").write_text("process 4194304 on a.machine.with.a.long.name.example.org and more of it\n")
    lock = Lock(tmp_path)
    assert (tmp_path / ".lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
    lock.release()


def test_releasing_twice_lets_nobody_elses_lock_go(tmp_path) -> None:
    first = Lock(tmp_path)
    first.release()
    with holder(tmp_path):
        first.release()
        with pytest.raises(ConfigError):
            Lock(tmp_path)


def test_a_folder_that_was_deleted_and_made_again_keeps_the_lock_of_who_came_then(tmp_path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    first = Lock(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    with holder(folder):
        first.release()
        with pytest.raises(ConfigError):
            Lock(folder)


def test_a_folder_that_is_gone_is_told_in_a_line(tmp_path) -> None:
    with pytest.raises(GanrunError, match=r"^Cannot write \S+/\.lock: No such file or directory\.$"):
        Lock(tmp_path / "gone")


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_in_the_place_of_the_lock_is_refused_and_not_followed(exists, tmp_path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "run"
    folder.mkdir()
    if exists:
        outside.write_text("precious\n")
    (folder / ".lock").symlink_to(outside)
    with pytest.raises(GanrunError, match=r"^Cannot write \S+/run/\.lock: "):
        Lock(folder)
    assert outside.exists() == exists and (not exists or outside.read_text() == "precious\n")


def test_a_file_system_without_locks_has_none(tmp_path, monkeypatch) -> None:
    def none(number: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", none)
    one, other = Lock(tmp_path), Lock(tmp_path)
    one.release(), other.release()


def test_a_disk_that_is_full_still_locks(tmp_path, monkeypatch) -> None:
    def full(number: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        lock = Lock(tmp_path)
    with pytest.raises(ConfigError, match=r"is in use: wait for it"):
        Lock(tmp_path)
    lock.release()


# Whoever holds the lock makes a file that must not be there.
RACE = """
import os, sys, time
from pathlib import Path
from ganrun.errors import ConfigError
from ganrun.storage.lock import Lock
folder, held = Path(sys.argv[1]), 0
sys.stdin.readline()
end = time.monotonic() + 1.0
while time.monotonic() < end:
    try:
        lock = Lock(folder)
    except ConfigError:
        continue
    os.close(os.open(folder / "alone", os.O_CREAT | os.O_EXCL))
    os.unlink(folder / "alone")
    lock.release()
    held += 1
print(held)
"""


def test_processes_that_race_for_the_lock_never_hold_it_together(tmp_path) -> None:
    command = [sys.executable, "-c", RACE, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    racers = [subprocess.Popen(command, text=True, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    told = [racer.communicate(timeout=30) for racer in racers]
    assert [err for _, err in told] == [""] * 3
    assert all(int(out) > 10 for out, _ in told)  # they have had their turns
    assert list(tmp_path.iterdir()) == []


def test_threads_that_race_for_the_lock_never_hold_it_together(tmp_path) -> None:
    inside, faults, turns = [], [], []

    def turn() -> None:
        for _ in range(200):
            try:
                lock = Lock(tmp_path)
            except ConfigError:
                continue
            inside.append(1)
            if len(inside) > 1:
                faults.append(1)
            turns.append(1)
            inside.pop()
            lock.release()

    run_together([turn] * 4)
    assert not faults and len(turns) > 10


def run_together(tasks: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
