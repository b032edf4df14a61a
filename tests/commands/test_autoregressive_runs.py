"""``ganrun`` with ``method=autoregressive``: training, resuming, sampling, exporting and comparing, small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from written import arrays, assert_logs_what_was_foretold, assert_same_bits, summary

TINY = (
    "method=autoregressive",
    "architecture.hidden=[8]",
    "metric.log_density.examples=50",
    "metric.log_density.final_examples=100",
    "batch_size=16",
    "probe=off",
    "log.every=10",
    "log.pictures=1",
    "evaluate.share=1",
)
DIGITS = (*TINY, "dataset=digits", "architecture.orders=2")
STEPS = 20


def at(folder: str, *words: str) -> tuple[str, ...]:
    return (*words, f"hydra.run.dir={folder}")


@pytest.fixture(scope="module")
def cwd(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("autoregressive")


@pytest.fixture(scope="module")
def run(inside, cwd) -> Path:
    """A run on images."""
    done = inside("train", *at("digits", *DIGITS, f"steps={STEPS}"), cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert "log p(x) of held-out examples, exact" in done.stdout
    return cwd / "digits"


@pytest.fixture(scope="module")
def ring(inside, cwd) -> Path:
    """A class-conditional run on points."""
    done = inside("train", *at("ring", *TINY, "conditional=true", f"steps={STEPS}"), cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return cwd / "ring"


def last(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


def test_a_run_logs_what_its_config_says(run, ring) -> None:
    for folder in (run, ring):
        assert_logs_what_was_foretold(folder)
        assert summary(folder)["status"] == "completed" and (folder / "samples" / f"{STEPS:08}.png").exists()
        row = last(folder)
        assert row["log_likelihood_se"] > 0 and row["grad_norm"] > 0 and "jsd/online" not in row
    assert last(run)["log_likelihood"] < 0  # the probability of an image of black and white pixels
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    assert events.Scalars("log_likelihood")[-1].value == pytest.approx(last(run)["log_likelihood"])


def test_a_stopped_run_continues_to_the_same_bits(run, inside, cwd) -> None:
    assert inside("train", *at("half", *DIGITS, "steps=10"), cwd=cwd).returncode == 0
    done = inside("train", "resume=half", f"steps={STEPS}", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_bits(cwd / "half", run)


def test_members_of_a_population_equal_single_runs(run, inside, cwd) -> None:
    done = inside("train", "-m", *DIGITS, f"steps={STEPS}", "seed=0,1", "hydra.sweep.dir=sweep", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "") and "2 runs in 1 program" in done.stdout
    member, alone = arrays(cwd / "sweep" / "0-seed=0"), arrays(run)
    assert member.keys() == alone.keys() and len(alone) > 15
    for name, array in member.items():
        # Adam divides by the root of a mean square, which turns rounding errors into moves where gradients are small.
        np.testing.assert_allclose(np.asarray(array, float), np.asarray(alone[name], float), rtol=2e-3, atol=2e-4)
    compared = inside("compare", "sweep", "format=json", cwd=cwd)
    assert compared.returncode == 0, compared.stderr
    (group,) = json.loads(compared.stdout)["groups"]
    values = [last(cwd / "sweep" / f"{seed}-seed={seed}")["log_likelihood"] for seed in (0, 1)]
    assert group["log_likelihood mean"] == pytest.approx(np.mean(values))
    assert group["log_likelihood best"] == max(values)


def test_samples_are_drawn_and_what_needs_latents_is_refused_in_one_line(run, ring, inside, cwd) -> None:
    for words in (("run=digits", "n=9", "out=grid.png"), ("run=ring", "label=3", "n=20", "out=points.npz")):
        done = inside("sample", *words, cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
    with np.load(cwd / "points.npz") as archive:
        assert archive["samples"].shape == (20, 2)
    np.savez(cwd / "mine.npz", np.zeros((2, 8, 8, 1), np.float32))
    for words in (
        ("mode=interpolate", "out=ways.png"),
        ("mode=walk", "out=walk.gif"),
        ("mode=truncate", "truncation=0.5", "out=some.png"),
        ("project=mine.npz", "range=[-1,1]", "out=pairs.png"),
        ("reconstruct=mine.npz", "range=[-1,1]", "out=pairs.png"),
    ):
        refused = inside("sample", "run=digits", *words, cwd=cwd)
        assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
        assert "needs a method whose samples are a function of latents" in refused.stderr
    words = ("method=autoregressive", "architecture=mlp")
    refused = inside("train", *words, cwd=cwd)
    assert refused.returncode == 2 and "architecture=fvsbn, made or pixelcnn" in refused.stderr


def test_a_model_without_latents_is_exported_as_a_program_of_random_keys(run, inside, cwd) -> None:
    done = inside("export", "run=digits", "out=exported", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    names = {path.name for path in (cwd / "exported").iterdir()}
    assert "sample.stablehlo" in names and "model.stablehlo" not in names
    assert "The method has no latents." in (cwd / "exported" / "README.md").read_text()


def test_the_divergence_of_a_run_from_its_density_is_computed_from_samples(ring, inside, cwd) -> None:
    done = inside("jsd", "ring", "./ring", "estimator=exact", "format=json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["estimate"] == pytest.approx(last(ring)["jsd/exact"], abs=0.03)
