"""Training on a user's own files: sizes, classes, units, resuming, and what is refused in one line."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import yaml
from narrow import NARROW
from PIL import Image
from scipy import stats

from ganrun import datasets, load_run
from ganrun.datasets import array
from ganrun.datasets.images import files
from ganrun.storage.run_directory import load_config

SHORT = ("steps=4", "log.every=2", "log.pictures=1", "probe=off", "batch_size=8", "latent.dim=4", "checkpoint.steps=2")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with images of two classes, an archive of them, and a table."""
    monkeypatch.setenv("GANRUN_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for number in range(30):
            path = tmp_path / "images" / "ab"[number % 2] / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).save(path)
            archive.write(path, path.relative_to(tmp_path / "images"))
    rows = rng.normal(size=(60, 3)) * [10.0, 0.1, 1.0] + [500.0, -3.0, 0.0]
    lines = "\n".join(",".join(map(str, row)) for row in rows.tolist())
    (tmp_path / "t.csv").write_text(f"x,y,z\n{lines}\n")
    return tmp_path


def run(inside, place, *words):
    files._known.clear()  # a command is a process of its own
    array._known.clear()
    return inside(*words, cwd=place, env={"GANRUN_CACHE": str(place / "cache")})


def trained(inside, place, *words):
    done = run(inside, place, "train", *SHORT, "hydra.run.dir=out", *words)
    assert done.returncode == 0, done.stderr
    return done, yaml.safe_load((place / "out" / "config.yaml").read_text())


def test_a_folder_trains_and_a_resumed_run_needs_the_same_images(inside, place):
    words = ("dataset=folder", "data_dir=images", "dataset.side=8", "dataset.labels=folder", "conditional=true")
    done, config = trained(inside, place, *words, "dataset.flip=true", "architecture=dcgan", *NARROW["dcgan"])
    assert done.stderr.count("folder: 30 images of 8x8x3 (") == 1 and "; 2 classes" in done.stderr
    assert config["dataset"]["shape"] == [8, 8, 3] and config["dataset"]["classes"] == 2
    assert json.loads((place / "out" / "summary.json").read_text())["status"] == "completed"
    (place / "images").rename(place / "moved")
    done = run(inside, place, "train", "resume=out", "steps=6", "data_dir=moved")
    assert done.returncode == 0, done.stderr
    Image.new("RGB", (9, 9)).save(place / "moved" / "a" / "00.png")
    done = run(inside, place, "train", "resume=out", "steps=8")
    assert done.returncode == 2 and "are not those of the run (dataset.content=" in done.stderr
    assert done.stderr.count("ganrun: ") == 1 == done.stderr.splitlines()[-1].count("ganrun: ")
    done = run(inside, place, "sample", "run=out", "n=4", "out=grid.png")
    assert done.returncode == 0, done.stderr  # a run is sampled without its data


def test_an_archive_trains_at_a_size_that_is_not_square(inside, place):
    _, config = trained(inside, place, "dataset=zip", "data_dir=x.zip", *NARROW["mlp"])
    assert config["dataset"]["shape"] == [9, 12, 3]


def test_a_size_that_does_not_fit_the_networks_is_told_in_one_line(inside, place):
    words = ("dataset=zip", "dataset.path=x.zip", "architecture=dcgan")
    done = run(inside, place, "train", *SHORT, *words)
    assert done.returncode == 2 and done.stderr.splitlines()[-1] == (
        "ganrun: architecture=dcgan takes images whose shorter side is 4, 5, 6 or 7 times a power of two (8, 10, 12, "
        "14, 16, ..., 28, 32, ...), of which the other side is a multiple; the data is 9 x 12 pixels with 3 channels."
    )
    done = run(inside, place, "train", *SHORT, *words, "conditional=true", "dataset.side=8")
    assert done.returncode == 2 and "conditional=true needs a dataset with classes" in done.stderr
    assert not (place / "cache" / "datasets").exists()  # nothing was decoded


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("dataset=folder", "data_dir=images", "architecture=dcgan"), "the data is 9 x 12 pixels with 3 channels."),
        (("dataset=zip", "dataset.path=x.zip", "dataset.side=8", "stop.when=jsd/exakt"), "stop.when: "),
        (("dataset=folder", "data_dir=images", "dataset.side=8", "probe=streaming"), "probe=streaming needs"),
    ],
)
def test_what_does_not_fit_the_data_is_told_before_they_are_decoded(words, told, inside, place):
    done = run(inside, place, "train", "steps=50", *words)
    assert done.returncode == 2 and told in done.stderr and "images of" not in done.stderr
    assert not (place / "cache" / "datasets").exists()


def test_a_shape_of_an_array_is_refused_before_its_examples_are_divided(inside, place, monkeypatch):
    np.save(place / "x.npy", np.zeros((30, 9, 12), np.uint8))
    divided = []
    for large in (False, True):
        monkeypatch.setattr(array, "MAPPED_BYTES", 0 if large else 1 << 40)
        monkeypatch.setattr(array, "divided" if large else "_divided", lambda *parts: divided.append(parts))
        words = ("dataset=array", "dataset.path=x.npy", "architecture=dcgan")
        done = run(inside, place, "train", *SHORT, *words)
        assert done.returncode == 2 and "the data is 9 x 12 pixels with 1 channel." in done.stderr
    assert divided == []


def test_samples_of_a_table_are_in_its_units(inside, place):
    trained(inside, place, "dataset=array", "dataset.path=t.csv", *NARROW["mlp"])
    done = run(inside, place, "sample", "run=out", "n=50", "out=samples.npy")
    assert done.returncode == 0, done.stderr
    samples = np.load(place / "samples.npy")
    # The mean of untrained samples is within a few standard deviations of that of the data.
    assert samples.shape == (50, 3)
    assert abs(samples[:, 0].mean() - 500) < 50 and abs(samples[:, 1].mean() + 3) < 0.5
    np.testing.assert_array_equal(load_run(place / "out").sample(50), samples)


def test_the_log_likelihood_of_a_table_is_in_its_units(inside, place):
    columns = ("dataset=array", "dataset.path=t.csv", "dataset.columns=[x,z]")
    words = (*columns, "method=flow", "architecture=spline", *NARROW["spline"])
    assert run(inside, place, "train", *SHORT[:-2], "hydra.run.dir=out", *words).returncode == 0
    option = load_config(place / "out").dataset
    held_out = np.asarray(datasets.load(option, place, seed=0).held_out.flat)
    model = load_run(place / "out").log_density(datasets.in_data_units(option, held_out))["log_likelihood"]
    logged = json.loads((place / "out" / "metrics.jsonl").read_text().splitlines()[-1])["log_likelihood"]
    assert logged == pytest.approx(model.mean(), abs=1e-3)
    normal = stats.norm(held_out.mean(0), 1).logpdf(held_out).sum(1).mean() - np.log(option.std).sum()
    assert logged == pytest.approx(normal, abs=1)  # the units are those of a density that is 10 times smaller: 2.3 nats


def test_doctor_says_what_is_decoded(inside, place):
    trained(inside, place, "dataset=folder", "data_dir=images", "dataset.side=4", *NARROW["mlp"])
    done = run(inside, place, "doctor")
    assert "decoded images of 1 datasets" in done.stdout and "at most 32.0 GiB are kept" in done.stdout
    classifiers = place / "cache" / "classifiers"
    (classifiers / "0123").mkdir(parents=True)
    (classifiers / "0123" / "weights.safetensors").write_bytes(bytes(2048))
    assert f"{classifiers}: 1 classifiers, 2 KiB" in run(inside, place, "doctor").stdout


def test_streaming_what_is_generated_has_no_effect_and_is_told(inside, place):
    told = "warning: feed=streamed has no effect: dataset=ring is generated, so nothing is streamed"
    done, _ = trained(inside, place, "dataset=ring", "latent.dim=2", "feed=streamed", *NARROW["mlp"])
    assert done.stdout.count(told) == 1
    assert told in (place / "out" / "train.log").read_text()
    words = ("dataset=folder", "data_dir=images", "dataset.side=4", "feed=streamed", "hydra.run.dir=images_run")
    done = run(inside, place, "train", *SHORT, *words, *NARROW["mlp"])
    assert done.returncode == 0 and "no effect" not in done.stdout


def test_members_of_a_sweep_share_the_images(inside, place):
    words = ("dataset=folder", "data_dir=images", "dataset.side=4", "seed=0,1", "hydra.sweep.dir=sweep")
    done = run(inside, place, "train", "-m", *SHORT, *words, *NARROW["mlp"])
    assert done.returncode == 0, done.stderr
    assert "2 runs in 1 program" in done.stdout and "content" not in done.stdout
    assert len(list((place / "cache" / "datasets").iterdir())) == 1
