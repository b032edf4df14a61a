"""Folders with checksums: whole or not at all, and refused once a byte of them has changed."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganrun.storage import checksums
from ganrun.storage.checksums import SUMS, Damaged

FILES = {"state.bin": bytes(range(64)), "metadata.json": b'{"step": 40}\n'}
LIMITS = {"state.bin": 4096, "metadata.json": 4096}
NAMES = (*FILES, SUMS)


@pytest.fixture
def folder(tmp_path) -> Path:
    checksums.write(tmp_path / "40", FILES)
    return tmp_path / "40"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def seal(folder: Path, sums: str) -> None:
    """Give ``folder`` other sums, as someone would who wants to be believed."""
    (folder / SUMS).write_text(sums)


def line(name: str, content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n"


def test_what_is_written_is_read_back_and_nothing_else_is_there(folder) -> None:
    assert checksums.is_whole(folder)
    assert checksums.read(folder, LIMITS) == FILES
    assert names(folder) == sorted(NAMES) and names(folder.parent) == ["40"]


def test_the_sums_are_those_of_sha256() -> None:
    # FIPS 180-2, appendix B.1: the digest of "abc".
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert line("a.txt", b"abc") == f"{digest}  a.txt\n"


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum")
def test_the_folder_can_be_checked_without_ganrun(folder) -> None:
    def checked() -> subprocess.CompletedProcess[str]:
        command = ["sha256sum", "--strict", "-c", SUMS]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    assert (checked().returncode, checked().stdout.splitlines()) == (0, ["state.bin: OK", "metadata.json: OK"])
    (folder / "metadata.json").write_bytes(b'{"step": 41}\n')
    assert checked().returncode == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_single_bit_that_changes_is_seen(name, folder) -> None:
    content = (folder / name).read_bytes()
    with (folder / name).open("r+b", buffering=0) as file:
        for at, bit in itertools.product(range(len(content)), range(8)):
            os.pwrite(file.fileno(), bytes([content[at] ^ 1 << bit]), at)
            with pytest.raises(Damaged):
                checksums.read(folder, LIMITS)
            os.pwrite(file.fileno(), content[at : at + 1], at)
    assert checksums.read(folder, LIMITS) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_a_changed_byte_is_named(name, folder) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:5] + b"!" + content[6:])
    with pytest.raises(Damaged, match=rf"^{name} is not as it was written \(its SHA-256 differs\)"):
        checksums.read(folder, LIMITS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("left", [0, 1, -1], ids=["empty", "one byte", "one byte less"])
def test_a_shorter_file_is_seen_and_named(name, left, folder) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:left])
    with pytest.raises(Damaged, match=f"^{name} "):
        checksums.read(folder, LIMITS)


def test_a_line_that_the_sums_have_lost_is_seen(folder) -> None:
    seal(folder, line("state.bin", FILES["state.bin"]))
    with pytest.raises(Damaged, match=r"^metadata\.json does not belong to it"):
        checksums.read(folder, LIMITS)


def test_a_line_that_the_sums_have_twice_is_seen(folder) -> None:
    seal(folder, line("metadata.json", FILES["metadata.json"]) + (folder / SUMS).read_text())
    with pytest.raises(Damaged, match=f"^{SUMS} is not as it was written"):
        checksums.read(folder, LIMITS)


@pytest.mark.parametrize("name", NAMES)
def test_a_longer_file_is_seen_and_named(name, folder) -> None:
    with (folder / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(Damaged, match=name):
        checksums.read(folder, LIMITS)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(name, folder) -> None:
    (folder / name).unlink()
    with pytest.raises(Damaged, match=f"{name} is missing"):
        checksums.read(folder, LIMITS)


def test_a_file_that_was_not_written_with_the_others_is_named(folder) -> None:
    (folder / "extra.bin").write_bytes(b"")
    with pytest.raises(Damaged, match=r"extra\.bin does not belong to it"):
        checksums.read(folder, LIMITS)


def test_a_file_over_its_limit_is_refused_though_its_sum_is_right(folder) -> None:
    assert checksums.read(folder, LIMITS | {"state.bin": 64})
    with pytest.raises(Damaged, match=r"state\.bin is larger than it can be \(63 bytes\)"):
        checksums.read(folder, LIMITS | {"state.bin": 63})


def test_a_file_that_no_such_folder_has_is_refused_though_its_sum_is_right(folder) -> None:
    (folder / "more.bin").write_bytes(b"abc")
    seal(folder, (folder / SUMS).read_text() + line("more.bin", b"abc"))
    with pytest.raises(Damaged, match=r"names more\.bin, which no such folder has"):
        checksums.read(folder, LIMITS)


@pytest.mark.parametrize(
    "name", ["../outside", "/outside", "a/b", "..", ".", "", "metadata.json\x00", "a b", "-c", ".hidden", "ä"]
)
def test_a_name_that_leads_elsewhere_is_refused_and_nothing_is_read_there(name, folder, monkeypatch) -> None:
    (folder.parent / "outside").write_bytes(b"abc")
    (folder / SUMS).write_bytes(((folder / SUMS).read_text() + line(name, b"abc")).encode())
    opened = []
    read = checksums._content
    monkeypatch.setattr(checksums, "_content", lambda path, most: opened.append(path.name) or read(path, most))
    with pytest.raises(Damaged, match=f"{SUMS} is not as it was written"):
        checksums.read(folder, LIMITS | {name: 4096})
    assert opened == [SUMS]


@pytest.mark.parametrize("sums", [b"", b"\n", b"\xff" * 80, b"0" * (1 << 17), b"00  metadata.json\n"])
def test_sums_that_are_none_are_refused(sums, folder) -> None:
    (folder / SUMS).write_bytes(sums)
    with pytest.raises(Damaged, match=SUMS):
        checksums.read(folder, LIMITS)


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_a_write_that_fails_at_any_point_leaves_nothing(call, tmp_path, monkeypatch) -> None:
    """Three files and then their folder are brought to the disk before it has its name."""
    calls, fsync = [], os.fsync

    def fail(number: int) -> None:
        calls.append(number)
        if len(calls) == call:
            raise OSError(28, "No space left on device")
        fsync(number)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left on device"):
        checksums.write(tmp_path / "40", FILES)
    assert names(tmp_path) == []


def test_a_folder_that_is_there_stays_as_it_is(folder) -> None:
    with pytest.raises(OSError):
        checksums.write(folder, {"metadata.json": b"other"})
    assert checksums.read(folder, LIMITS) == FILES and names(folder.parent) == ["40"]


TOO_LARGE = """
import resource, signal, sys
from pathlib import Path
from ganrun.storage import checksums
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    checksums.write(Path(sys.argv[1]), {"metadata.json": b"{}", "state.bin": bytes(200_000)})
except OSError as error:
    print(error.strerror)
"""


def test_a_file_that_the_system_cuts_off_leaves_nothing(tmp_path) -> None:
    command = [sys.executable, "-c", TOO_LARGE, str(tmp_path / "40")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\n"
    assert names(tmp_path) == []


FOREVER = """
import itertools, shutil, sys
from pathlib import Path
from ganrun.storage import checksums
parent = Path(sys.argv[1])
for i in itertools.count():
    checksums.write(parent / str(i), {"state.bin": bytes([i % 256]) * 300_000, "metadata.json": b"%d" % i})
    if i > 3:
        (parent / str(i - 3)).rename(parent / f"{i - 3}.unfinished")
        shutil.rmtree(parent / f"{i - 3}.unfinished")
"""


def test_a_kill_at_any_moment_leaves_nothing_that_looks_whole_and_is_not(tmp_path) -> None:
    moments, left = random.Random(0), []
    for attempt in range(10):
        parent = tmp_path / str(attempt)
        parent.mkdir()
        process = subprocess.Popen([sys.executable, "-c", FOREVER, str(parent)])
        while not checksums.is_whole(parent / "0"):
            assert process.poll() is None
            time.sleep(0.001)
        time.sleep(moments.uniform(0.0, 0.1))
        process.kill()
        process.wait()
        whole = [path for path in parent.iterdir() if checksums.is_whole(path)]
        assert whole
        for path in whole:
            files = checksums.read(path, {"state.bin": 300_000, "metadata.json": 20})
            i = json.loads(files["metadata.json"])
            assert path.name == str(i) and files["state.bin"] == bytes([i % 256]) * 300_000
        left += [path for path in parent.iterdir() if path not in whole]
        checksums.sweep(parent)
        assert sorted(parent.iterdir()) == sorted(whole)
    assert left  # else no kill came in the middle, and this has shown nothing
