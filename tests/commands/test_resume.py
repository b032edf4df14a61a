"""A run that is killed, interrupted or terminated goes on to the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from written import arrays, assert_same_bits

from ganrun.storage.run_directory import load_config

# Many checkpoints make a run slow enough to be stopped at will after the first.
POINTS = ("steps=500", "log.every=20", "log.pictures=4", "checkpoint.steps=20")
IMAGES = ("steps=150", "log.every=10", "log.pictures=2", "checkpoint.steps=10", "ema.decay=0.9")


def event_scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars as TensorBoard shows them; no step may be in the files twice."""
    written = []
    for path in sorted(run.glob("events.out.tfevents.*")):
        for event in LegacyEventFileLoader(str(path)).Load():
            written += [(value.tag, event.step) for value in event.summary.value if value.HasField("simple_value")]
    assert written and len(written) == len(set(written))
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    shown = {tag: [(seen.step, seen.value) for seen in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert sorted(written) == sorted((tag, step) for tag, seen in shown.items() for step, _ in seen)
    for tag in ("steps_per_second", "evaluate/seconds"):
        shown.pop(tag, None)
    return shown


def assert_same_run(run: Path, reference: Path, rows: Callable[[Path], list[dict[str, Any]]]) -> None:
    assert_same_bits(run, reference)
    assert rows(run) == rows(reference)
    assert event_scalars(run) == event_scalars(reference)
    summary = json.loads((run / "summary.json").read_text())
    wanted = json.loads((reference / "summary.json").read_text())
    for told in (summary, wanted):
        for tag in ("steps_per_second", "evaluate/seconds"):
            told["metrics"].pop(tag, None)
    assert (summary["status"], summary["steps"]) == ("completed", wanted["steps"])
    assert summary["metrics"] == wanted["metrics"]


def saved(run: Path) -> list[int]:
    """The steps of the complete checkpoints of ``run``."""
    return sorted(int(path.name) for path in (run / "checkpoints").glob("*") if path.name.isdigit())


def config_exists(cwd: Path) -> bool:
    return any((cwd / "outputs").glob("*/*/config.yaml"))


def checkpoint_exists(cwd: Path) -> bool:
    return any(path.name.isdigit() for path in (cwd / "outputs").glob("*/*/checkpoints/*"))


@pytest.fixture(scope="module")
def stop(environment, only_run) -> Callable[..., tuple[int, Path, str]]:
    """Start a run in ``cwd``, send it ``number`` as soon as ``when(cwd)``; return its exit code, folder and stderr."""

    def started(words: tuple[str, ...], cwd: Path, number: signal.Signals, when: Callable[[Path], bool]) -> Any:
        command = [sys.executable, "-m", "ganrun", "train", *words]
        with (cwd / "out.txt").open("w") as out, (cwd / "err.txt").open("w") as err:
            process = subprocess.Popen(command, cwd=cwd, env=environment(), stdout=out, stderr=err)
        deadline = time.monotonic() + 60
        try:
            while not when(cwd):
                assert process.poll() is None, f"the run ended too early: {(cwd / 'err.txt').read_text()}"
                assert time.monotonic() < deadline, "the run did not get as far within a minute"
                time.sleep(0.002)
            os.kill(process.pid, number)
            code = process.wait(timeout=30)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        run = min((cwd / "outputs").glob("sweeps/*/*/*/")) if "-m" in words else only_run(cwd)
        return code, run, (cwd / "err.txt").read_text()

    return started


@pytest.fixture(scope="module")
def uninterrupted(inside, only_run, tmp_path_factory) -> Callable[..., Path]:
    """Train with some words in this process, and return the run: those that are stopped are processes of their own."""

    def run(name: str, *words: str) -> Path:
        cwd = tmp_path_factory.mktemp(name)
        done = inside("train", *words, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return only_run(cwd)

    return run


@pytest.fixture(scope="module")
def points(uninterrupted, tiny) -> Path:
    """The uninterrupted run on the ring."""
    return uninterrupted("points", *tiny, *POINTS)


@pytest.fixture(scope="module")
def images(uninterrupted, tiny_dcgan) -> Path:
    """The uninterrupted run on digits."""
    return uninterrupted("images", *tiny_dcgan, *IMAGES)


def test_a_killed_run_on_points_continues_to_the_same_bits(stop, points, inside, tiny, rows, tmp_path):
    code, run, _ = stop((*tiny, *POINTS), tmp_path, signal.SIGKILL, checkpoint_exists)
    assert code == -signal.SIGKILL and not (run / "summary.json").exists()
    assert 20 <= saved(run)[-1] < 500
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "D(x')  # as a kill between two writes leaves it
    done = inside("train", f"resume={run.relative_to(tmp_path)}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"continues at step {saved_before(done.stdout)}" in done.stdout
    assert_same_run(run, points, rows)
    pictures = sorted(path.name for path in (run / "samples").iterdir())
    assert pictures == sorted(path.name for path in (points / "samples").iterdir())


def saved_before(text: str) -> int:
    step = int(text.split("continues at step ")[1].split()[0])
    assert step > 0 and step % 20 == 0
    return step


def test_a_convolutional_run_has_the_same_bits_in_other_chunks(images, inside, tiny_dcgan, only_run, rows, tmp_path):
    done = inside("train", *tiny_dcgan, *IMAGES, "steps_per_call=7", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_run(only_run(tmp_path), images, rows)


def test_a_killed_convolutional_run_continues_in_another_process_to_the_same_bits(
    stop, images, ganrun, inside, tiny_dcgan, rows, tmp_path
):
    code, run, _ = stop((*tiny_dcgan, *IMAGES), tmp_path, signal.SIGKILL, checkpoint_exists)
    assert code == -signal.SIGKILL and 10 <= saved(run)[-1] < 150
    done = ganrun("train", "resume=latest", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_run(run, images, rows)
    names = arrays(run)
    assert any(name.startswith("model/average/") for name in names)
    assert any("stats" in name or "mean" in name for name in names)  # batch norm's
    draw = ("seed=3", "n=5", "out=x.npy")
    drawn = []
    for one in (run, images):
        assert inside("sample", f"run={one}", *draw, cwd=tmp_path).returncode == 0
        drawn.append((tmp_path / "x.npy").read_bytes())
        (tmp_path / "x.npy").unlink()
    assert drawn[0] == drawn[1]


def test_a_run_killed_before_its_first_checkpoint_starts_again(stop, points, inside, tiny, rows, tmp_path):
    code, run, _ = stop((*tiny, *POINTS), tmp_path, signal.SIGKILL, config_exists)
    assert code == -signal.SIGKILL
    assert saved(run) == []
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 20, "D(x)": 0.5}\n{"st')
    done = inside("train", f"resume={run}", "checkpoint.steps=0", cwd=tmp_path)  # may change, and saves time here
    assert done.returncode == 0, done.stderr
    assert_same_run(run, points, rows)
    # It has all that a first start writes besides.
    tags = EventAccumulator(str(run), size_guidance={"tensors": 0}).Reload().Tags()["tensors"]
    assert set(tags) == set(EventAccumulator(str(points), size_guidance={"tensors": 0}).Reload().Tags()["tensors"])
    assert "custom_scalars__config__" in tags and "_hparams_/session_start_info" in tags


@pytest.fixture(scope="module", params=[signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def interrupted(request, stop, tiny, tmp_path_factory) -> Iterator[tuple[signal.Signals, int, Path, str]]:
    cwd = tmp_path_factory.mktemp("interrupted")
    code, run, err = stop((*tiny, *POINTS), cwd, request.param, checkpoint_exists)
    return request.param, code, run, err


def test_a_signal_saves_the_state_prints_how_to_resume_and_the_run_ends_in_the_same_bits(
    interrupted, points, inside, rows
):
    number, code, run, err = interrupted
    cwd = run.parents[2]
    assert code == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert "Traceback" not in err
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "stopped" and 0 < summary["steps"] < 500
    assert saved(run)[-1] == summary["steps"]
    assert f"ganrun train resume={run.relative_to(cwd)}" in (cwd / "out.txt").read_text()
    done = inside("train", "resume=latest", "checkpoint.steps=0", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert_same_run(run, points, rows)


def test_a_signal_ends_a_whole_sweep(stop, tiny, tmp_path):
    def first_program_is_under_way(cwd: Path) -> bool:
        return any((cwd / "outputs").glob("sweeps/*/*/0-*/checkpoints/20"))

    words = ("-m", *tiny, *POINTS, "loss=minimax,nonsaturating", "seed=0,1")
    code, run, _ = stop(words, tmp_path, signal.SIGINT, first_program_is_under_way)
    assert code == 130
    members = {
        member.name: sorted(path.name for path in member.iterdir())
        for member in run.parent.iterdir()
        if member.is_dir()
    }
    first, second, *others = sorted(members)
    # Those of the other program have not begun, and are not forgotten.
    assert [members[name] for name in others] == [["config.yaml"]] * 2
    told = [json.loads((run.parent / name / "summary.json").read_text()) for name in (first, second)]
    assert [one["status"] for one in told] == ["stopped", "stopped"] and told[0]["steps"] == told[1]["steps"] < 500
    assert saved(run.parent / first)[-1] == saved(run.parent / second)[-1] == told[0]["steps"]


@pytest.fixture(scope="module")
def finished(inside, tiny, only_run, tmp_path_factory) -> tuple[Path, Path]:
    """The folder and the run directory of a completed run of 40 steps at constant rates."""
    cwd = tmp_path_factory.mktemp("finished")
    done = inside("train", *tiny, *CONSTANT, "steps=40", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd, only_run(cwd)


CONSTANT = ("log.every=20", "optimizer.generator.decay=constant", "optimizer.discriminator.decay=constant")


def contents(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("loss.label_smoothing=0.2", "loss.label_smoothing"),
        ("seed=1", "seed"),
        ("batch_size=32", "batch_size"),
        ("loss.name=minimax", "loss.name"),
    ],
)
def test_resume_refuses_a_changed_setting_by_name_and_touches_nothing(word, key, finished, inside):
    cwd, run = finished
    before = contents(run)
    done = inside("train", f"resume={run}", word, cwd=cwd)
    assert done.returncode == 2
    assert key in done.stderr and len(done.stderr.splitlines()) <= 2
    assert contents(run) == before


def test_resume_refuses_a_bad_value_too(finished, inside):
    cwd, run = finished
    done = inside("train", f"resume={run}", "log.every=0", cwd=cwd)
    assert done.returncode == 2 and "log.every" in done.stderr


def test_resuming_a_completed_run_says_so_and_changes_nothing(finished, inside):
    cwd, run = finished
    before = contents(run)
    done = inside("train", "resume=latest", cwd=cwd)
    assert done.returncode == 0 and done.stderr == ""
    assert "complete" in done.stdout and "40" in done.stdout
    after = contents(run)
    for name in ("metrics.jsonl", "config.yaml"):
        assert after[name] == before[name]
    assert json.loads(after["summary.json"])["status"] == "completed"


def test_resume_with_more_steps_equals_a_run_that_was_as_long_from_the_start(
    finished, inside, tiny, only_run, rows, tmp_path
):
    cwd, run = finished
    done = inside("train", f"resume={run}", "steps=80", "log.pictures=3", cwd=cwd)
    assert done.returncode == 0, done.stderr
    long = inside("train", *tiny, *CONSTANT, "steps=80", cwd=tmp_path)
    assert long.returncode == 0, long.stderr
    assert_same_bits(run, only_run(tmp_path))
    last = [row for row in rows(run) if "D(x)" in row]
    assert [row["step"] for row in last] == [20, 40, 60, 80]
    wanted = [row for row in rows(only_run(tmp_path)) if "D(x)" in row]
    assert [row["D(x)"] for row in last] == [row["D(x)"] for row in wanted]
    config = load_config(run)
    assert (config.steps, config.log.pictures) == (80, 3)  # the config says what the run now is


def test_resume_needs_no_other_folder_than_the_given_one(points, inside, rows, tmp_path):
    done = inside("train", f"resume={points}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_reported_in_a_line_or_two_and_the_run_stays_as_it_was(
    inside, tiny, only_run, tmp_path
):
    assert inside("train", *tiny, "steps=20", cwd=tmp_path).returncode == 0
    run = only_run(tmp_path)
    (run / "checkpoints/20/state.safetensors").write_bytes(b"\0" * 10)
    before = contents(run)
    done = inside("train", "resume=latest", "steps=40", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "checkpoints/20" in done.stderr and "cannot be read" in done.stderr
    after = contents(run)
    assert all(after.get(name) == before[name] for name in ("summary.json", "metrics.jsonl", "config.yaml"))
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 2 and len(done.stderr) < 600


def test_a_resumed_class_conditional_run_still_draws_samples_for_its_metrics(inside, tiny_dcgan, tmp_path):
    words = (*tiny_dcgan, "conditional=true", "metric=[manifold]", "log.every=2", "probe=off", "log.pictures=2")
    for more in ((*words, "steps=2", "hydra.run.dir=run"), ("resume=run", "steps=4")):
        done = inside("train", *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in metrics if "precision" in row][-1] == 4
