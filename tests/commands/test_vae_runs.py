"""``ganrun`` with ``method=vae``: training, resuming, sampling, comparing and searching, each for real and small."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalar
from written import arrays, assert_logs_what_was_foretold, assert_same_bits, summary

from ganrun.datasets.images import Digits
from ganrun.evaluation.divergence.distribution import to_unit_range
from ganrun.evaluation.load_run import load_run
from ganrun.storage.run_directory import load_config

NARROW = ("architecture.encoder_hidden=[8]", "architecture.decoder_hidden=[8]")
QUICK = ("metric.log_density.examples=50", "metric.log_density.final_examples=100", "method.importance_samples=3")
TINY = (
    "method=vae",
    *NARROW,
    *QUICK,
    "batch_size=16",
    "probe=off",
    "log.every=10",
    "log.pictures=1",
    "evaluate.share=1",
)
DIGITS = (*TINY, "dataset=digits", "latent.dim=2")
CLASSES = (*TINY, "conditional=true", "metric=[log_density]")
STEPS = 20


def at(folder: str, *words: str) -> tuple[str, ...]:
    return (*words, f"hydra.run.dir={folder}")


@pytest.fixture(scope="module")
def cwd(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("vae")


@pytest.fixture(scope="module")
def printed(inside, cwd) -> str:
    """What a run on images printed; it lies in ``digits``."""
    done = inside("train", *at("digits", *DIGITS, f"steps={STEPS}"), cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def run(printed, cwd) -> Path:
    return cwd / "digits"


@pytest.fixture(scope="module")
def ring(inside, cwd) -> Path:
    """A run on points."""
    done = inside("train", *at("ring", *TINY, f"steps={STEPS}"), cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return cwd / "ring"


@pytest.fixture(scope="module")
def classes(inside, cwd) -> Path:
    """A class-conditional run on points."""
    done = inside("train", *at("classes", *CLASSES, f"steps={STEPS}"), cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return cwd / "classes"


def last(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


def contents(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return dict(archive)


def test_a_run_logs_what_its_config_says(run, ring, classes) -> None:
    for folder in (run, ring, classes):
        assert_logs_what_was_foretold(folder)
        assert summary(folder)["status"] == "completed" and (folder / "samples" / f"{STEPS:08}.png").exists()


def test_the_numbers_obey_their_definitions(run, ring) -> None:
    for row in (last(run), last(ring)):
        assert row["loss"] == pytest.approx(-row["elbo/train"])
        assert row["loss"] == pytest.approx(row["kl/latent"] - row["log_likelihood/reconstruction"], rel=1e-5)
        assert row["elbo"] <= row["iwae"] and row["elbo_se"] > 0 and row["grad_norm"] > 0
        assert row["latents/active"] in (0, 1, 2)
    assert last(run)["iwae"] < 0 < last(run)["kl/latent"]  # the probability of an image of black and white pixels


@pytest.mark.parametrize(("name", "charts"), [("run", ["bounds"]), ("ring", ["bounds", "Jensen-Shannon"])])
def test_tensorboard_charts_the_bounds_and_the_divergences_that_are_logged(name, charts, request) -> None:
    events = EventAccumulator(str(request.getfixturevalue(name)), size_guidance={"scalars": 0}).Reload()
    (tensor,) = events.Tensors(custom_scalar.CONFIG_SUMMARY_TAG)
    layout = layout_pb2.Layout.FromString(tensor.tensor_proto.string_val[0])
    drawn = {chart.title: chart.multiline.tag for category in layout.category for chart in category.chart}
    assert [title.split()[0] for title in drawn] == charts
    tags = events.Tags()["scalars"]
    for patterns in drawn.values():  # no chart is empty but for its reference line
        shown = {tag for tag in tags for pattern in patterns if re.match(pattern, tag)}
        assert shown - {"chart/log_2"}
    assert events.Scalars("chart/elbo")[-1].value == events.Scalars("elbo")[-1].value
    assert ("chart/log_2" in tags) == (len(charts) == 2)


def test_the_progress_and_the_last_table_show_the_loss_and_the_bounds(printed) -> None:
    milestones = [line for line in printed.splitlines() if line.startswith("step ")]
    assert re.match(r"step 10/20  loss [\d.]+  kl/latent [\d.]+  [\d]+ steps/s$", milestones[0])
    assert re.search(r"  elbo -[\d.]+  iwae -[\d.]+  ", milestones[-1])
    bound = r"-\d+(\.\d+)? ± \d+(\.\d+)? nats +.*lower bound on log p\(x\) of held-out examples"
    assert re.search(rf"^elbo +{bound}", printed, re.MULTILINE) and re.search(rf"^iwae +{bound}", printed, re.MULTILINE)


def test_the_config_names_what_it_has_and_is_null_for_the_rest(run) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    chosen = {"decoder": "auto", "importance_samples": 3}
    default = {"objective": "elbo", "training_samples": 1, "beta": 1.0, "free_bits": 0.0}
    default |= {"prior_couplings": 0, "prior_hidden": 128}
    assert config["method"] == {"name": "vae"} | chosen | default
    assert [config[name] for name in ("loss", "schedule", "inputs", "generator_update")] == [None] * 4
    assert config["optimizer"]["discriminator"] is None and config["penalty"] == {}


def test_a_stopped_run_continues_to_the_same_bits(run, inside, cwd) -> None:
    assert inside("train", *at("half", *DIGITS, "steps=10"), cwd=cwd).returncode == 0
    done = inside("train", "resume=half", f"steps={STEPS}", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert "warning" not in done.stdout.replace("warnings: none", "")
    assert_same_bits(cwd / "half", run)


def test_a_class_is_chosen_and_the_encoder_needs_it(classes, inside, cwd) -> None:
    for words in (("label=3", "out=three.npz"), ("out=all.npz",)):
        done = inside("sample", "run=classes", "n=20", *words, cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
    three, every = contents(cwd / "three.npz"), contents(cwd / "all.npz")
    assert set(three["labels"]) == {3} and len(set(every["labels"])) > 3 and every["samples"].shape == (20, 2)
    done = inside("sample", "run=classes", "mode=interpolate", "n=2", "steps=3", "label=1", "out=ways.npz", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    np.save(cwd / "points.npy", np.zeros((2, 2), np.float32))
    for words in (("reconstruct=points.npy",), ("reconstruct=points.npy", "label=1"), ("mode=latents",)):
        refused = inside("sample", "run=classes", *words, "out=no.npz", cwd=cwd)
        assert refused.returncode == 2 and "no encoder of examples without their classes" in refused.stderr
    found = inside("sample", "run=classes", "project=points.npy", "label=1", "out=found.npz", cwd=cwd)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_class_conditional_run_is_exported_and_resumed(classes, inside, cwd) -> None:
    done = inside("export", "run=classes", "out=model", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert inside("train", *at("parts", *CLASSES, "steps=10"), cwd=cwd).returncode == 0
    assert inside("train", "resume=parts", f"steps={STEPS}", cwd=cwd).returncode == 0
    assert_same_bits(cwd / "parts", classes)


def test_a_stored_config_repeats_the_run(run, inside, cwd) -> None:
    words = ("--config-dir", str(run), "--config-name", "config", "hydra.run.dir=again")
    done = inside("train", *words, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    assert load_config(cwd / "again") == load_config(run)
    assert_same_bits(cwd / "again", run)


def test_a_config_is_shown_without_what_a_vae_does_not_have(inside, cwd) -> None:
    done = inside("train", "method=vae", "--cfg", "job", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    shown = yaml.safe_load(done.stdout)
    assert "loss" not in shown and "schedule" not in shown and shown["method"]["name"] == "vae"


def test_a_run_is_named_after_its_method(inside, tmp_path) -> None:
    words = ("method=vae", *NARROW, "batch_size=4", "steps=1", "log.pictures=0", "probe=off")
    assert inside("train", *words, cwd=tmp_path).returncode == 0
    (config,) = tmp_path.glob("outputs/*/*/config.yaml")
    assert config.parent.name.endswith("-ring-mlp_vae-vae")


def test_members_of_a_population_equal_single_runs(run, inside, cwd) -> None:
    done = inside("train", "-m", *DIGITS, f"steps={STEPS}", "seed=0,1", "hydra.sweep.dir=sweep", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "") and "2 runs in 1 program" in done.stdout
    member, other = (arrays(cwd / "sweep" / f"{seed}-seed={seed}") for seed in (0, 1))
    alone = arrays(run)
    assert member.keys() == alone.keys() and len(alone) > 20
    kernels = 0
    for name, array in member.items():
        # Adam divides by the root of a mean square, which turns rounding errors into moves where gradients are small.
        np.testing.assert_allclose(np.asarray(array, float), np.asarray(alone[name], float), rtol=2e-3, atol=2e-4)
        if name.endswith("kernel"):
            kernels += 1
            assert not np.array_equal(array, other[name])
    assert kernels >= 8
    wanted, found = last(run), last(cwd / "sweep" / "0-seed=0")
    for tag in ("loss", "kl/latent", "elbo", "iwae"):
        assert found[tag] == pytest.approx(wanted[tag], rel=1e-3)
    compared = inside("compare", "sweep", "format=json", cwd=cwd)  # the bounds are compared without being named
    assert compared.returncode == 0, compared.stderr
    (group,) = json.loads(compared.stdout)["groups"]
    bounds = [last(cwd / "sweep" / f"{seed}-seed={seed}")["elbo"] for seed in (0, 1)]
    assert group["elbo mean"] == pytest.approx(np.mean(bounds)) and group["elbo best"] == max(bounds)


def test_samples_are_drawn_interpolated_and_reconstructed(run, inside, cwd) -> None:
    for words in (
        ("n=9", "out=grid.png"),
        ("mode=interpolate", "n=2", "steps=4", "out=ways.png"),
        ("mode=walk", "n=3", "steps=2", "out=walk.gif"),
        ("mode=random", "n=20", "out=samples.npz"),
    ):
        done = inside("sample", "run=digits", *words, cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
    samples = contents(cwd / "samples.npz")["samples"]
    assert samples.shape == (20, 8, 8, 1) and np.abs(samples).max() < 1.0
    with Image.open(cwd / "ways.png") as picture:
        assert picture.width > picture.height  # four steps of two ways
    np.savez(cwd / "mine.npz", samples)
    for words in (("out=pairs.png",), ("out=pairs.npz",)):
        done = inside("sample", "run=digits", "reconstruct=mine.npz", "range=[-1,1]", *words, cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
    pairs = contents(cwd / "pairs.npz")
    assert pairs["latents"].shape == (20, 2) and pairs["reconstructions"].shape == samples.shape
    refused = inside("sample", "run=digits", "label=1", cwd=cwd)
    assert refused.returncode == 2 and "this one has no classes" in refused.stderr


def test_the_divergence_of_a_run_from_its_density_is_computed_from_samples(ring, inside, cwd) -> None:
    done = inside("jsd", "ring", "./ring", "estimator=exact", "format=json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["estimate"] == pytest.approx(last(ring)["jsd/exact"], abs=0.03)


def test_a_search_maximises_the_bound(inside, cwd) -> None:
    pytest.importorskip("optuna")
    words = (
        "hydra/sweeper=optuna",
        "hydra.sweeper.metric=elbo",
        "hydra.sweeper.trials=2",
        "hydra.sweeper.batch=2",
        "hydra.sweep.dir=found",
        "optimizer.generator.learning_rate=tag(log,interval(1e-4,1e-2))",
    )
    done = inside("train", "-m", *DIGITS, f"steps={STEPS}", *words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    bounds = [last(path.parent)["elbo"] for path in (cwd / "found").glob("*/metrics.jsonl")]
    assert len(bounds) == 2 and f"best of 2 trials: elbo {max(bounds):.4g}" in done.stdout


def test_the_latents_of_held_out_examples_are_those_of_the_encoder_with_their_labels(run, inside, cwd):
    done = inside("sample", "run=digits", "mode=latents", "n=100000", "out=z.npz", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(cwd / "z.npz", allow_pickle=False) as file:
        latents, labels = file["latents"], file["labels"]
    images = Digits().load(Path("unused"), labels=True)
    assert latents.shape == (len(images.held_out), 2) and f"latents of {len(latents)} held-out examples" in done.stdout
    np.testing.assert_array_equal(np.bincount(labels), np.bincount(images.held_out_labels))
    experiment, state = load_run(run, load_config(run))
    encoded = experiment.encode(experiment.variables(state), to_unit_range(images.held_out).reshape(-1, 8, 8, 1))
    both = [np.column_stack([*z.T, y]) for z, y in ((latents, labels), (np.asarray(encoded), images.held_out_labels))]
    rows = [rows[np.lexsort(rows.T)] for rows in both]  # they come in another order
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)
    done = inside("sample", "run=digits", "mode=latents", "n=50", "out=z.png", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(cwd / "z.png") as picture:
        assert picture.size == (560, 500) and len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_a_plane_of_latents_is_decoded_in_rows_from_the_top(run, inside, cwd):
    done = inside("sample", "run=digits", "mode=plane", "n=4", "out=p.npz", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("4 x 4 samples of digits")
    with np.load(cwd / "p.npz", allow_pickle=False) as file:
        samples, latents = file["samples"], file["latents"]
    assert samples.shape == (4, 4, 8, 8, 1) and latents.shape == (4, 4, 2)
    experiment, state = load_run(run, load_config(run))
    wanted = experiment.decode(experiment.variables(state), latents[1, 2][None])[0]
    np.testing.assert_allclose(samples[1, 2], wanted, atol=1e-5)
    assert inside("sample", "run=digits", "mode=plane", "n=4", "out=p.png", cwd=cwd).returncode == 0
    with Image.open(cwd / "p.png") as picture:  # 4 columns and rows of 8 x 8 in a margin of 2, enlarged
        assert picture.width == picture.height == 42 * (500 // 42)
