"""``ganrun`` with ``method=drifting``: training, resuming, sampling, evaluating and exporting, for real and small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from written import assert_logs_what_was_foretold, assert_same_bits, summary

TINY = (
    "method=drifting",
    "architecture.generator_hidden=[8]",
    "batch_size=16",
    "probe=off",
    "log.every=10",
    "log.pictures=1",
    "evaluate.share=1",
)
STEPS = 20


def at(folder: str, *words: str) -> tuple[str, ...]:
    return (*words, f"steps={STEPS}", f"hydra.run.dir={folder}")


@pytest.fixture(scope="module")
def cwd(inside, tmp_path_factory) -> Path:
    """A folder with the runs ``digits``, ``plane`` and ``line``."""
    folder = tmp_path_factory.mktemp("drifting")
    for name, words in (
        ("digits", ("dataset=digits",)),
        ("plane", ()),
        ("line", ("dataset=mixture1d", "method.rescaled=false")),
    ):
        done = inside("train", *at(name, *TINY, *words), cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
    return folder


def last(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


def test_a_run_logs_what_its_config_says(cwd) -> None:
    for name in ("digits", "plane", "line"):
        assert_logs_what_was_foretold(cwd / name)
        assert summary(cwd / name)["status"] == "completed" and (cwd / name / "samples" / f"{STEPS:08}.png").exists()
        assert last(cwd / name)["drift/norm"] > 0
    row = last(cwd / "line")
    assert row["loss"] >= row["drift/norm"] ** 2 > 0  # the mean of squares and the square of the mean
    for name in ("plane", "line"):
        assert 0 < last(cwd / name)["jsd/exact"] <= np.log(2)
    assert 0 <= last(cwd / "plane")["data_missed"] <= 1  # which only the integral over latents gives


def test_a_stopped_run_continues_to_the_same_bits(inside, cwd) -> None:
    constant = ("dataset=ring", "optimizer.generator.decay=constant")  # whose rate does not depend on `steps`
    assert inside("train", *at("whole", *TINY, *constant), cwd=cwd).returncode == 0
    half = (*TINY, *constant, "steps=10", "hydra.run.dir=half")
    assert inside("train", *half, cwd=cwd).returncode == 0
    done = inside("train", "resume=half", f"steps={STEPS}", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_bits(cwd / "half", cwd / "whole")


def test_every_other_command_works_as_for_a_gan_or_refuses_in_one_line(inside, cwd) -> None:
    np.save(cwd / "some.npy", np.zeros((2, 2), np.float32))
    for words in (
        ("sample", "run=digits", "n=9", "out=grid.png"),
        ("sample", "run=digits", "mode=random", "n=20", "out=samples.npz"),
        ("sample", "run=digits", "mode=interpolate", "n=2", "out=ways.png"),
        ("sample", "run=plane", "project=some.npy", "out=latents.npz", "starts=2", "iterations=5"),
        ("export", "run=digits", "out=exported"),
        ("eval", "run=digits", "n=50", "metrics=[frechet]", "features=raw"),
        ("jsd", "ring", "plane", "estimator=exact"),
        ("train", "-m", *TINY, "steps=2", "seed=0,1", "hydra.sweep.dir=sweep"),
        ("compare", "sweep"),
    ):
        done = inside(*words, cwd=cwd)
        assert done.returncode == 0, (words, done.stderr)
    with np.load(cwd / "samples.npz") as archive:
        assert archive["samples"].shape == (20, 8, 8, 1) and np.abs(archive["samples"]).max() <= 1.0
    assert (cwd / "exported" / "model.stablehlo").exists()  # of latents, and not of random keys
    done = inside("train", *TINY, "conditional=true", "dataset=digits", cwd=cwd)
    assert done.returncode == 2 and len(done.stderr.splitlines()) <= 2 and "Traceback" not in done.stderr
