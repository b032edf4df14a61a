"""``ganrun`` with ``method=gsn``: training, resuming, sampling and exporting, each for real and small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from written import assert_logs_what_was_foretold, assert_same_bits, summary

TINY = (
    "method=gsn",
    "architecture.hidden=[8]",
    "method.sample_steps=10",
    "method.walkback=2",
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
    return tmp_path_factory.mktemp("gsn")


@pytest.fixture(scope="module")
def run(inside, cwd) -> Path:
    done = inside("train", *at("digits", *TINY, "dataset=digits", f"steps={STEPS}"), cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return cwd / "digits"


def last(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


def test_a_run_logs_what_its_config_says(run, inside, cwd) -> None:
    assert inside("train", *at("ring", *TINY, f"steps={STEPS}"), cwd=cwd).returncode == 0
    for folder in (run, cwd / "ring"):
        assert_logs_what_was_foretold(folder)
        assert summary(folder)["status"] == "completed" and (folder / "samples" / f"{STEPS:08}.png").exists()
        row = last(folder)  # of two steps of walkback
        mean = (row["log_likelihood/first_step"] + row["log_likelihood/last_step"]) / 2
        assert row["loss"] == pytest.approx(-mean, rel=1e-5)


def test_a_stopped_run_continues_to_the_same_bits(run, inside, cwd) -> None:
    assert inside("train", *at("half", *TINY, "dataset=digits", "steps=10"), cwd=cwd).returncode == 0
    done = inside("train", "resume=half", f"steps={STEPS}", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_bits(cwd / "half", run)


def test_every_other_command_works_or_refuses_in_one_line(run, inside, cwd) -> None:
    for words in (
        ("sample", "run=digits", "n=9", "out=grid.png"),
        ("sample", "run=digits", "mode=random", "n=20", "out=samples.npz"),
        ("export", "run=digits", "out=exported"),
        ("eval", "run=digits", "n=50", "metrics=[parzen]", "features=raw"),
        ("train", "-m", *TINY, "dataset=digits", "steps=2", "seed=0,1", "hydra.sweep.dir=sweep"),
        ("compare", "sweep"),
    ):
        done = inside(*words, cwd=cwd)
        assert done.returncode == 0, (words, done.stderr)
    with np.load(cwd / "samples.npz") as archive:
        assert archive["samples"].shape == (20, 8, 8, 1) and np.abs(archive["samples"]).max() <= 1.0
    for words in (
        ("sample", "run=digits", "mode=interpolate", "n=2", "out=ways.png"),
        ("sample", "run=digits", "reconstruct=samples.npz", "out=pairs.png"),
    ):
        done = inside(*words, cwd=cwd)
        assert done.returncode == 2 and len(done.stderr.splitlines()) <= 2 and "Traceback" not in done.stderr, words
    done = inside("eval", "run=digits", "n=50", "metrics=[log_density]", cwd=cwd)
    assert done.returncode == 2 and "log_density: the method has no density that can be computed" in done.stderr
