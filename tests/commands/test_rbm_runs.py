"""``ganrun`` with ``method=rbm``: training, resuming, sampling, comparing and searching, each for real and small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from written import arrays, assert_logs_what_was_foretold, assert_same_bits, summary

TINY = (
    "method=rbm",
    "dataset=digits",
    "method.hidden=6",
    "method.sample_steps=20",
    "method.ais_chains=10",
    "method.ais_steps=20",
    "metric.log_density.examples=50",
    "metric.log_density.final_examples=100",
    "batch_size=16",
    "probe=off",
    "log.every=10",
    "log.pictures=1",
    "evaluate.share=1",
)
STEPS = 20


def at(folder: str, *words: str) -> tuple[str, ...]:
    return (*words, f"hydra.run.dir={folder}")


@pytest.fixture(scope="module")
def cwd(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("rbm")


@pytest.fixture(scope="module")
def run(inside, cwd) -> Path:
    done = inside("train", *at("digits", *TINY, f"steps={STEPS}"), cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert "log_likelihood_ais" in done.stdout
    return cwd / "digits"


def last(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


def test_a_run_logs_what_its_config_says(run) -> None:
    assert_logs_what_was_foretold(run)
    assert summary(run)["status"] == "completed" and (run / "samples" / f"{STEPS:08}.png").exists()
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["architecture"] is None and config["method"]["name"] == "rbm"


def test_the_numbers_obey_their_definitions(run) -> None:
    row = last(run)
    assert row["loss"] == pytest.approx(row["free_energy/data"] - row["free_energy/model"], abs=1e-3)
    # Both estimates are of the same binarised examples and differ by that of log Z.
    difference = row["log_likelihood_ais"] - row["log_likelihood"]
    assert difference == pytest.approx(row["log_z_exact"] - row["log_z"], abs=1e-3)
    assert row["log_likelihood_ais_se"] == pytest.approx(np.hypot(row["log_likelihood_se"], row["log_z_se"]), rel=1e-3)
    assert row["chains/effective_samples"] >= 1 and row["chains/r_hat"] > 0.9


def test_a_stopped_run_continues_to_the_same_bits(run, inside, cwd) -> None:
    constant = "optimizer.generator.decay=constant"  # so that the length of the run changes nothing
    for folder, words in (("part", ("steps=10", constant)), ("whole", (f"steps={STEPS}", constant))):
        assert inside("train", *at(folder, *TINY, *words), cwd=cwd).returncode == 0
    done = inside("train", "resume=part", f"steps={STEPS}", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_bits(cwd / "part", cwd / "whole")
    assert "model/stats/chains" in arrays(run)


def test_a_run_is_named_without_an_architecture(inside, tmp_path) -> None:
    words = (*TINY, "steps=1", "log.pictures=0")
    assert inside("train", *words, cwd=tmp_path).returncode == 0
    (config,) = tmp_path.glob("outputs/*/*/config.yaml")
    assert config.parent.name.endswith("-digits-rbm")


def test_members_of_a_sweep_are_compared_by_their_likelihoods(run, inside, cwd) -> None:
    done = inside("train", "-m", *TINY, f"steps={STEPS}", "method.gibbs_steps=1,3", "hydra.sweep.dir=sweep", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "") and "2 runs in 1 program" in done.stdout
    runs = sorted(path for path in (cwd / "sweep").iterdir() if (path / "metrics.jsonl").exists())
    assert last(runs[0])["log_likelihood"] == pytest.approx(last(run)["log_likelihood"], rel=1e-3)
    compared = inside("compare", "sweep", "format=json", cwd=cwd)
    assert compared.returncode == 0, compared.stderr
    groups = json.loads(compared.stdout)["groups"]
    assert len(groups) == 2 and all("log_likelihood_ais mean" in group for group in groups)


def test_every_other_command_works_or_refuses_in_one_line(run, inside, cwd) -> None:
    for words in (
        ("sample", "run=digits", "n=9", "out=grid.png"),
        ("sample", "run=digits", "mode=random", "n=20", "out=samples.npz"),
        ("sample", "run=digits", "mode=neighbours", "n=2", "out=near.png"),
        ("export", "run=digits", "out=exported"),
        ("doctor",),
        ("list", "method"),
    ):
        done = inside(*words, cwd=cwd)
        assert done.returncode == 0, (words, done.stderr)
    with np.load(cwd / "samples.npz") as archive:
        samples = archive["samples"]
    assert samples.shape == (20, 8, 8, 1) and np.abs(samples).max() <= 1.0
    for words in (
        ("sample", "run=digits", "mode=interpolate", "n=2", "out=ways.png"),
        ("sample", "run=digits", "label=1"),
        ("sample", "run=digits", "reconstruct=samples.npz", "out=pairs.png"),
    ):
        done = inside(*words, cwd=cwd)
        assert done.returncode == 2 and len(done.stderr.splitlines()) <= 2 and "Traceback" not in done.stderr, words


def test_a_run_is_evaluated_with_its_likelihood(run, inside, cwd) -> None:
    done = inside("eval", "run=digits", "n=50", "metrics=[log_density]", "format=json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["evaluations"]
    found = one["metrics"]
    assert set(found) == {"log_likelihood_ais", "log_likelihood"}
    assert found["log_likelihood"]["value"] == pytest.approx(last(run)["log_likelihood"], abs=2.0)


def test_the_divergence_of_its_samples_is_estimated(run, inside, cwd) -> None:
    done = inside("jsd", "digits", "./digits", "estimator=knn", "n=100", "format=json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n"] == 100


def test_a_search_maximises_the_likelihood(inside, cwd) -> None:
    pytest.importorskip("optuna")
    words = (
        "hydra/sweeper=optuna",
        "hydra.sweeper.metric=log_likelihood",
        "hydra.sweeper.trials=2",
        "hydra.sweeper.batch=2",
        "hydra.sweep.dir=found",
        "optimizer.generator.learning_rate=tag(log,interval(1e-3,1e-1))",
    )
    done = inside("train", "-m", *TINY, f"steps={STEPS}", *words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    found = [last(path.parent)["log_likelihood"] for path in (cwd / "found").glob("*/metrics.jsonl")]
    assert len(found) == 2 and f"best of 2 trials: log_likelihood {max(found):.4g}" in done.stdout
