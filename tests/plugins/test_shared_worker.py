"""Workers that share a study, without training: who has which trials, and what becomes of those of a lost worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra_plugins.ganrun_population.shared import CLAIMS, MOST, Worker

from ganrun.storage.lock import Lock

optuna = pytest.importorskip("optuna")
LOST = 0.2  # seconds
SPACE = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}


@pytest.fixture
def worker(tmp_path) -> Callable[[], Worker]:
    """Return a new worker, as of another process: it has opened the study by itself."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def new() -> Worker:
        backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal"))
        storage = optuna.storages.JournalStorage(backend)
        study = optuna.create_study(storage=storage, study_name="ganrun", load_if_exists=True)
        return Worker(optuna, study, tmp_path, LOST)

    return new


def numbers(batch: Any) -> list[int]:
    return [trial.number for trial in batch.trials]


def waited(worker: Worker) -> Any:
    """What ``worker`` takes over, at once and after the time that makes others lost."""
    first = worker.lost()
    time.sleep(1.5 * LOST)
    return first, worker.lost()


def killed(worker: Worker, folder: Path) -> Any:
    """Let ``worker`` draw two trials, begin them and die."""
    batch = worker.new(SPACE, 2, 9)
    assert batch is not None
    (folder / batch.name).mkdir()
    return batch


def test_workers_draw_as_many_trials_as_there_are_to_be(worker):
    one, other = worker(), worker()
    first, second = one.new(SPACE, 2, 3), other.new(SPACE, 2, 3)
    assert (first.name, numbers(first), second.name, numbers(second)) == ("batch-0", [0, 1], "batch-2", [2])
    assert one.new(SPACE, 2, 3) is None


def test_what_two_workers_draw_at_the_same_time_beyond_the_number_is_dropped(worker, monkeypatch):
    one, late = worker(), worker()
    one.new(SPACE, 2, 3)
    counted = late.counted
    monkeypatch.setattr(late, "counted", lambda before=None: 0 if before is None else counted(before))
    assert numbers(late.new(SPACE, 2, 3)) == [2]
    assert [trial.number for trial in one.running()] == [0, 1, 2]
    assert one.new(SPACE, 2, 4) is not None  # that which was dropped does not count


def test_a_worker_without_signs_of_life_is_lost_and_one_with_them_is_not(worker, tmp_path):
    batch, other, third = killed(worker(), tmp_path), worker(), worker()
    with other:
        nothing, taken = waited(other)
        assert nothing is None and (taken.name, numbers(taken), taken.again) == (batch.name, [0, 1], True)
        assert all(other.owns(trial) for trial in batch.trials)
        assert waited(third) == (None, None)  # the other is alive


def test_trials_that_are_left_in_order_are_taken_at_once(worker, tmp_path):
    one, other = worker(), worker()
    batch = killed(one, tmp_path)
    one.leave(batch)
    assert numbers(other.lost()) == [0, 1] and not one.owns(batch.trials[0])


def test_a_worker_that_is_suspended_keeps_the_runs_that_it_has_locked(worker, tmp_path):
    batch, other = killed(worker(), tmp_path), worker()
    lock = Lock(tmp_path / batch.name)
    assert waited(other) == (None, None)
    lock.release()
    assert numbers(other.lost()) == [0, 1]


def test_one_of_several_workers_takes_a_batch_and_another_if_that_one_dies_before(worker, tmp_path):
    killed(worker(), tmp_path)
    other, dead = worker(), worker()
    (tmp_path / CLAIMS).mkdir()
    (tmp_path / CLAIMS / "batch-0.0.0").write_text(dead.name)
    nothing, also = waited(other)
    assert nothing is None and also is None  # it has claimed the batch, and only now counts from then
    time.sleep(1.5 * LOST)
    assert numbers(other.lost()) == [0, 1]
    assert (tmp_path / CLAIMS / "batch-0.0.1").read_text() == other.name


def test_trials_that_never_began_are_dropped_and_a_batch_that_kills_its_workers_fails(worker, tmp_path):
    unbegun, other = worker().new(SPACE, 1, 9), worker()
    assert unbegun is not None and waited(other) == (None, None) and other.running() == []
    batch = killed(worker(), tmp_path)
    for _ in range(MOST):
        assert numbers(waited(worker())[1]) == numbers(batch)
    assert waited(other)[1] is None and other.running() == []
