"""``ganrun`` with ``method=dbm``: training, resuming, sampling, evaluating and comparing, each for real and small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from written import arrays, assert_logs_what_was_foretold, assert_same_bits

TINY = (
    "method=dbm",
    "dataset=digits",
    "method.hidden=[6,4]",
    "method.sample_steps=20",
    "method.ais_chains=10",
    "method.ais_steps=20",
    "method.gibbs_steps=3",
    "metric.log_density.examples=50",
    "metric.log_density.final_examples=100",
    "batch_size=16",
    "probe=off",
    "log.every=10",
    "log.pictures=1",
    "evaluate.share=1",
)
STEPS = 20


@pytest.fixture(scope="module")
def cwd(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("dbm")


@pytest.fixture(scope="module")
def run(inside, cwd) -> Path:
    done = inside("train", *TINY, f"steps={STEPS}", "hydra.run.dir=digits", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert "mean_field_bound_ais" in done.stdout
    return cwd / "digits"


def last(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


def test_a_run_logs_what_its_config_says_and_the_bounds_differ_by_log_z(run) -> None:
    assert_logs_what_was_foretold(run)
    row = last(run)
    difference = row["mean_field_bound_ais"] - row["mean_field_bound"]
    assert difference == pytest.approx(row["log_z_exact"] - row["log_z"], abs=1e-3)
    assert row["chains/effective_samples"] >= 1


def test_a_stopped_run_continues_to_the_same_bits(run, inside, cwd) -> None:
    constant = "optimizer.generator.decay=constant"  # so that the length of the run changes nothing
    for folder, steps in (("part", 10), ("whole", STEPS)):
        done = inside("train", *TINY, f"steps={steps}", constant, f"hydra.run.dir={folder}", cwd=cwd)
        assert done.returncode == 0, done.stderr
    done = inside("train", "resume=part", f"steps={STEPS}", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_bits(cwd / "part", cwd / "whole")
    assert "model/stats/chains" in arrays(run)


def test_it_is_sampled_evaluated_and_compared(run, inside, cwd) -> None:
    for words in (
        ("sample", "run=digits", "mode=random", "n=20", "out=samples.npz"),
        ("export", "run=digits", "out=exported"),
        ("jsd", "digits", "./digits", "estimator=knn", "n=100", "format=json"),
    ):
        done = inside(*words, cwd=cwd)
        assert done.returncode == 0, (words, done.stderr)
    with np.load(cwd / "samples.npz") as archive:
        assert archive["samples"].shape == (20, 8, 8, 1) and np.abs(archive["samples"]).max() <= 1.0
    done = inside("eval", "run=digits", "n=50", "metrics=[log_density]", "format=json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["evaluations"]
    assert set(one["metrics"]) == {"mean_field_bound_ais", "mean_field_bound"}
