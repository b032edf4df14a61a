"""Sweeps of populations: members that fail, stop and continue, and the writers and messages that they share."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hydra_plugins.ganrun_population import PopulationLauncher
from rich.console import Console
from written import arrays, summary

from ganrun.config.settings import Train
from ganrun.datasets.images import Digits
from ganrun.errors import ConfigError, GanrunError
from ganrun.storage.checkpoints import Checkpoints
from ganrun.training.build import build_all
from ganrun.training.session import RunSession
from ganrun.training.sweep import train_all
from ganrun.training.sweep_plan import Job, Plan
from ganrun.training.train import train
from ganrun.writers.base import Entry
from ganrun.writers.console import Bar, Lines, Messages, PopulationDisplay
from ganrun.writers.fan_out import FanOut, Worker
from ganrun.writers.jsonl import JsonLines

SMALL = (
    "architecture.generator_hidden=[8]",
    "architecture.discriminator_hidden=[8]",
    "batch_size=16",
    "probe=off",
    "log.pictures=0",
    "log.every=20",
    "steps=60",
    "checkpoint.steps=20",
    "optimizer=sgd",
    "loss=maximum_likelihood",  # whose exponential punishes recklessness soon
)
RECKLESS = 10.0


def rates(config: Train, rate: float) -> Train:
    optimizers = {
        player: dataclasses.replace(getattr(config.optimizer, player), learning_rate=rate)
        for player in ("generator", "discriminator")
    }
    return dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, **optimizers))


@pytest.fixture(scope="module")
def config(compose_config) -> Train:
    return rates(compose_config(SMALL), 0.01)


def jobs_of(configs: list[Train], folder: Path) -> list[Job]:
    return [Job(config, folder / str(i)) for i, config in enumerate(configs)]


def seeds(config: Train, n: int) -> list[Train]:
    return [dataclasses.replace(config, seed=seed) for seed in range(n)]


def bits(run: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in arrays(run).items()}


def rows(run: Path) -> list[dict[str, float]]:
    table = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {tag: value for tag, value in row.items() if tag not in ("steps_per_second", "evaluate/seconds")}
        for row in table
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def saved(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory) -> Path:
    """Four uninterrupted members."""
    folder = tmp_path_factory.mktemp("trained")
    assert train_all(jobs_of(seeds(config, 4), folder), folder) == [0, 0, 0, 0]
    return folder


def interrupted(trained: Path, folder: Path, steps: list[int]) -> None:
    """Make of ``trained`` what a kill would have left of it: member i has no checkpoint after ``steps[i]``."""
    shutil.copytree(trained, folder)
    for i, step in enumerate(steps):
        (folder / str(i) / "summary.json").unlink()
        for path in (folder / str(i) / "checkpoints").iterdir():
            if int(path.name) > step:
                shutil.rmtree(path)


def test_members_keep_one_checkpoint_before_the_last(trained) -> None:
    assert [saved(trained / str(i)) for i in range(4)] == [["40", "60"]] * 4


def test_members_killed_while_saving_continue_from_their_common_step(trained, config, tmp_path) -> None:
    folder = tmp_path / "sweep"
    interrupted(trained, folder, [60, 40, 60, 40])
    for name in ("0", "2"):  # what is later than the step they share is computed again, whatever it is
        shutil.rmtree(folder / name / "checkpoints" / "60")
        shutil.copytree(trained / "3" / "checkpoints" / "60", folder / name / "checkpoints" / "60")
    with (folder / "1" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 60, "D(')
    assert train_all(jobs_of(seeds(config, 4), folder), folder) == [0, 0, 0, 0]
    for i in range(4):
        run, wanted = folder / str(i), trained / str(i)
        assert bits(run) == bits(wanted) and len(bits(run)) > 20
        assert rows(run) == rows(wanted) and [row["step"] for row in rows(run)] == [20, 40, 60]
        assert summary(run)["status"] == "completed"
        assert f"run directory: {run} continues at step 40" in (run / "train.log").read_text()


def test_members_without_a_common_checkpoint_start_again(trained, config, tmp_path) -> None:
    folder = tmp_path / "sweep"
    interrupted(trained, folder, [60, 60, 0, 60])
    assert train_all(jobs_of(seeds(config, 4), folder), folder) == [0, 0, 0, 0]
    for i in range(4):
        assert bits(folder / str(i)) == bits(trained / str(i))
        assert rows(folder / str(i)) == rows(trained / str(i))
        assert saved(folder / str(i)) == ["40", "60"]


def test_members_killed_while_closing_are_closed(trained, config, tmp_path) -> None:
    folder = tmp_path / "sweep"
    interrupted(trained, folder, [60, 60, 60, 60])
    shutil.copy(trained / "1" / "summary.json", folder / "1" / "summary.json")
    before = contents(folder / "1")
    assert train_all(jobs_of(seeds(config, 4), folder), folder) == [0, 0, 0, 0]
    assert contents(folder / "1") == before
    for i in range(4):
        assert bits(folder / str(i)) == bits(trained / str(i)) and rows(folder / str(i)) == rows(trained / str(i))
        assert (summary(folder / str(i))["status"], summary(folder / str(i))["steps"]) == ("completed", 60)


def test_a_member_that_is_further_than_the_others_is_not_set_back(trained, config, tmp_path) -> None:
    folder = tmp_path / "sweep"
    shutil.copytree(trained, folder)
    assert train(dataclasses.replace(config, seed=2, steps=140), folder / "2", resume=True) == 0
    assert saved(folder / "2") == ["120", "140"]  # none that the others have
    before = contents(folder / "2")
    assert train_all(jobs_of(seeds(dataclasses.replace(config, steps=80), 4), folder), folder) == [0, 0, 0, 0]
    assert contents(folder / "2") == before
    for i in (0, 1, 3):
        assert [row["step"] for row in rows(folder / str(i))] == [20, 40, 60, 80]
        assert "continues at step 60" in (folder / str(i) / "train.log").read_text()


@pytest.fixture(scope="module")
def with_a_failure(config, tmp_path_factory) -> tuple[Path, list[Job], str]:
    """Four members, the first of which fails, and the standard error."""
    folder = tmp_path_factory.mktemp("failing")
    configs = seeds(config, 4)
    configs[0] = rates(configs[0], RECKLESS)
    jobs, told = jobs_of(configs, folder), io.StringIO()
    with contextlib.redirect_stderr(told):
        assert train_all(jobs, folder) == [1, 0, 0, 0]
    return folder, jobs, told.getvalue()


def test_a_member_that_fails_leaves_the_others_bit_for_bit_unchanged(with_a_failure, trained) -> None:
    folder, _, _ = with_a_failure
    for i in (1, 2, 3):
        assert bits(folder / str(i)) == bits(trained / str(i))
        assert rows(folder / str(i)) == rows(trained / str(i))
        assert summary(folder / str(i))["status"] == "completed"


def test_a_member_that_fails_reports_why_at_its_own_step(with_a_failure) -> None:
    folder, _, told = with_a_failure
    failed = summary(folder / "0")
    assert failed["status"] == "failed" and 1 < failed["steps"] < 20
    assert failed["reason"].startswith(f"step {failed['steps']}: ") and "is NaN or Inf" in failed["reason"]
    assert "no checkpoint was saved before" in failed["reason"] and saved(folder / "0") == []
    assert told == f"ganrun: {folder / '0'}: {failed['reason']}\n"
    assert rows(folder / "0") == []
    assert failed["reason"] in (folder / "0" / "train.log").read_text()
    assert "3 of 4 runs reached step 60" in (folder / "train.log").read_text()


def test_what_has_ended_is_not_trained_again(with_a_failure) -> None:
    folder, jobs, _ = with_a_failure
    before = [contents(job.folder) for job in jobs]
    assert train_all(jobs, folder) == [1, 0, 0, 0]
    assert [contents(job.folder) for job in jobs] == before
    assert "4 of them have ended before" in (folder / "train.log").read_text()


def test_a_member_that_failed_before_is_not_resumed_with_the_others(with_a_failure, trained, tmp_path) -> None:
    source, jobs, _ = with_a_failure
    folder = tmp_path / "sweep"
    shutil.copytree(source, folder)
    for i in (1, 2, 3):
        (folder / str(i) / "summary.json").unlink()
        shutil.rmtree(folder / str(i) / "checkpoints" / "60")
    before = contents(folder / "0")
    assert train_all([Job(job.config, folder / job.folder.name) for job in jobs], folder) == [1, 0, 0, 0]
    assert contents(folder / "0") == before
    for i in (1, 2, 3):
        assert bits(folder / str(i)) == bits(trained / str(i)) and rows(folder / str(i)) == rows(trained / str(i))


def test_a_full_disk_of_one_member_fails_that_member_alone(config, trained, monkeypatch, tmp_path, capsys):
    opened, write = JsonLines.__init__, JsonLines.write

    def remember(self, folder):
        opened(self, folder)
        self.folder = folder

    def refuse(self, entry):
        if self.folder.name == "2" and entry.step > 20:
            raise OSError(28, "No space left on device", str(self.folder / "metrics.jsonl"))
        write(self, entry)

    monkeypatch.setattr(JsonLines, "__init__", remember)
    monkeypatch.setattr(JsonLines, "write", refuse)
    assert train_all(jobs_of(seeds(config, 4), tmp_path), tmp_path) == [0, 0, 1, 0]
    lost = summary(tmp_path / "2")
    assert lost["status"] == "failed"
    assert lost["reason"] == f"Cannot write {tmp_path / '2' / 'metrics.jsonl'}: No space left on device."
    assert capsys.readouterr().err == f"ganrun: {tmp_path / '2'}: {lost['reason']}\n"
    assert [row["step"] for row in rows(tmp_path / "2")] == [20]
    for i in (0, 1, 3):
        assert bits(tmp_path / str(i)) == bits(trained / str(i)) and rows(tmp_path / str(i)) == rows(trained / str(i))


def test_the_next_batch_is_trained_even_if_all_members_fail(config, trained, tmp_path, capsys) -> None:
    doomed = [rates(one, RECKLESS) for one in seeds(config, 2)]
    alone = dataclasses.replace(config, steps=20)  # another program, with one run
    assert train_all(jobs_of([*doomed, alone], tmp_path), tmp_path) == [1, 1, 0]
    assert [summary(tmp_path / str(i))["status"] for i in range(3)] == ["failed", "failed", "completed"]
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 2 and "3 runs in 2 programs with 2, 1 runs" in told.out
    assert "0 of 2 runs reached" in told.out
    found = Plan.read(tmp_path, jobs_of([*doomed, alone], tmp_path))
    assert found is not None and found.batches == [[0, 1], [2]]


def test_a_run_that_is_the_only_one_of_its_program_is_trained_as_it_is_by_itself(config, tmp_path, capsys) -> None:
    other = dataclasses.replace(config, steps=40)
    assert train_all(jobs_of([config, other], tmp_path), tmp_path) == [0, 0]
    told = capsys.readouterr().out
    for name, steps in (("0", 60), ("1", 40)):
        assert f"completed at step {steps}/{steps}" in told
        assert summary(tmp_path / name)["status"] == "completed"
    assert "runs reached" not in told


def test_a_run_alone_in_its_batch_that_fails_is_reported_and_the_others_continue(config, tmp_path, capsys) -> None:
    doomed = rates(dataclasses.replace(config, steps=40), RECKLESS)
    assert train_all(jobs_of([doomed, config], tmp_path), tmp_path) == [1, 0]
    told = capsys.readouterr().err
    assert told.startswith(f"ganrun: {tmp_path / '0'}: step ")
    assert "NaN or Inf" in told and len(told.splitlines()) == 1


def test_a_signal_that_comes_while_a_batch_is_closing_ends_the_sweep(config, tmp_path, monkeypatch) -> None:
    close, sent = RunSession.close, []

    def interrupted_once(self: RunSession, status: str, hurried: Callable[[], bool]) -> None:
        if not sent:
            sent.append(self)
            os.kill(os.getpid(), signal.SIGTERM)
        close(self, status, hurried)

    monkeypatch.setattr(RunSession, "close", interrupted_once)
    others = [dataclasses.replace(one, batch_size=8) for one in seeds(config, 2)]
    jobs = jobs_of([*seeds(config, 2), *others], tmp_path)
    assert train_all(jobs, tmp_path) == [143] * 4
    assert [summary(tmp_path / name)["status"] for name in "01"] == ["completed"] * 2
    assert not (tmp_path / "2" / "summary.json").exists()
    assert train_all(jobs, tmp_path) == [0] * 4  # and it goes on where it was


def test_what_does_not_fit_together_is_refused_before_anything_is_written_of_it_and_the_others_continue(
    config, tmp_path, capsys
) -> None:
    digits = dataclasses.replace(config, batch_size=5000, dataset=Digits())
    codes = train_all(jobs_of([digits, dataclasses.replace(digits, seed=1), config], tmp_path), tmp_path)
    assert codes == [2, 2, 0]
    assert capsys.readouterr().err == "ganrun: batch_size must be at most 1437, the examples in the dataset.\n"
    assert [path.name for path in (tmp_path / "0").iterdir()] == ["config.yaml"]
    assert summary(tmp_path / "2")["status"] == "completed"


def test_a_checkpoint_of_something_else_stops_its_batch_and_no_other(trained, config, tmp_path, capsys) -> None:
    folder = tmp_path / "sweep"
    interrupted(trained, folder, [40, 40, 40, 40])
    shutil.rmtree(folder / "2" / "checkpoints" / "40")
    steps_of(folder / "2" / "checkpoints", 40).close()
    (folder / "sweep.json").unlink()
    others = [dataclasses.replace(config, steps=40, seed=seed) for seed in (8, 9)]
    assert train_all(jobs_of([*seeds(config, 4), *others], folder), folder) == [1, 1, 1, 1, 0, 0]
    told = capsys.readouterr().err
    assert "2/checkpoints/40 cannot be read" in told and len(told.splitlines()) == 1
    assert [saved(folder / str(i)) for i in range(6)] == [["40"]] * 4 + [["20", "40"]] * 2


def test_finite_data_is_loaded_once_and_every_run_has_its_own_order(config, monkeypatch, tmp_path) -> None:
    digits = dataclasses.replace(config, dataset=Digits())
    loaded = []
    load = type(digits.dataset).load
    monkeypatch.setattr(
        type(digits.dataset), "load", lambda self, *given, **more: loaded.append(1) or load(self, *given, **more)
    )
    gans = build_all([job.config for job in jobs_of(seeds(digits, 3), tmp_path)])
    assert loaded == [1]
    for split in ("train", "held_out"):
        parts = [getattr(gan.data, split) for gan in gans]
        assert all(part.flat is parts[0].flat for part in parts)
        assert [part.order.tolist() for part in parts] == [[0, 0], [0, 1], [0, 2]]
    assert [gan.seed for gan in gans] == [0, 1, 2]


def test_every_run_has_its_own_density(config, tmp_path) -> None:
    rings = [dataclasses.replace(config.dataset, std=std) for std in (0.5, 2.0)]
    gans = build_all([dataclasses.replace(config, dataset=ring) for ring in rings])
    assert [gan.data.train.stds.tolist() for gan in gans] == [[0.5] * 8, [2.0] * 8]
    assert [gan.data.density.stds.tolist() for gan in gans] == [[0.5] * 8, [2.0] * 8]


def test_a_damaged_plan_stops_the_sweep_before_anything_is_written(config, tmp_path) -> None:
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(ConfigError, match=r"sweep\.json cannot be read"):
        train_all(jobs_of(seeds(config, 2), tmp_path), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]


def steps_of(folder: Path, *steps: int) -> Checkpoints:
    kept = Checkpoints(folder, keep=10)
    for step in steps:
        kept.save(step, {"a": np.full(3, float(step))}, {})
        kept.wait()
    return kept


def test_the_step_that_runs_share_is_the_newest_that_all_have(tmp_path) -> None:
    runs = {
        name: steps_of(tmp_path / name, *steps)
        for name, steps in {"a": (10, 20, 30), "b": (10, 20), "c": (20, 30), "d": (40,), "none": ()}.items()
    }
    for names, step in {"a": 30, "ab": 20, "abc": 20, "ac": 30, "ad": 0, "abcd": 0}.items():
        first, *others = (runs[name] for name in names)
        assert max(first.common(others), default=0) == step
    assert runs["a"].common([runs["none"]]) == runs["none"].common([runs["a"]]) == runs["none"].common([]) == []
    for run in runs.values():
        run.close()


def test_later_checkpoints_are_forgotten_and_may_be_saved_once_more(tmp_path) -> None:
    kept = steps_of(tmp_path, 10, 20, 30)
    kept.forget_after(10)
    assert kept.latest() == 10 and sorted(path.name for path in tmp_path.iterdir()) == ["10"]
    kept.save(20, {"a": np.full(3, 7.0)}, {"again": True})
    kept.wait()
    state, note = kept.restore({"a": np.zeros(3)}, 20)
    assert note == {"again": True} and np.asarray(state["a"]).tolist() == [7.0] * 3
    kept.forget_after(0)
    assert kept.latest() is None
    kept.close()


class Recorder:
    def __init__(self, fault: BaseException | None = None) -> None:
        self.steps: list[int] = []
        self.threads: set[int] = set()
        self.status, self.fault, self.flushed = "", fault, 0

    def write(self, entry: Entry) -> None:
        self.threads.add(threading.get_ident())
        if self.fault:
            raise self.fault
        self.steps.append(entry.step)

    def flush(self) -> None:
        self.flushed += 1

    def close(self, status: str) -> None:
        self.status = status


def entry(step: int) -> Callable[[], Entry]:
    return lambda: Entry(step=step, scalars={"a": float(step)})


def test_runs_that_share_a_worker_each_get_their_own_entries_in_order_from_one_thread() -> None:
    worker, recorders = Worker(4), [Recorder() for _ in range(3)]
    fans = [FanOut([one], worker) for one in recorders]
    for step in range(50):  # more than the queue holds
        for i, fan in enumerate(fans):
            fan.put(entry(3 * step + i))
    for fan in fans:
        fan.flush()
    assert [one.steps for one in recorders] == [list(range(i, 150, 3)) for i in range(3)]
    assert [fan.last for fan in fans] == [{"a": 147.0}, {"a": 148.0}, {"a": 149.0}]
    assert [one.flushed for one in recorders] == [1, 1, 1]
    assert len(set.union(*(one.threads for one in recorders))) == 1
    worker.close()


def test_a_run_that_closes_leaves_the_shared_worker_to_the_others() -> None:
    worker, recorders = Worker(), [Recorder(), Recorder()]
    fans = [FanOut([one], worker) for one in recorders]
    fans[0].put(entry(1))
    fans[0].close("failed")
    fans[1].put(entry(2))
    fans[1].close("completed")
    assert [(one.steps, one.status) for one in recorders] == [([1], "failed"), ([2], "completed")]
    worker.close()


def test_an_error_of_one_run_is_raised_at_that_run_alone() -> None:
    worker, good = Worker(2), Recorder()
    full = FanOut([Recorder(OSError(28, "No space left on device", "/runs/1/metrics.jsonl"))], worker)
    fine = FanOut([good], worker)
    raised = []
    for step in range(40):
        fine.put(entry(step))
        try:
            full.put(entry(step))
        except GanrunError as error:
            raised.append(str(error))
    fine.flush()
    with contextlib.suppress(GanrunError):
        full.flush()
    full.close("failed")
    fine.close("completed")
    assert good.steps == list(range(40))
    assert len(raised) == 1 and raised[0].startswith("Cannot write /runs/1/metrics.jsonl: No space left")
    worker.close()


def test_a_worker_does_what_is_queued_before_it_stops_and_stops() -> None:
    done: list[int] = []
    gate, worker = threading.Event(), Worker()
    worker.put(gate.wait)
    for i in range(10):
        worker.put(lambda i=i: done.append(i))
    assert done == []
    gate.set()
    worker.close()
    assert done == list(range(10))
    assert not worker._thread.is_alive()


def test_a_run_with_a_worker_of_its_own_stops_it() -> None:
    before = threading.active_count()
    fan = FanOut([Recorder()])
    assert threading.active_count() == before + 1
    fan.close("completed")
    assert threading.active_count() == before


def test_one_of_many_runs_prints_only_its_errors(tmp_path, capsys) -> None:
    messages = Messages(tmp_path, name="sweep/3")
    messages.say("step 20/40")
    messages.warn("step 30: value is NaN")
    messages.close()
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "ganrun: sweep/3: step 30: value is NaN\n")
    log = (tmp_path / "train.log").read_text().splitlines()
    assert [line[20:] for line in log] == ["step 20/40", "step 30: value is NaN"]


def test_a_single_run_prints_its_lines_and_leaves_errors_to_the_command(tmp_path, capsys) -> None:
    messages = Messages(tmp_path)
    messages.say("step 20/40")
    messages.warn("step 30: value is NaN")
    messages.close()
    told = capsys.readouterr()
    assert (told.out, told.err) == ("step 20/40\n", "")
    assert "step 30: value is NaN" in (tmp_path / "train.log").read_text()


def test_the_lines_of_one_of_many_go_to_its_log(tmp_path, capsys) -> None:
    messages = Messages(tmp_path, name="sweep/3")
    lines = Lines(messages, steps=100)
    lines.write(Entry(step=20, scalars={"D(x)": 0.625}, milestone=True))
    lines.close("completed")
    messages.close()
    assert capsys.readouterr().out == ""
    assert (tmp_path / "train.log").read_text().endswith("step 20/100  D(x) 0.625\n")


def row(real: float, fake: float) -> dict[str, float]:
    return {"D(x)": real, "D(G(z))": fake, "loss/generator": 9.0, "steps_per_second": 100.4}


def test_a_crowd_shows_how_many_continue_and_the_median_of_each_number(tmp_path, capsys) -> None:
    messages = Messages(tmp_path)
    crowd = PopulationDisplay(messages, steps=400, every=20)  # a line at every second row
    rows = [row(0.5, 0.1), row(0.25, 0.4), row(0.75, 0.3)]
    for step in (20, 40, 60):
        crowd.progress(step)
        crowd.rows(step, rows)
    crowd.rows(80, rows[:2])  # of two, the mean of the middle ones
    crowd.rows(120, [])
    crowd.rows(400, [row(0.5, 0.5)])
    crowd.close()
    messages.close()
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "step 40/400  3 runs, median:  D(x) 0.5  D(G(z)) 0.3  100 steps/s",
        "step 80/400  2 runs, median:  D(x) 0.375  D(G(z)) 0.25  100 steps/s",
        "step 400/400  1 runs, median:  D(x) 0.5  D(G(z)) 0.5  100 steps/s",
    ]
    assert [line[20:] for line in (tmp_path / "train.log").read_text().splitlines()] == shown


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120, legacy_windows=False)


def test_on_a_terminal_a_crowd_has_a_live_line_and_its_lines_go_to_the_log_alone(tmp_path) -> None:
    messages = Messages(tmp_path)
    messages.console = terminal()
    crowd = PopulationDisplay(messages, steps=40, every=20)
    crowd.rows(20, [row(0.5, 0.1), row(0.25, 0.4)])
    crowd.progress(21)
    crowd.close()
    messages.close()
    text = messages.console.file.getvalue()
    assert "step 21/40" in text and "2 runs, median:" in text and "\n  2 runs" not in text
    assert "step 20/40  2 runs, median:  D(x) 0.375" in (tmp_path / "train.log").read_text()
    assert "step 20/40  2 runs" not in text


def test_a_bar_is_drawn_on_terminals_only_and_only_where_it_is_wanted() -> None:
    shown = terminal()
    bar = Bar(shown, steps=10)
    bar.update(4, text="D(x) 0.5")
    bar.update(5)
    bar.close()
    assert "step 5/10" in shown.file.getvalue() and "D(x) 0.5" in shown.file.getvalue()
    hidden = terminal()
    for quiet in (Bar(hidden, steps=10, live=False), Bar(Console(file=hidden.file), steps=10)):
        quiet.update(4, text="D(x) 0.5")
        quiet.close()
        assert not quiet.live
    assert hidden.file.getvalue() == ""


def test_the_population_launcher_is_for_training_alone(capsys) -> None:
    launcher = PopulationLauncher()
    launcher.setup(hydra_context=None, task_function=lambda config: None, config={})
    with pytest.raises(SystemExit) as leaving:
        launcher.launch([["seed=0"]], 0)
    assert leaving.value.code == 2
    assert "hydra/launcher=population is for `ganrun train` alone" in capsys.readouterr().err
