"""A search by several processes that share one study: no trial runs twice, and a process that is killed loses none."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from written import assert_same_bits, summary

optuna = pytest.importorskip("optuna")

GAME = ("dataset=mixture1d", "optimizer=sgd", "log.every=500", "steps_per_call=10")
RUNS = (*GAME, "steps=2000", "checkpoint.steps=200")
SPACE = "optimizer.generator.learning_rate=tag(log,interval(1e-4,1e-2))"
SEARCH = (
    "hydra/sweeper=optuna",
    "hydra.sweeper.trials=4",
    "hydra.sweeper.batch=2",
    "hydra.sweeper.prune=false",
    "hydra.sweeper.lost_after=3",
    "hydra.sweep.dir=found",
)


@pytest.fixture
def start(tiny, environment, tmp_path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start one process of the search in ``tmp_path``."""
    begun: list[subprocess.Popen[str]] = []

    def started(storage: str, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ganrun", "train", "-m", *tiny, *RUNS, *SEARCH, SPACE]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        everything = [*command, f"hydra.sweeper.storage={storage}", *words]
        begun.append(subprocess.Popen(everything, cwd=tmp_path, env=environment(), **pipes))
        return begun[-1]

    yield started
    for process in begun:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory) -> Iterator[str]:
    """The URL of a PostgreSQL server of the tests' own."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    if not all(shutil.which(name) for name in ("initdb", "pg_ctl", "postgres")):
        pytest.skip("PostgreSQL is not installed")
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []  # it does not run as root
    folder = Path(f"/tmp/ganrun-postgresql-{os.getpid()}")  # that of pytest is closed to other users
    folder.mkdir()
    if user:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-k {folder} -p {port} -c listen_addresses=127.0.0.1 -c fsync=off"
    data = ["-D", str(folder / "data")]
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
    subprocess.run([*user, "initdb", *data, "-A", "trust", "-U", "ganrun"], **quiet)
    subprocess.run([*user, "pg_ctl", *data, "-o", options, "-l", str(folder / "log"), "-w", "start"], **quiet)
    yield f"postgresql://ganrun:secret@127.0.0.1:{port}/postgres"
    subprocess.run([*user, "pg_ctl", *data, "-m", "immediate", "-w", "stop"], **quiet)
    shutil.rmtree(folder)


def trials_in(setting: str, folder: Path) -> list[Any]:
    """Return the trials of the study, read by Optuna itself."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if setting.startswith("postgresql"):
        storage = optuna.storages.RDBStorage(setting)
        trials = optuna.load_study(study_name="ganrun", storage=storage).trials
        storage.remove_session()
        storage.engine.dispose()
        return trials
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "found" / "study.journal"))
    return optuna.load_study(study_name="ganrun", storage=optuna.storages.JournalStorage(backend)).trials


def run_of(folder: Path, number: int) -> Path:
    (run,) = (folder / "found").glob(f"batch-*/{number}-*")
    return run


def wait_for(pattern: str, folder: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not [path for path in folder.glob(pattern) if path.name.isdigit()]:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["journal", "postgresql"])
def test_the_trials_of_a_process_that_is_killed_are_continued_by_another(
    kind, start, inside, tiny, rows, request, tmp_path
) -> None:
    storage = "journal" if kind == "journal" else request.getfixturevalue("postgresql")
    one = start(storage)
    wait_for("found/batch-0/0-*/checkpoints/*", tmp_path, one)
    one.kill()
    other = start(storage)
    told, _ = other.communicate(timeout=300)
    assert other.returncode == 0, told
    assert "continues found/batch-0, which another process has left" in told and "best of 4 trials" in told
    trials = trials_in(storage, tmp_path)
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    assert len({trial.params["optimizer.generator.learning_rate"] for trial in trials}) == 4
    assert [trial.value for trial in trials] == [summary(run_of(tmp_path, i))["metrics"]["jsd/exact"] for i in range(4)]
    assert "secret" not in (tmp_path / "found" / "multirun.yaml").read_text()
    # The trials that were interrupted have the bits of the same population undisturbed.
    rates = ",".join(str(trial.params["optimizer.generator.learning_rate"]) for trial in trials[:2])
    words = (f"optimizer.generator.learning_rate={rates}", "seed=0", "hydra.sweep.dir=alone")
    assert inside("train", "-m", *tiny, *RUNS, *words, cwd=tmp_path).returncode == 0
    for i in (0, 1):
        (undisturbed,) = (tmp_path / "alone").glob(f"{i}-*")
        assert_same_bits(run_of(tmp_path, i), undisturbed)
        assert rows(run_of(tmp_path, i)) == rows(undisturbed)
    for words in (("compare", "found"), ("report", "found", "out=report.html"), ("train", "resume=found")):
        done = inside(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert all(run_of(tmp_path, i).name in (tmp_path / "report.html").read_text() for i in range(4))


@pytest.mark.slow
def test_two_processes_share_the_trials(start, tmp_path) -> None:
    both = [start("journal", "steps=1000"), start("journal", "steps=1000")]
    told = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    trials = trials_in("journal", tmp_path)
    kept = [trial for trial in trials if "surplus" not in trial.user_attrs]
    assert [trial.state.name for trial in kept] == ["COMPLETE"] * 4
    assert len({trial.params["optimizer.generator.learning_rate"] for trial in trials}) == len(trials)
    trained = [text.count("in 1 program") for text in told]
    assert sum(trained) == 2  # two batches of two trials, whoever had which
    assert len(list((tmp_path / "found").glob("batch-*/*/config.yaml"))) == 4
    assert [text.count("best of 4 trials") for text in told] == [1, 1]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("hydra.sweeper.storage=jornal:x",), "hydra.sweeper.storage=jornal:x: write an SQLite file, journal, "),
        (("hydra.sweeper.storage=redis://host",), "postgresql://USER@HOST/DATABASE."),
        (("hydra.sweeper.storage=journal:nowhere/study",), "there is no folder nowhere."),
        (("hydra.sweeper.storage=journal", "hydra/launcher=basic"), "leave out hydra/launcher, or the storage."),
        (("hydra.sweeper.storage=journal", "hydra.sweeper.lost_after=0"), "hydra.sweeper.lost_after must be"),
        (("hydra.sweeper.storage=journal:text",), "is not a journal of Optuna: "),
    ],
)
def test_a_wrong_storage_is_reported_in_a_line(words, line, inside, tiny, tmp_path) -> None:
    (tmp_path / "text").write_text("no journal\nat all\n")
    done = inside("train", "-m", *tiny, *RUNS, *SEARCH, SPACE, *words, cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert line in done.stderr


def test_a_server_that_does_not_answer_is_reported_without_the_password(inside, tiny, tmp_path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    url = "hydra.sweeper.storage=postgresql://me:secret@127.0.0.1:1/none"
    done = inside("train", "-m", *tiny, *RUNS, *SEARCH, SPACE, url, cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "postgresql://me:***@127.0.0.1:1/none is not a database that can be opened: " in done.stderr
    assert "secret" not in done.stderr


def test_the_study_of_another_search_is_refused(inside, tiny, tmp_path) -> None:
    words = ("train", "-m", *tiny, "dataset=mixture1d", "log.every=20", *SEARCH, SPACE, "hydra.sweeper.trials=1")
    done = inside(*words, "steps=40", "hydra.sweeper.storage=journal:shared", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = inside(*words, "steps=60", "hydra.sweeper.storage=journal:shared", cwd=tmp_path)
    line = "holds another search: there steps is '40', here '60'. Choose another storage, or the same settings."
    assert done.returncode == 2 and line in done.stderr
    done = inside(*words, "steps=60", cwd=tmp_path)
    assert done.returncode == 2 and "found holds another sweep: choose another hydra.sweep.dir." in done.stderr
    # The same search again is done already.
    done = inside(*words, "steps=40", "hydra.sweeper.storage=journal:shared", cwd=tmp_path)
    assert done.returncode == 0 and "best of 1 trials" in done.stdout, done.stderr
