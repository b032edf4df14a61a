"""Runs that a pruner ends early, and the decisions of the pruner of a search."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hydra_plugins.ganrun_population.pruner import Pruner
from written import summary

from ganrun.comparison.formats import as_csv, heads
from ganrun.comparison.groups import group
from ganrun.comparison.runs import read_runs
from ganrun.comparison.table import compare
from ganrun.training import vmapped
from ganrun.training.sweep import train_all
from ganrun.training.sweep_plan import Job, ended

SMALL = (
    "architecture.generator_hidden=[8]",
    "architecture.discriminator_hidden=[8]",
    "batch_size=16",
    "dataset=gaussian",
    "latent.dim=1",
    "optimizer=sgd",
    "probe=off",
    "log.pictures=5",
    "log.every=10",
    "evaluate.share=1",
    "steps=50",
)
TIMES = {"steps_per_second", "evaluate/seconds"}


def rows(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


class Recorder:
    """A pruner that ends the runs ``doomed`` (by name) at the given steps, and records the metrics that it receives."""

    def __init__(self, doomed: dict[str, int]) -> None:
        self.doomed, self.shown = doomed, []

    def __call__(self, step: int, seen: dict[Path, dict[str, float]]) -> dict[Path, str]:
        self.shown.append((step, {folder.name: metrics["jsd/exact"] for folder, metrics in seen.items()}))
        return {folder: f"pruned at {step}" for folder in seen if self.doomed.get(folder.name) == step}


@pytest.fixture(scope="module")
def pruned(compose_config, tmp_path_factory):
    """Six members, of which 1 to 4 end early: one at step 10, three at step 20."""
    folder = tmp_path_factory.mktemp("pruned")
    config = compose_config(SMALL)
    jobs = [Job(dataclasses.replace(config, seed=i), folder / str(i)) for i in range(6)]
    pruner = Recorder({"1": 10, "2": 20, "3": 20, "4": 20})
    vmapped._compiled.cache_clear()  # another file may have compiled some of these programs
    codes = train_all(jobs, folder, pruner)
    return folder, jobs, pruner, codes, vmapped._compiled.cache_info().misses


def test_pruned_members_end_early_and_the_others_complete(pruned) -> None:
    folder, jobs, _, codes, _ = pruned
    assert codes == [0] * 6
    assert [summary(folder / str(i))["status"] for i in range(6)] == [
        "completed", "pruned", "pruned", "pruned", "pruned", "completed",
    ]  # fmt: skip
    assert summary(folder / "1")["reason"] == "pruned at 10"
    assert rows(folder / "0")[-1]["step"] == rows(folder / "5")[-1]["step"] == 50
    assert [rows(folder / name)[-1]["step"] for name in "1234"] == [20, 30, 30, 30]
    assert [ended(job) for job in jobs] == [0] * 6


def test_the_pruner_receives_the_logged_metrics_of_the_remaining_runs(pruned) -> None:
    folder, _, pruner, _, _ = pruned
    assert [step for step, _ in pruner.shown] == [10, 20, 30]
    assert [sorted(seen) for _, seen in pruner.shown] == [list("012345"), list("02345"), list("05")]
    for step, seen in pruner.shown:
        for name, value in seen.items():
            (row,) = (row for row in rows(folder / name) if row["step"] == step)
            assert row["jsd/exact"] == value


def test_a_smaller_program_takes_over_once_half_of_the_members_are_idle(pruned) -> None:
    *_, programs = pruned
    # Training and a snapshot, for six members and then for two: a single member compiles nothing here.
    assert programs == 4


def test_the_remaining_runs_equal_unpruned_ones(pruned, compose_config, tmp_path) -> None:
    folder, *_ = pruned
    config = compose_config(SMALL)
    jobs = [Job(dataclasses.replace(config, seed=seed), tmp_path / str(seed)) for seed in (0, 5)]
    assert train_all(jobs, tmp_path) == [0, 0]
    for name in "05":
        for row, wanted in zip(rows(folder / name), rows(tmp_path / name), strict=True):
            assert row.keys() == wanted.keys()
            finite = {tag for tag in row if row[tag] is not None and tag not in TIMES}  # null: infinite
            assert {tag for tag in wanted if wanted[tag] is None} == row.keys() - finite - TIMES
            found = {tag: row[tag] for tag in finite}
            assert found == pytest.approx({tag: wanted[tag] for tag in finite}, rel=1e-3, abs=1e-4)


def test_a_run_alone_can_be_ended_too(compose_config, tmp_path) -> None:
    config = compose_config(SMALL)
    assert train_all([Job(config, tmp_path / "0")], tmp_path, Recorder({"0": 20})) == [0]
    assert summary(tmp_path / "0")["status"] == "pruned"
    assert rows(tmp_path / "0")[-1]["step"] == 30


def test_a_comparison_counts_what_was_pruned_and_leaves_it_out_of_the_mean(pruned) -> None:
    folder, *_ = pruned
    found = compare(group(read_runs([str(folder)])), ["jsd/exact"])
    assert heads(found) == ["runs", "failed", "pruned", "n", "mean", "0.95 interval", "best"]
    mean = (summary(folder / "0")["metrics"]["jsd/exact"] + summary(folder / "5")["metrics"]["jsd/exact"]) / 2
    (cells,) = found.cells
    assert cells[0].value == pytest.approx(mean)
    assert as_csv(found).splitlines()[1].startswith("6,0,4,")


def test_the_search_ends_trials_that_are_worse_than_the_median_of_those_before() -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=15))
    for value in (0.1, 0.2, 0.3):
        trial = study.ask()
        for step in (10, 20):
            trial.report(value, step)
        study.tell(trial, value)
    pruner = Pruner([study.ask() for _ in range(3)], 2, "jsd/exact")
    # Means over two seeds: 0.15, 0.25 and one run that says nothing. The median of those before is 0.2.
    seen = {i: {"jsd/exact": value} for i, value in enumerate((0.1, 0.2, 0.4, 0.1, 9.0))}
    assert pruner(10, seen) == {}  # too early
    ended = pruner(20, seen)
    assert ended.keys() == {2, 3} and pruner.pruned == {4}
    assert ended[2] == ended[3] == "pruned: jsd/exact 0.25 at step 20 is worse than the median"
