"""``ganrun train -m``: a sweep's runs as members of one program: their files, and how they are resumed."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from written import assert_same_bits, summary

from ganrun.storage.run_directory import load_config
from ganrun.training.build import build_all
from ganrun.training.executor import executor_for
from ganrun.training.memory_forecast import SHARE, memory_forecast

# Few programs for the whole file: this config has one. Nothing in it depends on the steps, and its exponential punishes
# recklessness soon.
GAME = ("dataset=mixture1d", "optimizer=sgd", "loss=maximum_likelihood")
SLOW = {player: f"optimizer.{player}.learning_rate=0.01" for player in ("generator", "discriminator")}
SHORT = ("steps=40", "log.every=20")
QUIET = "log.pictures=0"
RATES = ("0.01", "0.001")
AXIS = f"optimizer.generator.learning_rate={','.join(RATES)}"
FOUR = (SLOW["discriminator"], "seed=0,1", AXIS)
NAMES = [f"{2 * seed + i}-seed={seed},learning_rate={rate}" for seed in range(3) for i, rate in enumerate(RATES)]
LEFT = ("checkpoints", "config.yaml", "metrics.jsonl", "samples", "summary.json", "train.log")


def sweep_of(cwd: Path) -> Path:
    (plan,) = (cwd / "outputs" / "sweeps").glob("*/*/sweep.json")
    return plan.parent


def one_of(sweep: Path, number: int | str) -> Path:
    """The directory of the run ``number`` of ``sweep``."""
    (run,) = sweep.glob(f"{number}-*")
    return run


def batches(sweep: Path) -> list[list[int]]:
    return json.loads((sweep / "sweep.json").read_text())["batches"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def swept(inside, tiny, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The sweep directory of three seeds times two rates, and what was printed."""
    cwd = tmp_path_factory.mktemp("swept")
    done = inside("train", "-m", *tiny, *GAME, *SHORT, SLOW["discriminator"], "seed=0,1,2", AXIS, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return sweep_of(cwd), done


def test_a_sweep_leaves_a_complete_run_for_every_combination(swept):
    sweep, _ = swept
    runs = sorted(path for path in sweep.iterdir() if path.is_dir() and path.name != "statistics")
    assert [run.name for run in runs] == NAMES
    assert sorted(path.name for path in (sweep / "statistics").iterdir()) == [
        "0-learning_rate=0.01",
        "1-learning_rate=0.001",
    ]
    chosen = [load_config(run) for run in runs]
    assert [(config.seed, config.optimizer.generator.learning_rate) for config in chosen] == [
        (seed, rate) for seed in (0, 1, 2) for rate in (0.01, 0.001)
    ]
    for run in runs:
        names = sorted(path.name for path in run.iterdir())
        assert [name for name in names if not name.startswith("events.out.tfevents.")] == list(LEFT)
        assert len(names) == len(LEFT) + 2  # event files of metrics and of what the run is
        assert (summary(run)["status"], summary(run)["steps"]) == ("completed", 40)
        assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["40"]
        assert sorted(path.name for path in (run / "samples").iterdir()) == ["00000000.png", "00000040.png"]
        assert "completed at step 40/40" in (run / "train.log").read_text()


def test_the_runs_of_a_sweep_write_what_a_run_by_itself_writes(swept, rows):
    sweep, _ = swept
    for run in (sweep / name for name in NAMES):
        table = rows(run)
        assert [row["step"] for row in table] == [0, 20, 40]
        assert {"D(x)", "loss/generator", "grad_norm/discriminator", "schedule/k"} <= set(table[1])
        assert {"jsd/exact", "w1", "modes/covered"} <= set(table[2])
        last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
        assert summary(run)["metrics"] == {tag: value for tag, value in last.items() if tag != "step"}
        events = EventAccumulator(str(run)).Reload()
        assert [seen.step for seen in events.Scalars("D(x)")] == [20, 40]
        assert [seen.value for seen in events.Scalars("D(x)")] == pytest.approx([row["D(x)"] for row in table[1:]])
    assert len({rows(sweep / name)[-1]["loss/generator"] for name in NAMES}) == 6


def test_a_member_is_the_run_that_its_config_repeats(swept, rows, inside, only_run, tmp_path):
    # Other programs round differently, so not bit for bit; test_executor checks how close.
    sweep, _ = swept
    done = inside("train", "--config-dir", str(one_of(sweep, 3)), "--config-name", "config", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    member, alone = rows(one_of(sweep, 3)), rows(only_run(tmp_path))
    assert [set(row) for row in member] == [set(row) for row in alone]
    for one, other in zip(member, alone, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)
    settings = [(run / "config.yaml").read_text() for run in (one_of(sweep, 3), only_run(tmp_path))]
    assert settings[0] == settings[1]


def test_runs_of_one_program_are_one_batch_and_the_plan_says_so(swept):
    sweep, done = swept
    assert json.loads((sweep / "sweep.json").read_text()) == {
        "runs": NAMES,
        "batches": [[0, 1, 2, 3, 4, 5]],
        "varied": ["optimizer.generator.learning_rate", "seed"],
    }
    assert "6 runs in 1 program;" in done.stdout and "6 of 6 runs reached step 40" in done.stdout
    assert done.stderr == "" and "\x1b" not in done.stdout


def test_what_is_printed_of_a_sweep_is_about_all_runs_and_stands_in_its_log(swept):
    sweep, done = swept
    lines = done.stdout.splitlines()
    assert lines[0].startswith("sweep directory: outputs/sweeps/")
    assert "tensorboard --logdir outputs/sweeps/" in lines[1]
    shown = [line for line in lines if line.startswith("step ")]
    assert [line.partition("  ")[0] for line in shown] == ["step 20/40", "step 40/40"]
    assert all("6 runs, median:  D(x) 0." in line and "steps/s" in line for line in shown)
    log = (sweep / "train.log").read_text()
    assert all(line in log for line in shown) and "run directory" not in done.stdout


def test_a_sweep_ends_with_few_lines_and_each_of_its_runs_with_a_table_in_its_own_log(swept):
    sweep, done = swept
    said = [line.partition(": ")[0] for line in done.stdout.splitlines()[-5:]]
    assert said == ["warnings", "time", "sweep directory", "watch them with", "compare them with"]
    assert "what it is" not in done.stdout
    parts = done.stdout.partition("\ntime: ")[2].splitlines()[0].partition(" s: ")
    spent = [float(seconds) for seconds in re.findall(r"([\d.]+) s", parts[2])]
    assert sum(spent) == pytest.approx(float(parts[0]), rel=0.03, abs=0.3)  # each is rounded, and small ones left out
    runs = [path for path in sweep.iterdir() if path.is_dir() and path.name != "statistics"]
    assert len(runs) == 6
    for run in runs:
        told = summary(run)
        assert sum(told["seconds_split"].values()) == pytest.approx(told["seconds"], rel=0.01, abs=0.02)
        log = (run / "train.log").read_text(encoding="utf-8")
        assert log.count("what it is") == 1 and "draw samples with: ganrun sample run=" in log


def test_the_first_line_of_the_config_of_a_run_is_a_command_that_composes_to_it(swept, inside, tmp_path):
    run = next(path for path in swept[0].iterdir() if path.name.startswith("3-"))
    text = (run / "config.yaml").read_text(encoding="utf-8")
    head = text.splitlines()[0].removeprefix("# Repeats this run: ")
    words = shlex.split(head.replace("<this folder>", shlex.quote(str(run))))
    shown = inside(*words[1:], "--cfg", "job", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    settings = yaml.safe_load(text)
    assert settings.pop("defaults") and yaml.safe_load(shown.stdout) == settings


def table_of(text: str, metric: str) -> list[list[str]]:
    """The rows of a metric's table in Markdown, its head first."""
    block = text.split(f"**{metric}**\n\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines() if "---" not in line]


@pytest.mark.parametrize(("metric", "highest"), [("jsd/exact", math.log(2)), ("D(x)", 1.0), ("D(G(z))", 1.0)])
def test_the_comparison_has_the_means_over_seeds_with_students_intervals(metric, highest, swept):
    sweep, done = swept
    head, *found = table_of((sweep / "comparison.md").read_text(), metric)
    assert head == ["learning_rate", "runs", "failed", "n", "mean", "0.95 interval", "best"]
    assert len(found) == 2 and done.stdout.count(metric) >= 1
    groups = {row[0]: row for row in found}
    for i, rate in enumerate(RATES):
        values = [summary(one_of(sweep, 2 * seed + i))["metrics"][metric] for seed in range(3)]
        mean = math.fsum(values) / 3
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / 2)
        # Student's t with two degrees of freedom has a closed form: (2 p - 1) sqrt(2 / (4 p (1 - p))).
        half = 0.95 * math.sqrt(2 / (4 * 0.975 * 0.025)) * spread / math.sqrt(3)
        assert spread > 0
        row = groups[rate]
        assert row[1:4] == ["3", "0", "3"]
        low, high = row[5].split(" to ")
        seen = [float(row[4]), float(low), float(high)]
        wanted = [mean, max(0.0, mean - half), min(mean + half, highest)]
        assert seen == pytest.approx(wanted, rel=1e-3, abs=1e-4)  # shown with four digits
        assert row[6] == (f"{min(values):.4g}" if metric == "jsd/exact" else "")


def test_the_comparison_has_a_picture_too(swept):
    sweep, done = swept
    assert (sweep / "comparison.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "comparison.md, comparison.png" in done.stdout


def test_a_member_can_be_sampled_like_any_run(swept, inside, tmp_path):
    sweep, _ = swept
    for name in ("2", "4"):
        done = inside("sample", f"run={one_of(sweep, name)}", "n=5", f"out={name}.npy", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    drawn = [np.load(tmp_path / f"{name}.npy") for name in ("2", "4")]
    assert drawn[0].shape == (5, 1) and np.isfinite(drawn).all() and not np.array_equal(*drawn)


def test_resuming_a_complete_sweep_changes_nothing(swept, inside):
    sweep, _ = swept
    before = contents(sweep)
    done = inside("train", f"resume={sweep}", cwd=sweep.parents[3])
    assert done.returncode == 0 and done.stderr == ""
    assert "6 of them have ended before" in done.stdout
    after = contents(sweep)
    assert after.keys() == before.keys()
    assert [name for name in after if after[name] != before[name] and name != "comparison.png"] == ["train.log"]


def test_a_sweep_does_not_begin_again_where_one_lies(swept, inside, tiny):
    sweep, _ = swept
    before = contents(one_of(sweep, 0))
    words = ("-m", *tiny, *GAME, *SHORT, *FOUR, f"hydra.sweep.dir={sweep}")
    done = inside("train", *words, cwd=sweep.parents[3])
    assert done.returncode == 2 and "holds a run already" in done.stderr and "Traceback" not in done.stderr
    assert contents(one_of(sweep, 0)) == before


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("seed=1",), "seed (0 before, 1 now)"),
        (("batch_size=32",), "batch_size (16 before, 32 now)"),
        (("optimizer.generator.learning_rate=0.01",), "optimizer.generator.learning_rate (0.001 before, 0.01 now)"),
        (("loss.name=minimax",), "loss.name"),
        (("log.every=0",), "log.every must be at least 1"),
        (("sed=1",), "'sed' is not a setting"),
        (("seed=0,1",), "write -m"),
        (("--cfg", "job"), "resume of a sweep takes settings only"),
        (("-m",), "leave out -m"),
        (("-m", "steps=80,90"), "leave out -m"),
    ],
)
def test_a_sweep_continues_as_it_was_or_not_at_all(words, named, swept, inside):
    sweep, _ = swept
    before = contents(sweep)
    done = inside("train", f"resume={sweep}", *words, cwd=sweep.parents[3])
    assert done.returncode == 2
    assert named in done.stderr and len(done.stderr.splitlines()) <= 2 and "Traceback" not in done.stderr
    assert contents(sweep) == before


def test_a_sweep_of_more_steps_continues_to_the_bits_of_one_that_was_as_long_from_the_start(
    inside, tiny, rows, tmp_path
):
    long, grown = tmp_path / "long", tmp_path / "grown"
    long.mkdir(), grown.mkdir()
    assert inside("train", "-m", *tiny, *GAME, *SHORT, QUIET, *FOUR, cwd=grown).returncode == 0
    done = inside("train", "resume=latest", "steps=80", "checkpoint.keep=3", cwd=grown)  # the sweep of the latest run
    assert done.returncode == 0, done.stderr
    assert "4 of 4 runs reached step 80" in done.stdout
    assert inside("train", "-m", *tiny, *GAME, *SHORT, QUIET, *FOUR, "steps=80", cwd=long).returncode == 0
    for name in "0123":
        run, wanted = one_of(sweep_of(grown), name), one_of(sweep_of(long), name)
        assert_same_bits(run, wanted)
        assert rows(run) == rows(wanted) and [row["step"] for row in rows(run)] == [20, 40, 60, 80]
        assert (summary(run)["status"], summary(run)["steps"]) == ("completed", 80)
        assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["40", "80"]
        config = load_config(run)
        assert (config.steps, config.checkpoint.keep) == (80, 3)
    assert batches(sweep_of(grown)) == [[0, 1, 2, 3]]


def test_runs_of_two_losses_are_two_batches(inside, tiny, tmp_path):
    words = ("-m", *tiny, *GAME[:2], *SHORT, QUIET, *SLOW.values(), "seed=0,1", "loss=maximum_likelihood,minimax")
    done = inside("train", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sweep = sweep_of(tmp_path)
    losses = [load_config(one_of(sweep, name)).loss.name for name in "0123"]
    assert losses == ["maximum_likelihood", "minimax"] * 2
    assert batches(sweep) == [[0, 2], [1, 3]]
    assert "4 runs in 2 programs with 2, 2 runs" in done.stdout
    assert [summary(one_of(sweep, name))["status"] for name in "0123"] == ["completed"] * 4


@pytest.fixture(scope="module")
def failing(inside, tiny, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A sweep in which the rate of every second member is reckless."""
    cwd = tmp_path_factory.mktemp("failing")
    words = (
        *tiny,
        *GAME,
        *SHORT,
        QUIET,
        SLOW["generator"],
        "seed=0,1",
        "optimizer.discriminator.learning_rate=0.01,10",
    )
    return cwd, inside("train", "-m", *words, cwd=cwd)


def test_a_member_that_fails_is_reported_and_the_others_complete(failing, rows):
    cwd, done = failing
    sweep = sweep_of(cwd)
    assert done.returncode == 1
    told = done.stderr.splitlines()
    for name in "13":
        failed, run = summary(one_of(sweep, name)), one_of(sweep, name).relative_to(cwd)
        assert failed["status"] == "failed" and 1 <= failed["steps"] < 40
        assert re.fullmatch(rf"step {failed['steps']}: \S+ is NaN or Inf, so the run stops; .+\.", failed["reason"])
        assert f"ganrun: {run}: {failed['reason']}" in told
        assert all(np.isfinite(value) for row in rows(one_of(sweep, name)) for value in row.values())
    assert len(told) == 2
    for name in "02":
        assert (summary(one_of(sweep, name))["status"], summary(one_of(sweep, name))["steps"]) == ("completed", 40)
        assert "reason" not in summary(one_of(sweep, name))
    assert "2 of 4 runs reached step 40" in done.stdout
    found = {row[0]: row[1:3] for row in table_of((sweep / "comparison.md").read_text(), "D(x)")}
    assert found == {"learning_rate": ["runs", "failed"], "0.01": ["2", "0"], "10": ["2", "2"]}


def test_what_failed_stays_so_when_the_sweep_continues(failing, inside):
    cwd, _ = failing
    sweep = sweep_of(cwd)
    before = contents(one_of(sweep, 1))
    done = inside("train", f"resume={sweep.relative_to(cwd)}", "steps=60", cwd=cwd)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert [summary(one_of(sweep, name))["steps"] for name in "02"] == [60, 60]
    assert {name: text for name, text in contents(one_of(sweep, 1)).items() if name != "config.yaml"} == {
        name: text for name, text in before.items() if name != "config.yaml"
    }


def test_four_members_are_compiled_once_for_any_number_of_cores(ganrun, tiny, tmp_path):
    env = {"JAX_LOG_COMPILES": "1", "GANRUN_CACHE": "off"}
    words = ("-m", *tiny, *GAME, "steps=20", "log.every=20", QUIET, *FOUR)
    done = ganrun("train", *words, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert [summary(one_of(sweep_of(tmp_path), name))["status"] for name in "0123"] == ["completed"] * 4
    assert done.stderr.count("Finished XLA compilation of jit(_advance)") == 1
    assert done.stderr.count("Finished XLA compilation of jit(_create)") == 1


LONG = ("steps=240", "log.every=40", "log.pictures=1", "checkpoint.steps=20")


@pytest.fixture(scope="module")
def undisturbed(inside, tiny, tmp_path_factory) -> Path:
    cwd = tmp_path_factory.mktemp("undisturbed")
    done = inside("train", "-m", *tiny, *GAME, *LONG, *FOUR, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return sweep_of(cwd)


@pytest.fixture(scope="module")
def kill(environment) -> Callable[[tuple[str, ...], Path], None]:
    """Start ``ganrun train WORDS`` in ``cwd``, and kill it once a member has saved its second checkpoint."""

    def killed(words: tuple[str, ...], cwd: Path) -> None:
        with (cwd / "told.txt").open("w") as told:
            process = subprocess.Popen(
                [sys.executable, "-m", "ganrun", "train", *words], cwd=cwd, env=environment(), stdout=told, stderr=told
            )
        deadline = time.monotonic() + 100
        try:
            while not any((cwd / "outputs").glob("sweeps/*/*/*/checkpoints/40")):
                assert process.poll() is None, f"the sweep ended too early: {(cwd / 'told.txt').read_text()}"
                assert time.monotonic() < deadline, "the sweep did not get as far"
                time.sleep(0.002)
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait(timeout=30) == -signal.SIGKILL
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    return killed


def test_a_killed_sweep_continues_to_the_same_bits(kill, undisturbed, inside, tiny, rows, tmp_path):
    kill(("-m", *tiny, *GAME, *LONG, *FOUR), tmp_path)
    sweep = sweep_of(tmp_path)
    assert not list(sweep.glob("*/summary.json")) and batches(sweep) == [[0, 1, 2, 3]]
    done = inside("train", f"resume={sweep.relative_to(tmp_path)}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in "0123":
        run, wanted = one_of(sweep, name), one_of(undisturbed, name)
        assert_same_bits(run, wanted)
        assert rows(run) == rows(wanted) and rows(run)[-1]["step"] == 240
        assert (summary(run)["status"], summary(run)["steps"]) == ("completed", 240)
        began = re.search(r"continues at step (\d+)", (run / "train.log").read_text())
        assert began is not None and int(began[1]) in range(20, 240, 20)
        events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
        assert [seen.step for seen in events.Scalars("D(x)")] == list(range(40, 241, 40))
        assert contents(run / "samples").keys() == contents(wanted / "samples").keys()
    assert (sweep / "comparison.md").read_text() == (undisturbed / "comparison.md").read_text()


def test_the_number_of_members_per_program_can_be_limited(inside, tiny, tmp_path):
    done = inside("train", "-m", *tiny, *GAME, *SHORT, QUIET, *FOUR, "population.members=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert batches(sweep_of(tmp_path)) == [[0, 1], [2, 3]]
    assert [summary(one_of(sweep_of(tmp_path), name))["status"] for name in "0123"] == ["completed"] * 4
    assert done.stdout.count("2 of 2 runs reached step 40") == 2


def test_members_that_do_not_fit_the_memory_together_are_trained_in_smaller_batches(
    inside, tiny, rows, monkeypatch, tmp_path
):
    whole, split = tmp_path / "whole", tmp_path / "split"
    whole.mkdir(), split.mkdir()
    words = ("-m", *tiny, *GAME, *SHORT, QUIET, *FOUR)
    assert inside("train", *words, cwd=whole).returncode == 0
    runs = [one_of(sweep_of(whole), name) for name in "0123"]
    executor = executor_for(build_all([load_config(run) for run in runs]))
    found = memory_forecast(executor, load_config(runs[0]))
    free = int((found.fixed + 0.6 * 4 * found.per_run) / SHARE)  # room for two and a bit
    monkeypatch.setattr("ganrun.training.device.free_bytes", lambda: free)
    done = inside("train", *words, cwd=split)
    assert done.returncode == 0, done.stderr
    assert "4 runs at once do not fit the memory" in done.stdout and ": 2 at a time" in done.stdout
    found = batches(sweep_of(split))
    assert [i for batch in found for i in batch] == [0, 1, 2, 3] and max(map(len, found)) <= 2
    for run in runs:
        other = sweep_of(split) / run.name
        assert (summary(other)["status"], summary(other)["steps"]) == ("completed", 40)
        assert rows(other)[-1] == pytest.approx(rows(run)[-1], rel=1e-3, abs=1e-4)


def test_a_run_that_does_not_fit_the_memory_by_itself_is_refused_in_words(inside, tiny, monkeypatch, tmp_path):
    monkeypatch.setattr("ganrun.training.device.free_bytes", lambda: 1)
    done = inside("train", "-m", *tiny, *GAME, *SHORT, QUIET, *FOUR, cwd=tmp_path)
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert "not even one of these 4 runs fits the memory (0.0 GiB are free)" in told and "Traceback" not in told
    assert not list(sweep_of(tmp_path).glob("*/summary.json"))


def test_hydras_own_launcher_runs_the_same_jobs_one_by_one(inside, tiny, tmp_path):
    words = ("-m", *tiny, *GAME, *SHORT, QUIET, *SLOW.values(), "seed=0,1")
    others = {"own": (), "basic": ("hydra/launcher=basic",), "hydra": ("hydra/launcher=basic", "hydra/sweeper=basic")}
    for name, more in others.items():
        done = inside("train", *words, f"hydra.sweep.dir={name}", *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        if name != "own":
            assert "what it is" not in done.stdout  # which stands in each run's log
    wanted = [path.read_text() for path in sorted((tmp_path / "own").glob("*/config.yaml"))]
    for name, names in (("basic", ["0-seed=0", "1-seed=1"]), ("hydra", ["0", "1"])):
        runs = [path.parent for path in sorted((tmp_path / name).glob("*/summary.json"))]
        assert [run.name for run in runs] == names
        assert [(load_config(run).seed, summary(run)["status"]) for run in runs] == [(0, "completed"), (1, "completed")]
        assert [(run / "config.yaml").read_text() for run in runs] == wanted
    # Hydra's own sweeper leaves no plan.
    assert sorted(path.parent.name for path in tmp_path.rglob("sweep.json")) == ["basic", "own"]


def test_runs_may_be_named_by_what_makes_them_different(inside, tiny, tmp_path):
    words = (*tiny, *GAME, *SHORT, QUIET, *SLOW.values())
    same = ",".join(word.partition("=")[0] for word in words)
    named = ("hydra.sweep.dir=all", "hydra.sweep.subdir=run_${hydra.job.override_dirname}")
    quiet = f"hydra.job.config.override_dirname.exclude_keys=[{same}]"
    done = inside("train", "-m", *words, "seed=1,2", *named, quiet, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "all" / "sweep.json").read_text())["runs"] == ["run_seed=1", "run_seed=2"]
    assert [load_config(tmp_path / "all" / f"run_seed={seed}").seed for seed in (1, 2)] == [1, 2]


def test_the_population_launcher_is_refused_in_a_line_where_there_is_nothing_to_train(swept, inside, tmp_path):
    sweep, _ = swept
    words = ("-m", f"run='{one_of(sweep, 0)}'", "seed=0,1", "out=x.npy", "hydra/launcher=population")
    done = inside("sample", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert "is for `ganrun train` alone" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("sweep.json", "{", "sweep.json cannot be read"),
        ("sweep.json", '{"runs": ["0", "1"], "batches": [[0]]}', "sweep.json cannot be read"),
        ("sweep.json", '{"runs": ["..", "1"], "batches": [[0, 1]]}', "sweep.json cannot be read"),
        ("sweep.json", '{"runs": [], "batches": []}', "sweep.json cannot be read"),
        ("sweep.json", '{"runs": ["0", "7"], "batches": [[0, 1]]}', "7/config.yaml cannot be read"),
        ("1/config.yaml", "seed: [", "1/config.yaml cannot be read"),
    ],
)
def test_a_damaged_sweep_is_reported_in_a_line(name, content, named, inside, tmp_path):
    for run in "01":
        (tmp_path / run).mkdir()
        (tmp_path / run / "config.yaml").write_text(SETTINGS)
    (tmp_path / "sweep.json").write_text('{"runs": ["0", "1"], "batches": [[0, 1]]}')
    (tmp_path / name).write_text(content)
    done = inside("train", f"resume={tmp_path}", cwd=tmp_path)
    assert done.returncode == 2
    assert named in done.stderr and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("*/checkpoints"))


SETTINGS = """
dataset: {name: ring}
architecture: {name: mlp, generator_hidden: [8], discriminator_hidden: [8]}
loss: {name: nonsaturating}
schedule: {name: constant}
optimizer: {generator: {name: sgd}, discriminator: {name: sgd}}
steps: 20
"""


def test_a_sweep_killed_before_it_had_its_plan_begins_again(inside, tiny, tmp_path):
    words = ("train", "-m", *tiny, "steps=20", "log.every=10", "hydra.sweep.dir=out")
    assert inside(*words, "seed=0,1", cwd=tmp_path).returncode == 0
    (tmp_path / "out/sweep.json").unlink()
    for path in (tmp_path / "out").glob("*/*"):  # as if nothing but the configs had been written
        if path.name != "config.yaml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = inside(*words, "seed=5,6", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = json.loads((tmp_path / "out/sweep.json").read_text())["runs"]
    assert names == ["0-seed=5", "1-seed=6"]
    assert [load_config(tmp_path / "out" / name).seed for name in names] == [5, 6]
