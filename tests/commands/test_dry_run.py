"""``ganrun train --dry-run``: what would run, and how long it would take, without a trace on the disk."""

from __future__ import annotations

import json
import re
import time

import pytest

from ganrun.commands import dry_run, dry_run_trial
from ganrun.commands.dry_run_format import duration
from ganrun.commands.dry_run_trial import Trial, forecast
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check

SLOW = [f"optimizer.{player}.learning_rate=0.001" for player in ("generator", "discriminator")]
GAME = ("dataset=mixture1d", "optimizer=sgd", *SLOW, "log.every=10", "steps=20")
SWEEP = ("seed=0,1,2", "loss=maximum_likelihood,minimax", "population.members=2")


@pytest.fixture
def untried(monkeypatch):
    """No program is compiled."""
    monkeypatch.setattr(dry_run_trial, "measure", lambda trial, jobs: None)


def test_what_is_said_of_a_sweep_is_what_it_does(inside, tiny, tmp_path):
    said = inside("train", "-m", "--dry-run=timed", *tiny, *GAME, *SWEEP, cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    assert "runs: 6\n" in said.stdout and "  seed: 0, 1, 2\n" in said.stdout
    assert "programs: 2 for 6 runs, in 4 batches\n" in said.stdout
    assert said.stdout.count(": 1 of 2 runs, 1 of 1 run\n") == 2
    assert (
        len(re.findall(r"^     2 runs: [\d.]+ MiB of the [\d.]+ GiB to use, \S+ ms a step of all, ", said.stdout, re.M))
        == 2
    )
    assert re.search(r"^time: about [\d.]+ s: .+ \(short trials", said.stdout, re.M)
    results = re.search(r"^results: outputs/sweeps/<date>/<time>/(.*) to (.*)$", said.stdout, re.M)
    done = inside("train", "-m", *tiny, *GAME, *SWEEP, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (plan,) = (tmp_path / "outputs" / "sweeps").glob("*/*/sweep.json")
    content = json.loads(plan.read_text())
    assert sorted(map(len, content["batches"])) == [1, 1, 2, 2]
    assert results is not None and list(results.groups()) == [content["runs"][0], content["runs"][-1]]


def test_a_single_run_has_one_program_and_its_folder(inside, tiny, untried, tmp_path):
    said = inside("train", "--dry-run", *tiny, *GAME, "hydra.run.dir=here", cwd=tmp_path)
    assert said.returncode == 0 and list(tmp_path.iterdir()) == []
    assert "runs: 1\n" in said.stdout and "programs: 1 for 1 run, in 1 batch\n" in said.stdout
    assert said.stdout.endswith("time: not known; --dry-run=timed measures all programs\nresults: here\n")


def test_ten_thousand_runs_are_answered_in_ten_seconds(inside, untried, tmp_path):
    rates = ",".join(f"{i}e-5" for i in range(1, 101))
    begun = time.process_time()
    axes = ("seed=range(0,100)", f"optimizer.generator.learning_rate={rates}")
    said = inside("train", "-m", "--dry-run", *axes, cwd=tmp_path)
    assert time.process_time() - begun < dry_run.LIMIT
    assert said.returncode == 0 and list(tmp_path.iterdir()) == []
    assert "runs: 10000\n" in said.stdout and "programs: 1 for 10000 runs, in 157 batches\n" in said.stdout
    assert "156 of 64 runs, 1 of 16 runs\n" in said.stdout


@pytest.mark.parametrize(
    "words",
    [("seed=0,-1",), ("los=minimax",), ("batch_size=16,hello",), ("loss=minimax,minimaks",), ("seed=interval(0,1)",)],
)
def test_what_is_wrong_is_said_as_without_it(words, inside, untried, tmp_path):
    said, done = (inside("train", "-m", *more, *words, cwd=tmp_path) for more in (("--dry-run",), ()))
    assert said.returncode == done.returncode == 2 and said.stderr == done.stderr != ""


def test_a_folder_that_holds_the_runs_already_is_refused(inside, tiny, untried, tmp_path):
    (tmp_path / "sweep" / "0-seed=0").mkdir(parents=True)
    (tmp_path / "sweep" / "0-seed=0" / "config.yaml").touch()
    (tmp_path / "sweep" / "0-seed=0" / "metrics.jsonl").touch()
    said = inside("train", "-m", "--dry-run", *tiny, "seed=0,1", "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert said.returncode == 2 and "holds a run already" in said.stderr


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--dry-run=quick",), "write --dry-run, or --dry-run=timed"),
        (("--dry-run", "resume=latest"), "leave out resume"),
    ],
)
def test_it_takes_no_other_mode_and_resumes_nothing(words, line, inside, tmp_path):
    done = inside("train", *words, cwd=tmp_path)
    assert done.returncode == 2 and line in done.stderr


def test_jobs_of_other_launchers_are_programs_of_their_own(inside, tiny, untried, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ("hydra/launcher=joblib", "population.members_per_job=2", "seed=range(0,5)")
    said = inside("train", "-m", "--dry-run", *tiny, *GAME, *words, cwd=tmp_path)
    assert "runs: 5, by hydra/launcher=joblib\n" in said.stdout
    assert "programs: 1 for 5 runs, in 3 jobs\n" in said.stdout and "2 of 2 runs, 1 of 1 run\n" in said.stdout


def test_of_a_search_it_says_what_is_known(inside, tiny, untried, tmp_path):
    pytest.importorskip("optuna")
    words = ("hydra/sweeper=optuna", "hydra.sweeper.trials=20", "hydra.sweeper.seeds_per_trial=2")
    rate = "optimizer.generator.learning_rate=interval(1e-4,1e-2)"
    said = inside("train", "-m", "--dry-run", *tiny, *GAME, *words, rate, cwd=tmp_path)
    assert said.returncode == 0 and list(tmp_path.iterdir()) == [], said.stderr
    assert "runs: at most 40: 20 trials of 2 runs, in 3 batches;" in said.stdout
    assert "a batch of the search: 1 for 16 runs, in 1 batch\n" in said.stdout


def test_the_forecast_is_the_sum_of_its_parts(monkeypatch):
    config = check(compose("train", ["steps=1000"]))
    trial = Trial(4, 1, 2, True, 1.0, 3.0, 0.02, 2.0, {"pictures": 1.0, "probe": 3.0}, {"pictures": 11, "probe": 4})
    monkeypatch.setattr(dry_run_trial, "usable_cores", lambda: 2)
    # Eight runs, two at a time: the last evaluation takes 4 * (1 + 3) = 16 s, all of them 4 * (11 + 12) = 92 s, and a
    # share of 15 % of the time, with 2 + 3 + 40 s besides, only 0.15 / 0.85 * 45 = 7.9 s: the last one it is.
    found = forecast(trial, config, 8, again=False)
    assert found is not None
    assert (found.loading, found.compiling, found.training, found.evaluating) == pytest.approx((2, 3, 40, 16 + 2))
    assert found.total == pytest.approx(63)
    after = forecast(trial, config, 8, again=True)
    assert after is not None and after.total == pytest.approx(2 + 40 + 16)
    unlimited = forecast(trial, config, 8, again=True, pruned=True)
    assert unlimited is not None and unlimited.evaluating == pytest.approx(92)
    # A run by itself is evaluated while it trains, but for the last time.
    trial.members = 1
    alone = forecast(trial, config, 1, again=False)
    assert alone is not None and (alone.training, alone.evaluating) == pytest.approx((20, 4))
    trial.costs = None
    assumed = forecast(trial, config, 1, again=False)
    assert assumed is not None and assumed.evaluating == pytest.approx(0.15 * assumed.total)
    assert forecast(Trial(4), config, 4, again=False) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.24, "4.24 s"), (200, "3 min 20 s"), (18_720, "5 h 12 min"), (3600 * 76, "3 d 4 h")],
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text
