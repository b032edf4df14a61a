"""``retry=n``: runs of a sweep that died of the machine continue from their newest checkpoint, to the same bits."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import psutil
import pytest
from written import assert_same_bits, summary

from ganrun.machine.cores import usable_cores
from ganrun.training.executor import ShardedRuns
from ganrun.training.vmapped import VmappedRuns

SLOW = [f"optimizer.{player}.learning_rate=0.001" for player in ("generator", "discriminator")]
GAME = (
    "dataset=mixture1d",
    "optimizer=sgd",
    *SLOW,
    "log.every=10",
    "log.pictures=0",
    "steps=60",
    "checkpoint.steps=20",
)
TWO = ("seed=0,1", "hydra.sweep.dir=sweep", "steps_per_call=10")


def runs_of(cwd: Path) -> list[Path]:
    return [cwd / "sweep" / f"{i}-seed={i}" for i in (0, 1)]


def log_of(cwd: Path) -> str:
    return (cwd / "sweep" / "train.log").read_text()


@pytest.fixture
def failing(monkeypatch):
    """Let so many calls that come to a step after 40 fail."""
    monkeypatch.setattr("ganrun.training.retry.WAIT", 0.0)
    kind = ShardedRuns if usable_cores() > 1 else VmappedRuns
    advance, errors = kind.advance, list[Exception]()

    def fail(times: int, text: str) -> None:
        def advanced(self, state, n):
            first = state[0] if isinstance(state, list) else state
            if int(np.max(np.asarray(first.step))) + n > 40 and len(errors) < times:
                errors.append(jax.errors.JaxRuntimeError(text))
                raise errors[-1]
            return advance(self, state, n)

        monkeypatch.setattr(kind, "advance", advanced)

    return fail


@pytest.fixture(scope="module")
def reference(inside, tiny, tmp_path_factory) -> Path:
    cwd = tmp_path_factory.mktemp("reference")
    assert inside("train", "-m", *tiny, *GAME, *TWO, cwd=cwd).returncode == 0
    return cwd


def test_a_device_error_is_retried_to_the_same_bits_and_counted(inside, tiny, failing, reference, tmp_path):
    failing(1, "INTERNAL: the device was lost")
    done = inside("train", "-m", "retry=1", *tiny, *GAME, *TWO, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for run, other in zip(runs_of(tmp_path), runs_of(reference), strict=True):
        assert (summary(run)["status"], summary(run)["retries"]) == ("completed", 1)
        assert "retries" not in summary(other)
        assert_same_bits(run, other)
        assert "continues at step 40" in (run / "train.log").read_text()
    log = log_of(tmp_path)
    assert (
        log.count("retry 1 of 1 after a device error (INTERNAL: the device was lost): sweep/0-seed=0 and 1 more") == 1
    )
    assert "retries: 2 of 2 runs" in log


def test_out_of_memory_divides_the_population_in_two(inside, tiny, failing, tmp_path):
    failing(1, "RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes")
    done = inside("train", "-m", "retry=1", *tiny, *GAME, *TWO, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "sweep" / "sweep.json").read_text())["batches"] == [[0], [1]]
    assert [summary(run)["status"] for run in runs_of(tmp_path)] == ["completed"] * 2
    assert log_of(tmp_path).count("retry 1 of 1 after out of memory") == 1


@pytest.mark.parametrize(("words", "lines"), [((), 0), (("retry=1",), 1)])
def test_a_failure_that_stays_is_one(words, lines, inside, tiny, failing, tmp_path):
    failing(99, "INTERNAL: the device was lost")
    done = inside("train", "-m", *words, *tiny, *GAME, *TWO, cwd=tmp_path)
    assert done.returncode == 1 and "INTERNAL: the device was lost" in done.stderr
    assert log_of(tmp_path).count("after a device error") == lines
    assert [summary(run)["status"] for run in runs_of(tmp_path)] == ["failed"] * 2
    assert [summary(run).get("retries", 0) for run in runs_of(tmp_path)] == [lines] * 2


def test_a_worker_that_is_killed_is_launched_again(tiny, environment, reference, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "population.members_per_job=2", "retry=1")
    words = [sys.executable, "-m", "ganrun", "train", "-m", *tiny, *GAME, *TWO, *launcher]
    with subprocess.Popen(words, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL) as process:
        first = tmp_path / "sweep" / "0-1" / "0-seed=0"
        deadline = time.monotonic() + 300
        while not (first / "checkpoints").is_dir():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        assert process.wait(300) == 0
    for i, other in enumerate(runs_of(reference)):
        run = tmp_path / "sweep" / "0-1" / f"{i}-seed={i}"
        assert (summary(run)["status"], summary(run)["retries"]) == ("completed", 1)
        assert_same_bits(run, other)
    assert log_of(tmp_path).count("retry 1 of 1 after its process died") == 1


def test_a_run_that_diverges_is_not_tried_again(inside, tiny, tmp_path):
    diverges = ("loss=maximum_likelihood", "optimizer.discriminator.learning_rate=10", "steps=40", "log.every=20")
    words = ("optimizer.generator.learning_rate=10", "seed=0,1", "retry=2", "hydra.sweep.dir=sweep")
    done = inside("train", "-m", *tiny, *diverges, *words, cwd=tmp_path)
    assert done.returncode == 1 and "NaN or Inf" in done.stderr
    for run in runs_of(tmp_path):
        assert summary(run)["status"] == "failed" and "retries" not in summary(run)
    assert "retry" not in log_of(tmp_path)
