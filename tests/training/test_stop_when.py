"""Runs that end early because a metric has stopped improving: alone, in a population, resumed."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest
from written import summary

from ganrun.comparison.runs import read_runs
from ganrun.errors import ConfigError
from ganrun.evaluation.budget import METRICS
from ganrun.evaluation.evaluator import Evaluator
from ganrun.evaluation.metrics.logged import require_stop
from ganrun.storage.run_directory import completed
from ganrun.training.build import build
from ganrun.training.memory_forecast import memory
from ganrun.training.sweep import train_all
from ganrun.training.sweep_plan import Job, ended
from ganrun.training.train import train

SMALL = (
    "architecture.generator_hidden=[8]",
    "architecture.discriminator_hidden=[8]",
    "batch_size=16",
    "dataset=gaussian",
    "latent.dim=1",
    "optimizer=sgd",
    "probe=off",
    "log.pictures=2",
    "log.every=10",
    "steps=200",
    "stop.when=jsd/exact",
    "stop.patience=2",
    "stop.times=20",
)
FROZEN = ("optimizer.generator.learning_rate=0", "ema.decay=0")  # the model, and so its divergence, does not change
LAST = 60  # the step of the snapshot after the fifth evaluation, at step 50


def rows(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def without_times(row):
    return {tag: value for tag, value in row.items() if tag not in ("steps_per_second", "evaluate/seconds")}


@pytest.fixture(scope="module")
def alone(compose_config, tmp_path_factory):
    """A run of which the metric does not change."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    config = compose_config((*SMALL, *FROZEN))
    assert train(config, folder) == 0
    return folder, config


def test_a_run_ends_after_its_patience_with_a_full_evaluation_and_a_checkpoint(alone):
    folder, _ = alone
    found = summary(folder)
    assert (found["status"], found["steps"]) == ("completed", LAST)
    assert found["reason"].startswith(
        "stop.when=jsd/exact: 2 evaluations up to step 50 have not improved on the mean of 3 up to step 30"
    )
    assert [row["step"] for row in rows(folder) if "jsd/exact" in row] == [0, 10, 20, 30, 40, 50, LAST]
    assert rows(folder)[-1]["step"] == LAST
    assert list((folder / "samples").glob(f"*{LAST}.png"))
    assert (folder / "checkpoints" / str(LAST)).is_dir()
    assert found["reason"] in (folder / "train.log").read_text()


def test_a_run_that_has_not_left_its_start_ends_with_a_warning(alone, compose_config, tmp_path, capsys):
    folder, config = alone
    (warning,) = (found for found in summary(folder)["warnings"] if found["name"] == "no improvement")
    assert warning["step"] == 50
    line = "step 50: no improvement: jsd/exact, which ends the run, has never been better than at step 0"
    log = (folder / "train.log").read_text()
    assert log.count(f"warning: {line}") == 1 and f" - {line}" in log
    capsys.readouterr()
    assert train(config, tmp_path / "run") == 0
    assert f"- {line}" in capsys.readouterr().out
    moving = ("optimizer.generator.learning_rate=0.05", "ema.decay=0", "stop.tolerance=0.2", "stop.patience=6")
    moved = compose_config((*SMALL, *moving))
    assert train(moved, tmp_path / "moved") == 0
    assert "reason" in summary(tmp_path / "moved") and "no improvement" not in str(summary(tmp_path / "moved"))


def test_an_ended_run_is_complete_until_its_settings_change(alone, capsys):
    folder, config = alone
    assert completed(folder, config) and ended(Job(config, folder)) == 0
    before = (folder / "metrics.jsonl").read_bytes()
    assert train(config, folder, resume=True) == 0
    assert f"is complete: it ended early, at step {LAST}; set stop.when=null to go on" in capsys.readouterr().out
    assert (folder / "metrics.jsonl").read_bytes() == before
    assert not completed(folder, dataclasses.replace(config, stop=dataclasses.replace(config.stop, patience=3)))
    (run,) = read_runs([str(folder)])
    assert run.status == "completed"


def test_a_run_that_is_killed_before_its_summary_ends_at_the_same_step(alone, tmp_path):
    import shutil

    folder, config = alone
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    (copy / "summary.json").unlink()
    assert train(config, copy, resume=True) == 0
    assert rows(copy) == rows(folder)
    assert (summary(copy)["steps"], summary(copy)["reason"]) == (LAST, summary(folder)["reason"])


def test_without_the_setting_the_run_goes_on_to_its_last_step(alone, tmp_path):
    import shutil

    folder, config = alone
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    assert train(dataclasses.replace(config, stop=dataclasses.replace(config.stop, when=None)), copy, resume=True) == 0
    assert (summary(copy)["status"], summary(copy)["steps"]) == ("completed", 200)
    assert "reason" not in summary(copy)


def test_members_of_a_population_end_one_by_one(compose_config, tmp_path):
    frozen = compose_config((*SMALL, *FROZEN))
    moving = compose_config((*SMALL, "optimizer.generator.learning_rate=0.05", "ema.decay=0"))
    jobs = [Job(frozen, tmp_path / "0"), Job(dataclasses.replace(frozen, seed=1), tmp_path / "1")]
    jobs += [Job(dataclasses.replace(moving, seed=seed), tmp_path / str(seed)) for seed in (2, 3)]
    assert train_all(jobs, tmp_path) == [0] * 4
    for name in "01":
        assert (summary(tmp_path / name)["status"], summary(tmp_path / name)["steps"]) == ("completed", LAST)
        assert (tmp_path / name / "checkpoints" / str(LAST)).is_dir()
    for name in "23":
        steps = summary(tmp_path / name)["steps"]
        assert summary(tmp_path / name)["status"] == "completed" and steps >= LAST
        assert rows(tmp_path / name)[-1]["step"] == steps
    assert [ended(job) for job in jobs] == [0] * 4
    assert "ended before by stop.when" in (tmp_path / "train.log").read_text()


QUIET = (*SMALL, *FROZEN, "log.pictures=0")  # nothing but stop.when has the run evaluated


def test_metrics_are_loaded_for_a_run_that_is_evaluated_for_nothing_else(compose_config, monkeypatch):
    loaded = []
    monkeypatch.setattr("ganrun.evaluation.metrics.exact.ExactDivergences.load", lambda self, config: loaded.append(1))
    config = compose_config(QUIET)
    assert Evaluator(build(config), config).at_the_end == {METRICS} and loaded == [1]
    config = dataclasses.replace(config, stop=dataclasses.replace(config.stop, when=None))
    assert Evaluator(build(config), config).at_the_end == frozenset() and loaded == [1]


def test_the_memory_of_its_snapshots_counts(compose_config):
    asked = []
    config = compose_config(QUIET)
    population = SimpleNamespace(experiments=[build(config)], memory=lambda n, points: asked.append(n) or 0)
    memory(population, config)  # type: ignore[arg-type]
    memory(population, dataclasses.replace(config, stop=dataclasses.replace(config.stop, when=None)))  # type: ignore[arg-type]
    assert asked[0] > 0 and asked[1] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("stop.when=jsd/exakt",), "no run logs 'jsd/exakt'. Did you mean 'jsd/exact'? This one logs D(x), "),
        (("stop.when=jsd/exakt",), " in all: `ganrun list tags`)."),
        (("stop.when=elbo",), "stop.when: runs of method=gan do not log 'elbo'. This one logs D(x), "),
        (("stop.when=schedule/k",), "stop.when=schedule/k: neither lower nor higher is better by itself."),
        (("stop.times=4",), "stop.patience=2 needs more than 5 evaluations, and there are 4 in 200 steps"),
        (("stop.when=jsd/probe",), "stop.when: this run does not log 'jsd/probe': probe=off measures none."),
    ],
)
def test_what_can_never_end_a_run_is_refused(compose_config, words, message):
    with pytest.raises(ConfigError) as error:
        require_stop(compose_config((*SMALL, *words)))
    assert message in str(error.value)
