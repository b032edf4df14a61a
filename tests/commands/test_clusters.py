"""Sweeps whose jobs are other processes, one of which is killed or preempted: nothing is lost, and no bit differs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from written import assert_same_bits, summary

SGD = ("dataset=mixture1d", "optimizer=sgd", "log.pictures=0", "log.every=500", "steps_per_call=10")
SWEEP = (
    *SGD,
    *(f"optimizer.{player}.learning_rate=0.001" for player in ("generator", "discriminator")),
    "steps=2000",
    "checkpoint.steps=200",
    "seed=range(4)",
    "hydra.sweep.dir=sweep",
)
JOBS = {"0-1": (0, 1), "2-3": (2, 3)}
PACKAGES = {"submitit_local": "submitit", "ray": "ray"}


@pytest.fixture(scope="module")
def undisturbed(inside, tiny, tmp_path_factory) -> Path:
    """The same sweep in one process, in the same populations."""
    cwd = tmp_path_factory.mktemp("undisturbed")
    assert inside("train", "-m", *tiny, *SWEEP, "population.members=2", cwd=cwd).returncode == 0
    return cwd / "sweep"


@pytest.fixture
def start(tiny, environment, tmp_path) -> Callable[..., subprocess.Popen[str]]:
    """Start the sweep with a launcher; its processes end with the test."""

    def started(launcher: str, *words: str) -> subprocess.Popen[str]:
        pytest.importorskip(f"hydra_plugins.hydra_{PACKAGES[launcher]}_launcher", reason=f"{launcher} is not installed")
        command = [sys.executable, "-m", "ganrun", "train", "-m", *tiny, *SWEEP, f"hydra/launcher={launcher}"]
        with (tmp_path / "stderr").open("w") as errors:
            return subprocess.Popen(
                [*command, "population.members_per_job=2", *words],
                cwd=tmp_path,
                env=environment(RAY_worker_niceness="0", PYTHONWARNINGS="ignore"),
                stdout=subprocess.DEVNULL,
                stderr=errors,
                text=True,
            )

    return started


def worker_of(job: Path, process: subprocess.Popen[str]) -> psutil.Process:
    """Return the process that trains the runs of ``job`` once they have saved a checkpoint."""
    deadline = time.monotonic() + 300
    while not [path for path in job.glob("*/checkpoints/*") if path.name.isdigit()]:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    return psutil.Process(int((job / ".lock").read_text().split()[1]))


def assert_like(undisturbed: Path, sweep: Path, rows) -> None:
    """All runs of ``sweep`` are complete, with the bits of the ``undisturbed`` one."""
    for job, seeds in JOBS.items():
        for i in seeds:
            run, other = sweep / job / f"{i}-seed={i}", undisturbed / f"{i}-seed={i}"
            assert summary(run)["status"] == "completed"
            assert_same_bits(run, other)
            assert rows(run) == rows(other)


def starts(job: Path) -> int:
    """Count the processes that have trained the runs of ``job``."""
    return (job / "train.log").read_text().count("in 1 program")


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "retry"), [("submitit_local", 1), ("ray", 0)])
def test_a_worker_that_is_killed_is_replaced_and_the_others_are_left_alone(
    launcher, retry, start, undisturbed, rows, tmp_path
) -> None:
    process = start(launcher, f"retry={retry}")
    worker_of(tmp_path / "sweep" / "0-1", process).kill()
    assert process.wait(300) == 0, (tmp_path / "stderr").read_text()
    assert_like(undisturbed, tmp_path / "sweep", rows)
    assert [starts(tmp_path / "sweep" / job) for job in JOBS] == [2, 1]


@pytest.mark.slow
def test_without_retries_a_line_says_how_to_finish_and_every_command_takes_the_folder(
    start, undisturbed, rows, inside, tmp_path
) -> None:
    process = start("submitit_local")
    worker_of(tmp_path / "sweep" / "0-1", process).kill()
    assert process.wait(300) == 1
    (line,) = [text for text in (tmp_path / "stderr").read_text().splitlines() if text.startswith("ganrun: ")]
    assert line.startswith("ganrun: sweep/0-1 has not finished, its process has ended (Job ")
    assert line.endswith("): continue with ganrun train resume=sweep")
    assert [summary(tmp_path / "sweep" / "2-3" / f"{i}-seed={i}")["status"] for i in (2, 3)] == ["completed"] * 2
    done = inside("compare", "sweep", cwd=tmp_path)
    assert done.returncode == 0 and "2 runs have not finished" in done.stdout + done.stderr
    done = inside("train", "resume=sweep", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_like(undisturbed, tmp_path / "sweep", rows)
    done = inside("compare", "sweep", cwd=tmp_path)
    assert done.returncode == 0 and "not finished" not in done.stdout + done.stderr
    assert inside("report", "sweep", "out=report.html", cwd=tmp_path).returncode == 0
    page = (tmp_path / "report.html").read_text()
    assert all(f"{i}-seed={i}" in page for i in range(4))


@pytest.mark.slow
def test_a_population_that_slurm_preempts_with_both_signals_is_requeued(start, undisturbed, rows, tmp_path) -> None:
    process = start("submitit_local")
    worker = worker_of(tmp_path / "sweep" / "0-1", process)
    for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGTERM):
        os.kill(worker.pid, number)
    assert process.wait(300) == 0, (tmp_path / "stderr").read_text()
    assert_like(undisturbed, tmp_path / "sweep", rows)
    assert [starts(tmp_path / "sweep" / job) for job in JOBS] == [2, 1]


@pytest.mark.slow
def test_a_job_that_is_cancelled_saves_its_state_and_a_line_says_how_to_continue(start, tmp_path) -> None:
    process = start("submitit_local", "retry=1")
    worker = worker_of(tmp_path / "sweep" / "0-1", process)
    worker.send_signal(signal.SIGTERM)
    assert process.wait(300) == 1
    assert "continue with ganrun train resume=sweep" in (tmp_path / "stderr").read_text()
    stopped = [summary(tmp_path / "sweep" / "0-1" / f"{i}-seed={i}") for i in (0, 1)]
    assert [one["status"] for one in stopped] == ["stopped"] * 2
    assert starts(tmp_path / "sweep" / "0-1") == 1  # a signal is not retried
