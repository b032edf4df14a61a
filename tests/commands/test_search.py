"""Sweeps handed to others: a search by Optuna, and launchers that start processes, each for real and small."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest
import yaml

SMALL = ("steps=40", "log.every=20")
SEARCH = (
    "hydra/sweeper=optuna",
    "hydra.sweeper.batch=2",
    "hydra.sweep.dir=found",
    "optimizer.generator.learning_rate=tag(log,interval(1e-4,1e-2))",
    "schedule.k=range(1,4)",
)


def run_of(folder: Path, number: int) -> Path:
    (run,) = folder.glob(f"{number}-*")
    return run


def objective(run: Path) -> float:
    return json.loads((run / "summary.json").read_text())["metrics"]["jsd/exact"]


def told(folder: Path) -> list[float]:
    with sqlite3.connect(folder / "study.db") as study:
        return [value for (value,) in study.execute("select value from trial_values order by trial_id")]


@pytest.fixture(scope="module")
def found(inside, tiny, tmp_path_factory):
    """A search of four trials with two seeds each, and what it printed."""
    pytest.importorskip("optuna")
    cwd = tmp_path_factory.mktemp("search")
    words = ("hydra.sweeper.trials=4", "hydra.sweeper.seeds_per_trial=2")
    done = inside("train", "-m", *tiny, *SMALL, *SEARCH, *words, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return cwd / "found", done


def test_every_trial_is_the_mean_of_its_seeds_and_the_best_is_reported(found) -> None:
    folder, done = found
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert [name.partition("-")[0] for name in names] == [str(i) for i in range(8)]
    assert all(re.fullmatch(r"\d-learning_rate=[0-9.e-]{1,9},k=[123],seed=[01]", name) for name in names), names
    means = [(objective(run_of(folder, 2 * i)) + objective(run_of(folder, 2 * i + 1))) / 2 for i in range(4)]
    assert told(folder) == pytest.approx(means)
    assert f"best of 4 trials: jsd/exact {min(means):.4g}" in done.stdout


def test_all_trials_of_a_search_are_compared_once_the_best_first(found) -> None:
    folder, done = found
    assert done.stdout.count("comparison.md, comparison.png") == 1
    lines = [line.split("|") for line in (folder / "comparison.md").read_text().splitlines() if line.startswith("| ")]
    means = [float(line[6]) for line in lines[2:]]
    assert means == sorted(means) and len(means) == 4
    assert means == pytest.approx(sorted(told(folder)), rel=1e-3)


def test_the_runs_of_a_trial_differ_in_the_seed_alone_and_lie_in_the_space(found) -> None:
    folder, _ = found
    configs = [yaml.safe_load((run_of(folder, i) / "config.yaml").read_text()) for i in range(8)]
    assert [config["seed"] for config in configs] == [0, 1] * 4
    for one, other in zip(configs[::2], configs[1::2], strict=True):
        assert {**one, "seed": None} == {**other, "seed": None}
        assert 1e-4 <= one["optimizer"]["generator"]["learning_rate"] <= 1e-2
        assert one["schedule"]["k"] in (1, 2, 3)


def test_a_batch_is_one_population(found) -> None:
    _, done = found
    assert done.stdout.count("4 runs in 1 program") == 2


def test_a_search_continues_where_it_was(found, inside, tiny) -> None:
    folder, _ = found
    before = told(folder)
    words = ("hydra.sweeper.trials=5", "hydra.sweeper.seeds_per_trial=2")
    done = inside("train", "-m", *tiny, *SMALL, *SEARCH, *words, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    assert told(folder)[:4] == before and len(told(folder)) == 5 and "best of 5 trials" in done.stdout


def test_a_search_by_another_launcher_reads_its_own_runs_and_is_resumed_by_its_folder(inside, tiny, tmp_path) -> None:
    pytest.importorskip("optuna")
    words = ("hydra/launcher=basic", "hydra.sweeper.trials=2", "schedule.k=1,2", "hydra.sweep.dir=found")
    done = inside("train", "-m", *tiny, *SMALL, "hydra/sweeper=optuna", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "found"
    assert told(folder) == [objective(run_of(folder, i)) for i in range(2)]
    (run_of(folder, 1) / "summary.json").unlink()
    done = inside("train", "resume=found", cwd=tmp_path)
    assert done.returncode == 0 and "1 of them have ended before" in done.stdout, done.stderr
    assert told(folder) == [objective(run_of(folder, i)) for i in range(2)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("hydra.sweeper.direction=down",), "hydra.sweeper.direction must be one of auto, minimize, maximize."),
        (("hydra.sweeper.metric=jsd/exakt",), "Did you mean 'jsd/exact'?"),
        (("hydra.sweeper.metric=jsd/probe",), "hydra.sweeper.metric: this run does not log 'jsd/probe': probe=off"),
        (("dataset=mixture1d,gaussian", "hydra.sweeper.metric=modes/kl"), "dataset=gaussian is not a mixture"),
        (("hydra.sweeper.metric='D(x)'",), "add hydra.sweeper.direction=minimize or hydra.sweeper.direction=maximize."),
    ],
)
def test_a_wrong_search_is_reported_in_a_line(words, message, inside, tiny, tmp_path) -> None:
    pytest.importorskip("optuna")
    done = inside("train", "-m", *tiny, *SMALL, *SEARCH, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "found").exists()  # no run has begun


@pytest.mark.parametrize(
    ("metric", "direction", "found"),
    [
        ("jsd/exact", "auto", "minimize"),
        ("modes/kl", "auto", "minimize"),
        ("modes/covered", "auto", "maximize"),
        ("modes/covered", "minimize", "minimize"),
        ("D(x)", "maximize", "maximize"),
    ],
)
def test_a_search_optimises_in_the_direction_of_its_metric_or_in_the_given_one(metric, direction, found) -> None:
    from hydra_plugins.ganrun_population.search_settings import SearchConf, direction_of

    assert direction_of(SearchConf(metric=metric, direction=direction)) == found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "package"), [("joblib", "joblib"), ("submitit_local", "submitit"), ("ray", "ray")]
)
def test_a_launcher_of_processes_runs_every_job(launcher, package, ganrun, tiny, tmp_path) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{package}_launcher")  # ray is large, so not among what tests need
    words = (f"hydra/launcher={launcher}", "seed=0,1,2", "population.members_per_job=2", "hydra.sweep.dir=out")
    done = ganrun("train", "-m", *tiny, *SMALL, *words, cwd=tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    runs = {path.parent.relative_to(tmp_path / "out") for path in (tmp_path / "out").glob("*/**/summary.json")}
    # Two jobs, the first a population of two.
    assert runs == {Path("0-1/0-seed=0"), Path("0-1/1-seed=1"), Path("2/2-seed=2")}
    seeds = [yaml.safe_load((tmp_path / "out" / run / "config.yaml").read_text())["seed"] for run in sorted(runs)]
    assert seeds == [0, 1, 2]
    # Whoever ran them, they are compared.
    assert "comparison.md, comparison.png" in done.stdout
    row = next(line for line in (tmp_path / "out" / "comparison.md").read_text().splitlines() if line.startswith("| 3"))
    assert float(row.split("|")[4]) == pytest.approx(mean_of(tmp_path / "out", sorted(runs)), rel=1e-3)


def mean_of(sweep: Path, runs: list[Path]) -> float:
    return sum(objective(sweep / run) for run in runs) / len(runs)


def test_a_run_that_fails_in_another_process_is_not_forgotten(ganrun, tiny, tmp_path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    rates = [f"optimizer.{player}.learning_rate=10" for player in ("generator", "discriminator")]
    words = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=1", "seed=0,1", "loss=maximum_likelihood", *rates)
    done = ganrun("train", "-m", *tiny, *SMALL, *words, cwd=tmp_path, timeout=240)
    assert done.returncode == 1


def test_an_interval_of_a_setting_that_takes_whole_numbers_is_refused(inside, tiny, tmp_path):
    words = ("hydra/sweeper=optuna", "steps=interval(1,5)", "hydra.sweep.dir=out")
    done = inside("train", "-m", *tiny, *words, cwd=tmp_path)
    line = "ganrun: steps takes whole numbers, and an interval holds others: write steps='range(1,6)'."
    assert (done.returncode, done.stderr.splitlines()) == (2, [line])
    assert not (tmp_path / "out").exists()
