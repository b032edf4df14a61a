"""``ganrun`` with ``method=flow``: training, resuming, sampling, evaluating and exporting, each for real and small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from written import assert_logs_what_was_foretold, assert_same_bits, summary

TINY = (
    "method=flow",
    "metric.log_density.examples=50",
    "metric.log_density.final_examples=100",
    "batch_size=16",
    "probe=off",
    "log.every=10",
    "log.pictures=1",
    "evaluate.share=1",
)
SPLINE = (*TINY, "architecture.hidden=[4]", "architecture.couplings=2", "architecture.bins=3")
LINE = (*SPLINE, "dataset=mixture1d")
DIGITS = (*TINY, "dataset=digits", "architecture=realnvp", "architecture.width=2", "architecture.couplings=1")
DIGITS = (*DIGITS, "architecture.blocks=0", "architecture.scales=1")
CLASSES = (*SPLINE, "conditional=true", "metric=[log_density,exact]")
STEPS = 20


@pytest.fixture(scope="module")
def cwd(inside, tmp_path_factory) -> Path:
    """A folder with the runs ``digits``, ``line`` and ``classes``."""
    folder = tmp_path_factory.mktemp("flow")
    for name, words in (("digits", DIGITS), ("line", LINE), ("classes", CLASSES)):
        done = inside("train", *words, f"steps={STEPS}", f"hydra.run.dir={name}", cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
    return folder


def last(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


def contents(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return dict(archive)


@pytest.mark.parametrize("name", ["digits", "line", "classes"])
def test_a_run_logs_what_its_config_says(name, cwd) -> None:
    assert_logs_what_was_foretold(cwd / name)
    assert summary(cwd / name)["status"] == "completed"
    row = last(cwd / name)
    assert 0 <= row["inverse_error"] < 1e-4 and row["grad_norm"] > 0
    config = yaml.safe_load((cwd / name / "config.yaml").read_text())
    assert config["latent"]["dim"] is None and config["loss"] is None


def test_the_numbers_obey_their_definitions(cwd) -> None:
    digits, line = last(cwd / "digits"), last(cwd / "line")
    assert digits["bits_per_dim"] == pytest.approx(digits["loss"] / (64 * np.log(2)), rel=1e-5)
    # The initial flow is the identity: a black pixel, of logit -2.9, has 11.2 bits, and one in the middle 7.5.
    assert 4 < digits["bits_per_dim"] < 11.2
    assert digits["log_likelihood_bound"] < 0 < digits["log_likelihood_bound_se"]
    assert line["jsd/exact"] > line["jsd/exact_error"] >= 0  # its latents are followed through the splines
    # The mean of log p(x) is the negative entropy of the data less KL(data, model).
    wanted = -entropy_of_the_data() - line["kl/forward"]
    assert line["log_likelihood"] == pytest.approx(wanted, abs=4 * line["log_likelihood_se"])


def entropy_of_the_data() -> float:
    """The entropy of ``dataset=mixture1d`` in nats, by quadrature."""
    x = np.linspace(-8.0, 10.0, 20_001)
    parts = ((0.6, -1.5, 0.7), (0.4, 2.0, 1.0))
    p = sum(w * np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi)) for w, m, s in parts)
    return float(np.trapezoid(-p * np.log(p), x))


def test_a_stopped_run_continues_to_the_same_bits(cwd, inside) -> None:
    assert inside("train", *DIGITS, "steps=10", "hydra.run.dir=half", cwd=cwd).returncode == 0
    done = inside("train", "resume=half", f"steps={STEPS}", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_bits(cwd / "half", cwd / "digits")


def test_members_of_a_population_share_a_program_and_are_compared_by_the_likelihood(cwd, inside) -> None:
    done = inside("train", "-m", *LINE, f"steps={STEPS}", "seed=0,1", "hydra.sweep.dir=sweep", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "") and "2 runs in 1 program" in done.stdout
    wanted, found = last(cwd / "line"), last(cwd / "sweep" / "0-seed=0")
    for tag in ("loss", "log_likelihood", "jsd/exact"):
        assert found[tag] == pytest.approx(wanted[tag], rel=2e-3)
    compared = inside("compare", "sweep", "format=json", cwd=cwd)
    assert compared.returncode == 0, compared.stderr
    (group,) = json.loads(compared.stdout)["groups"]
    each = [last(cwd / "sweep" / f"{seed}-seed={seed}")["log_likelihood"] for seed in (0, 1)]
    assert group["log_likelihood best"] == max(each)


def test_samples_are_drawn_interpolated_and_reconstructed(cwd, inside) -> None:
    for words in (
        ("n=9", "out=grid.png"),
        ("mode=interpolate", "n=2", "steps=4", "out=ways.png"),
        ("mode=random", "n=20", "out=samples.npz"),
    ):
        done = inside("sample", "run=digits", *words, cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
    samples = contents(cwd / "samples.npz")["samples"]
    assert samples.shape == (20, 8, 8, 1) and np.abs(samples).max() <= 1.0
    levels = np.rint((samples + 1) * 127.5) / 127.5 - 1
    np.savez(cwd / "mine.npz", levels.astype(np.float32))
    done = inside("sample", "run=digits", "reconstruct=mine.npz", "range=[-1,1]", "out=pairs.npz", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    pairs = contents(cwd / "pairs.npz")
    assert pairs["latents"].shape == (20, 64)
    np.testing.assert_allclose(pairs["reconstructions"], levels, atol=1e-4)


def test_a_class_is_chosen_and_its_latents_need_it(cwd, inside) -> None:
    done = inside("sample", "run=classes", "label=3", "n=20", "out=three.npz", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "") and contents(cwd / "three.npz")["samples"].shape == (20, 2)
    np.save(cwd / "points.npy", np.zeros((2, 2), np.float32))
    refused = inside("sample", "run=classes", "reconstruct=points.npy", "label=1", "out=no.npz", cwd=cwd)
    assert refused.returncode == 2 and "this run has no encoder" in refused.stderr


def test_the_density_and_the_divergence_of_a_run_are_evaluated(cwd, inside) -> None:
    done = inside("jsd", "mixture1d", "./line", "estimator=exact", "format=json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["estimate"] == pytest.approx(last(cwd / "line")["jsd/exact"], abs=1e-3)
    done = inside("eval", "run=digits", "n=100", "metrics=[log_density]", "format=json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert "log_likelihood_bound" in done.stdout


def test_a_run_is_exported(cwd, inside) -> None:
    done = inside("export", "run=digits", "out=model", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert "flow of step 20" in done.stdout
    assert {path.name for path in (cwd / "model").iterdir()} >= {"model.stablehlo", "model.safetensors", "README.md"}
    assert not (cwd / "model" / "sample.stablehlo").exists()  # samples are a function of latents


def test_a_search_maximises_the_likelihood(cwd, inside) -> None:
    pytest.importorskip("optuna")
    words = (
        "hydra/sweeper=optuna",
        "hydra.sweeper.metric=log_likelihood",
        "hydra.sweeper.trials=2",
        "hydra.sweeper.batch=2",
        "hydra.sweep.dir=found",
        "optimizer.generator.learning_rate=tag(log,interval(1e-4,1e-2))",
    )
    done = inside("train", "-m", *LINE, f"steps={STEPS}", *words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    each = [last(path.parent)["log_likelihood"] for path in (cwd / "found").glob("*/metrics.jsonl")]
    assert len(each) == 2 and f"best of 2 trials: log_likelihood {max(each):.4g}" in done.stdout
