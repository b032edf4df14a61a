"""Faults around a run (disks, folders, files, other commands, signals) are reported, and nothing is lost."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from written import assert_same_bits, summary

from ganrun.storage.checkpoints import Checkpoints
from ganrun.storage.growing_files import positions
from ganrun.storage.lock import Lock
from ganrun.storage.run_directory import load_config
from ganrun.training.build import build

# Many checkpoints make a run slow enough to be disturbed at will after the first.
OFTEN = ("log.every=20", "log.pictures=0", "checkpoint.steps=20", "checkpoint.keep=3")
SHORT = (*OFTEN, "steps=400")
ENDLESS = (*OFTEN, "steps=1000000")


def contents(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def saved(run: Path) -> list[int]:
    return sorted(int(path.name) for path in (run / "checkpoints").glob("*") if path.name.isdigit())


def assert_a_line(told: str, *parts: str) -> None:
    """``told`` is one line of ganrun's with all ``parts`` in it, and no traceback."""
    assert re.fullmatch(r"ganrun: [^\n]+\n", told), told
    assert [part for part in parts if part not in told] == [], told


def wait(until: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert process.poll() is None, process.communicate(timeout=5)[1] or "it ended too early"
        assert time.monotonic() < deadline, "it did not come to this within a minute"
        time.sleep(0.005)


@pytest.fixture
def start(environment, tmp_path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``ganrun train WORDS hydra.run.dir=run`` in ``tmp_path``."""
    begun: list[subprocess.Popen[str]] = []

    def started(*words: str, folder: str = "hydra.run.dir=run") -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ganrun", "train", *words, folder]
        pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        begun.append(subprocess.Popen(command, cwd=tmp_path, env=environment(), **pipes))
        return begun[-1]

    yield started
    for process in begun:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def reference(inside, tiny, tmp_path_factory) -> Path:
    """A run that nothing disturbed."""
    cwd = tmp_path_factory.mktemp("reference")
    done = inside("train", *tiny, *SHORT, "hydra.run.dir=run", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert saved(cwd / "run") == [360, 380, 400]
    return cwd / "run"


@pytest.fixture
def killed(reference, tmp_path) -> Path:
    """What a kill would have left of the run at its end."""
    shutil.copytree(reference, tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    return tmp_path / "run"


def test_a_second_command_in_the_same_run_is_refused_and_the_first_continues(start, inside, tiny, tmp_path) -> None:
    first, run = start(*tiny, *ENDLESS), tmp_path / "run"
    wait(lambda: saved(run), first)
    second = inside("train", "resume=run", cwd=tmp_path)
    assert second.returncode == 2
    assert_a_line(second.stderr, "run is in use by process", f" {first.pid} on ", "wait for it, or stop it")
    reached = saved(run)[-1]
    wait(lambda: saved(run)[-1] > reached, first)
    first.terminate()
    _, told = first.communicate(timeout=30)
    assert (first.returncode, told, summary(run)["status"]) == (143, "", "stopped")
    assert not (run / ".lock").exists()


def test_a_sweep_and_each_of_its_runs_are_in_use_while_it_trains(start, inside, tiny, tmp_path) -> None:
    first, sweep = start("-m", *tiny, *ENDLESS, "seed=0,1", folder="hydra.sweep.dir=all"), tmp_path / "all"
    wait(lambda: saved(sweep / "0-seed=0") and saved(sweep / "1-seed=1"), first)
    for name in ("all", "all/1-seed=1"):
        second = inside("train", f"resume={name}", cwd=tmp_path)
        assert second.returncode == 2
        assert_a_line(second.stderr, f"{name} is in use by process", f" {first.pid} on ")
    reached = saved(sweep / "1-seed=1")[-1]
    wait(lambda: saved(sweep / "1-seed=1")[-1] > reached, first)
    first.terminate()
    _, told = first.communicate(timeout=30)
    assert (first.returncode, told) == (143, "")
    assert not list(sweep.rglob(".lock"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip, Path.unlink], ids=["flipped", "deleted"])
@pytest.mark.parametrize("name", ["state.safetensors", "metadata.json", "SHA256SUMS"])
def test_the_newest_checkpoint_is_damaged_and_the_one_before_is_used(
    name, damage, killed, reference, inside, rows
) -> None:
    damage(killed / "checkpoints" / "400" / name)
    done = inside("train", "resume=run", cwd=killed.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "continues at step 380" in done.stdout
    assert re.search(r"^warning: Checkpoint \S+/checkpoints/400 cannot be read: .+\.$", done.stdout, re.MULTILINE)
    assert_same_bits(killed, reference)
    assert rows(killed) == rows(reference) and saved(killed) == [360, 380, 400]


def test_all_checkpoints_are_damaged_and_nothing_is_touched(killed, inside) -> None:
    for step in saved(killed):
        flip(killed / "checkpoints" / str(step) / "state.safetensors")
    before = contents(killed)
    done = inside("train", "resume=run", cwd=killed.parent)
    assert done.returncode == 1
    assert_a_line(done.stderr, "checkpoints/400 cannot be read", "2 more")
    assert contents(killed) == before


def test_a_checkpoint_of_another_network_is_refused(killed, inside) -> None:
    config = load_config(killed)
    wider = dataclasses.replace(config.architecture, generator_hidden=(9,))
    for step in saved(killed):
        shutil.rmtree(killed / "checkpoints" / str(step))
    other = Checkpoints(killed / "checkpoints")
    other.save(400, build(dataclasses.replace(config, architecture=wider)).init(), {})
    other.wait()
    before = contents(killed)
    done = inside("train", "resume=run", cwd=killed.parent)
    assert done.returncode == 1
    assert_a_line(done.stderr, "checkpoints/400 cannot be read", "shape (9,), this run", "shape (8,)")
    assert contents(killed) == before


def test_a_setting_may_change_where_resume_allows_it(killed, inside) -> None:
    words = ("resume=run", "steps=420", "loss.label_smoothing=0.25", "resume.allow=[loss.label_smoothing]")
    done = inside("train", *words, cwd=killed.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "continues at step 400" in done.stdout
    config = load_config(killed)
    assert (config.loss.label_smoothing, config.steps) == (0.25, 420)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("resume.allow=[loss.label_smothing]",), ("'loss.label_smothing' is not a", "Did you mean 'loss.label_sm")),
        (("resume.allow=[seed]", "loss.label_smoothing=0.25"), ("loss.label_smoothing (0.0 before, 0.25 now)",)),
    ],
)
def test_resume_allows_what_there_is_and_no_more(words, parts, killed, inside) -> None:
    before = contents(killed)
    done = inside("train", "resume=run", *words, cwd=killed.parent)
    assert done.returncode == 2 and len(done.stderr.splitlines()) <= 2
    assert [part for part in parts if part not in done.stderr] == [], done.stderr
    assert contents(killed) == before


def test_a_file_that_may_not_grow_stops_the_run_which_continues_once_it_may(
    start, inside, tiny, rows, tmp_path
) -> None:
    """As with a quota: a write is refused half-way. The largest file fits; the events, in the end, do not."""
    done = inside("train", *tiny, *SHORT, "log.every=10", "hydra.run.dir=whole", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    whole = tmp_path / "whole"
    (about,) = whole.glob("events.*.about")
    room = max(path.stat().st_size for path in (about, whole / "checkpoints" / "400" / "state.safetensors")) + 256
    process, run = start(*tiny, *SHORT, "log.every=10"), tmp_path / "run"
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (room, room))
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert_a_line(told, "Cannot write ", "File too large")
    assert (summary(run)["status"], summary(run)["cause"]) == ("failed", "storage")
    last = saved(run)[-1]
    assert 100 < last < 400
    done = inside("train", "resume=run", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and f"continues at step {last}" in done.stdout
    assert_same_bits(run, whole)
    assert rows(run) == rows(whole)


def test_a_run_directory_that_vanishes_ends_the_run_in_a_line(start, tiny, tmp_path) -> None:
    process, run = start(*tiny, *ENDLESS), tmp_path / "run"
    wait(lambda: saved(run), process)
    while run.exists():
        shutil.rmtree(run, ignore_errors=True)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 1
    assert_a_line(told, "Cannot write ", "/run", "No such file or directory")
    assert not run.exists()


def test_a_run_directory_that_vanishes_between_two_files_does_so_too(inside, tiny, monkeypatch, tmp_path) -> None:
    def gone(folder: Path) -> dict[str, int]:
        shutil.rmtree(folder)
        return positions(folder)

    monkeypatch.setattr("ganrun.training.session.positions", gone)
    done = inside("train", *tiny, "steps=40", "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 1
    assert_a_line(done.stderr, "Cannot write ", "/run", "No such file or directory")
    assert not (tmp_path / "run").exists()


class Disk:
    """A disk of its own, in a namespace of its own, which its ``keeper`` keeps. What is there can be seen from here."""

    def __init__(self, keeper: subprocess.Popen[str], mounted: Path, environment: dict[str, str]) -> None:
        self.mounted, self.environment = mounted, environment
        self.seen = Path(f"/proc/{keeper.pid}/root") / mounted.relative_to("/")
        self.enter = ["nsenter", "--preserve-credentials", "-U", "-m", "-t", str(keeper.pid)]

    def start(self, *words: str) -> subprocess.Popen[str]:
        moved = ["env", "-C", str(self.mounted), sys.executable, "-m", "ganrun", *words]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*self.enter, *moved], env=self.environment, **pipes)

    def run(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        _, told = process.communicate(timeout=60)
        return process.returncode, told

    def fill(self) -> None:
        with contextlib.suppress(OSError), (self.seen / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        (self.seen / "filler").unlink()

    def lock(self) -> None:
        subprocess.run([*self.enter, "mount", "-o", "remount,bind,ro", str(self.mounted)], check=True)


@pytest.fixture
def disk(environment, tmp_path) -> Iterator[Disk]:
    mounted = tmp_path / "disk"
    mounted.mkdir()
    script = 'mount -t tmpfs -o size=2m none "$0" && echo ready && read line'
    command = ["unshare", "-rm", "sh", "-c", script, str(mounted)]
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("there is no unshare and nsenter")
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as keeper:
        assert keeper.stdin is not None and keeper.stdout is not None and keeper.stderr is not None
        if keeper.stdout.readline() != "ready\n":
            why = keeper.stderr.read().strip()
            assert re.search(r"not permitted|denied", why), why  # else it is the test that is wrong
            pytest.skip(f"this system lets nobody mount a disk of his own: {why}")
        yield Disk(keeper, mounted, environment(PYTHONDONTWRITEBYTECODE="1"))
        keeper.stdin.close()


@pytest.mark.slow
def test_a_disk_that_is_full_stops_the_run_which_continues_once_there_is_room(disk, tiny, rows, reference) -> None:
    process, run = disk.start("train", *tiny, *SHORT, "hydra.run.dir=run"), disk.seen / "run"
    wait(lambda: saved(run), process)
    disk.fill()
    _, told = process.communicate(timeout=30)
    assert process.returncode == 1
    assert_a_line(told, "Cannot write ", "No space left on device")
    left = saved(run)
    assert left and left[-1] < 400
    # Nothing is lost by trying too soon.
    code, told = disk.run("train", "resume=run")
    assert code == 1
    assert_a_line(told, "Cannot write ", "No space left on device")
    assert saved(run) == left
    disk.free()
    assert disk.run("train", "resume=run") == (0, "")
    assert_same_bits(run, reference)
    assert rows(run) == rows(reference)
    # A disk that can be read only.
    disk.lock()
    code, told = disk.run("train", "resume=run", "steps=420")
    assert code == 2
    assert_a_line(told, "/run cannot be written")
    assert saved(run)[-1] == 400


@pytest.mark.slow
def test_no_room_at_the_start_is_reported_in_a_line_for_a_run_and_a_sweep(disk, tiny) -> None:
    disk.fill()
    for words in (("hydra.run.dir=run",), ("-m", "seed=0,1", "hydra.sweep.dir=all")):
        code, told = disk.run("train", *tiny, *SHORT, *words)
        assert code == 1
        assert_a_line(told, "Cannot write ", "No space left on device")


@pytest.fixture(scope="module")
def rated(inside, tiny, tmp_path_factory) -> tuple[Path, int]:
    """A run that keeps its best checkpoint, and the step of that."""
    cwd = tmp_path_factory.mktemp("rated")
    rates = [f"optimizer.{player}.learning_rate=0.07" for player in ("generator", "discriminator")]
    snapshots = ("log.every=20", "log.pictures=5", "checkpoint.best=jsd/exact", "checkpoint.keep=1")
    done = inside("train", *tiny, "dataset=mixture1d", *rates, *snapshots, "steps=100", "hydra.run.dir=run", cwd=cwd)
    assert done.returncode == 0, done.stderr
    best = lowest(cwd / "run")
    assert best < 100  # else this shows nothing: choose another rate
    return cwd, best


def lowest(run: Path) -> int:
    """The step where jsd/exact was lowest, of those with a snapshot."""
    table = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    seen = {row["step"]: row["jsd/exact"] for row in table if "jsd/exact" in row and row["step"] > 0}
    assert len(seen) >= 5
    return min(seen, key=lambda step: seen[step])


def test_the_step_with_the_lowest_value_is_kept_named_and_drawn_from(rated, inside) -> None:
    cwd, best = rated
    assert saved(cwd / "run") == [best, 100]
    assert summary(cwd / "run")["best_checkpoint"] == best
    for asked in ("best", str(best), "latest", "100"):
        done = inside("sample", "run=run", f"checkpoint={asked}", "n=5", f"out={asked}.npy", cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
    drawn = {asked: np.load(cwd / f"{asked}.npy") for asked in ("best", str(best), "latest", "100")}
    np.testing.assert_array_equal(drawn["best"], drawn[str(best)])
    np.testing.assert_array_equal(drawn["latest"], drawn["100"])
    assert not np.array_equal(drawn["best"], drawn["latest"])


def test_a_run_that_continues_remembers_its_best(rated, inside, tmp_path) -> None:
    cwd, _ = rated
    shutil.copytree(cwd / "run", tmp_path / "run")
    done = inside("train", "resume=run", "steps=140", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    best = lowest(tmp_path / "run")
    assert summary(tmp_path / "run")["best_checkpoint"] == best
    assert saved(tmp_path / "run") == sorted({best, 140})


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        ("7", 1, "run has no checkpoint of step 7. It has {best}, 100."),
        ("newest", 2, "checkpoint must be latest, best or a step, not 'newest'."),
    ],
)
def test_a_checkpoint_that_is_not_there_is_reported_in_a_line(asked, code, said, rated, inside) -> None:
    cwd, best = rated
    done = inside("sample", "run=run", f"checkpoint={asked}", "out=none.npy", cwd=cwd)
    assert done.returncode == code
    assert_a_line(done.stderr, said.format(best=best))
    assert not (cwd / "none.npy").exists()


def test_a_run_that_keeps_no_best_checkpoint_says_how_to(killed, inside) -> None:
    done = inside("sample", "run=run", "checkpoint=best", "out=none.npy", cwd=killed.parent)
    assert done.returncode == 1
    assert_a_line(done.stderr, "run keeps no best checkpoint: train with checkpoint.best=METRIC.")


def test_a_checkpoint_that_is_damaged_is_reported_by_sample_and_the_one_before_is_used(killed, inside) -> None:
    flip(killed / "checkpoints" / "400" / "state.safetensors")
    done = inside("sample", "run=run", "n=5", "out=one.npy", cwd=killed.parent)
    assert done.returncode == 0
    assert_a_line(done.stderr, "checkpoints/400 cannot be read", "Using the one before.")
    done = inside("sample", "run=run", "n=5", "checkpoint=380", "out=other.npy", cwd=killed.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert (killed.parent / "one.npy").read_bytes() == (killed.parent / "other.npy").read_bytes()


# Training takes no time here; an evaluation takes the time of its budget: with MUCH, longer than any test waits.
EVALUATIONS = ("dataset=mixture1d", "steps=20", "log.every=5", "probe=streaming", "probe.every=10")
MUCH, LITTLE = "probe.budget=5", "probe.budget=0.05"


def first_evaluation_is_running(run: Path) -> bool:
    """The row before it has been written, and it was taken in the next call to the device."""
    log = run / "train.log"
    return log.exists() and "step 5/20 " in log.read_text()


@pytest.mark.slow
def test_sigterm_does_not_wait_for_evaluations_which_are_completed_after_resuming(
    start, inside, tiny, rows, lean, tmp_path
) -> None:
    process, run = start(*tiny, *EVALUATIONS, MUCH), tmp_path / "run"
    wait(lambda: first_evaluation_is_running(run), process)
    time.sleep(1.0)  # the other steps
    process.terminate()
    begun = time.monotonic()
    _, told = process.communicate(timeout=30)
    assert time.monotonic() - begun < 15  # the evaluation takes minutes
    assert (process.returncode, told) == (143, "")
    # All steps are done, but of two evaluations nothing is written yet: the run is not complete.
    assert (summary(run)["status"], summary(run)["steps"]) == ("stopped", 20)
    assert [row["step"] for row in rows(run)] == [0, 5]
    for words in (("resume=run", LITTLE), (*tiny, *EVALUATIONS, LITTLE, "hydra.run.dir=other")):
        done = inside("train", *words, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    assert_same_bits(run, tmp_path / "other")
    assert rows(run) == rows(tmp_path / "other")
    assert [row["step"] for row in rows(run) if "jsd/probe" in row] == [10, 20]
    assert summary(run)["status"] == "completed"


def test_a_second_sigint_leaves_at_once_and_leaves_the_run_to_others(start, tiny, tmp_path) -> None:
    process, run = start(*tiny, *EVALUATIONS, MUCH), tmp_path / "run"
    wait(lambda: first_evaluation_is_running(run), process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, told = process.communicate(timeout=30)
    assert time.monotonic() - begun < 1.5  # the first one alone takes longer
    assert (process.returncode, told) == (130, "")
    Lock(run).release()


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes in which submitit's jobs run, below the one that has started them."""
    below = psutil.Process(process.pid).children(recursive=True)
    return [one for one in below if "submitit.core._submit" in one.cmdline()]


@pytest.mark.slow
def test_a_job_that_is_preempted_saves_is_requeued_and_ends_in_the_same_bits(
    start, tiny, rows, reference, tmp_path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    process = start("-m", "hydra/launcher=submitit_local", *tiny, *SHORT, folder="hydra.sweep.dir=all")
    run = tmp_path / "all" / "0"
    wait(lambda: saved(run), process)
    (worker,) = workers(process)
    worker.send_signal(signal.SIGUSR2)
    wait(lambda: not worker.is_running(), process, 30)
    assert summary(run)["status"] == "stopped" and saved(run)[-1] == summary(run)["steps"] < 400
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (0, "")
    log = (run / "train.log").read_text()
    assert re.findall(r"continues at step (\d+)", log)[0] != "0" and summary(run)["status"] == "completed"
    assert_same_bits(run, reference)
    assert rows(run) == rows(reference)
