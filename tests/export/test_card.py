"""The model card and config.json: what model hubs and programs read of an export."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from saved_runs import with_small_networks

from ganrun import datasets
from ganrun.datasets.array import ArrayFile
from ganrun.export.describe import Facts, config_json
from ganrun.export.model_card import model_card
from ganrun.export.programs import programs_of
from ganrun.methods.experiment import Experiment

FILES = {"model.stablehlo": b"\x01", "model.safetensors": b"\x02", "samples.png": b"\x03"}
ROWS = [("jsd/exact", "0.25 nats", "Jensen-Shannon divergence | of both")]


@pytest.fixture(scope="module")
def facts(compose_config):
    def of(*words: str, **changes) -> Facts:
        config = dataclasses.replace(with_small_networks(compose_config(words)), **changes)
        data = datasets.Data(train=None, held_out=None, shape=config.dataset.shape, density=None)
        experiment = Experiment(config, data)
        return Facts(
            config=config,
            method=experiment.method,
            name='a "run"',
            step=40,
            average=True,
            has_average=True,
            sigma_rel=None,
            programs=programs_of(experiment, config, {}),
            batch=None,
            platforms=("cpu", "tpu"),
            arrays={"generator/params/kernel": np.zeros((3, 4), np.float32)},
            difference=2.5e-7,
            versions={"jax": "1.2.3"},
        )

    return of


def front_matter(card: str) -> dict:
    _, text, _ = card.split("---\n", 2)
    return yaml.safe_load(text)


def test_the_front_matter_is_what_hubs_expect(facts):
    card = model_card(facts("dataset=digits"), "completed", ROWS, FILES)
    assert card.startswith("---\n")
    assert front_matter(card) == {
        "library_name": "jax",
        "tags": ["ganrun", "generative-adversarial-network", "digits"],
        "pipeline_tag": "unconditional-image-generation",
        "license": "unknown",
    }


def test_points_and_classes_are_no_unconditional_images(facts):
    assert "pipeline_tag" not in front_matter(model_card(facts("dataset=ring"), "completed", [], FILES))
    conditional = front_matter(model_card(facts("dataset=digits", conditional=True), "completed", [], FILES))
    assert "pipeline_tag" not in conditional and "class-conditional" in conditional["tags"]


def test_the_card_gives_the_numbers_of_the_run_with_their_meaning(facts):
    card = model_card(facts("dataset=ring", seed=77), "stopped", ROWS, FILES)
    assert "The run is stopped." in card and "| `seed` | `77` |" in card
    assert "| `jsd/exact` | 0.25 nats | Jensen-Shannon divergence \\| of both |" in card
    assert "at most 2.5e-07" in card
    without = model_card(facts("dataset=ring"), "running", [], FILES)
    assert "The run has no metrics." in without and "jsd" not in without


def test_the_card_says_which_weights_the_numbers_belong_to(facts):
    trained = dataclasses.replace(facts("dataset=ring"), average=False)
    assert "which is not exported here" in model_card(trained, "completed", ROWS, FILES)
    assert "average=False" in model_card(trained, "completed", ROWS, FILES)
    assert "which is not exported here" not in model_card(facts("dataset=ring"), "completed", ROWS, FILES)


def test_the_card_names_the_width_of_a_rebuilt_average(facts):
    rebuilt = dataclasses.replace(facts("dataset=ring"), average=True, sigma_rel=0.05)
    card = model_card(rebuilt, "completed", ROWS, FILES)
    assert "power-function average of the relative width 0.05" in card
    assert "samples = run.sample(16, seed=0, sigma_rel=0.05)" in card
    assert "which is not exported here" in card  # the metrics are those of the exponential average
    assert "sigma_rel" not in model_card(facts("dataset=ring"), "completed", ROWS, FILES)


def test_the_code_of_the_card_is_python(facts):
    for words in (["dataset=ring"], ["dataset=digits", "latent.prior=uniform"], ["method=vae", "dataset=ring"]):
        card = model_card(facts(*words), "completed", ROWS, {**FILES, "sample.stablehlo": b""})
        blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        assert len(blocks) == (3 if "method=vae" in words else 2)
        for block in blocks:
            compile(block, "README.md", "exec")
        assert ("minval=-1.0" in blocks[0]) == ("latent.prior=uniform" in words)


def test_the_code_for_onnx_gives_the_program_what_it_takes(facts, monkeypatch):
    given = {}

    class Session:
        def __init__(self, path):
            assert path == "model.onnx"

        def run(self, names, inputs):
            given.update(inputs)
            return ("samples",)

    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=Session))
    words = ("dataset=digits", "latent.prior=uniform")
    card = model_card(facts(*words, conditional=True), "completed", ROWS, {"model.onnx": b""})
    found: dict = {}
    exec(re.findall(r"```python\n(.*?)```", card, re.DOTALL)[0], found)
    assert found["samples"] == "samples" and given.keys() == {"latents", "labels"}
    assert given["latents"].shape == (16, 64) and given["latents"].dtype == np.float32
    assert np.abs(given["latents"]).max() <= 1 and given["labels"].dtype == np.int32


def test_the_config_lists_every_other_file_with_its_checksum(facts):
    content = json.loads(config_json(facts("dataset=ring"), FILES))
    assert content["files"]["model.safetensors"] == {
        "meaning": "the weights",
        "bytes": 1,
        "sha256": hashlib.sha256(b"\x02").hexdigest(),
    }
    assert content["files"].keys() == FILES.keys()
    assert content["run"] == {"name": 'a "run"', "step": 40, "steps": 16000, "weights": "moving average"}
    assert content["parameters"] == 12 and content["versions"] == {"jax": "1.2.3"} and content["classes"] == 0
    assert content["programs"]["model.stablehlo"]["platforms"] == ["cpu", "tpu"]


def test_the_config_is_that_of_the_run_without_paths_of_its_machine(facts):
    own = facts("dataset=ring", data_dir="/home/someone/data", init_from="/home/someone/r/checkpoints/4", seed=5)
    data = ArrayFile(path="/home/someone/points.npy", shape=(2,), mean=(1.0, 2.0), std=(1.0, 1.0))
    own = dataclasses.replace(own, config=dataclasses.replace(own.config, dataset=data))
    content = config_json(own, FILES)
    config = json.loads(content)["config"]
    assert config["seed"] == 5 and config["loss"]["name"] == "nonsaturating" and "data_dir" not in config
    assert config["dataset"]["path"] == "points.npy" and config["dataset"]["mean"] == [1.0, 2.0]
    card = model_card(own, "completed", ROWS, FILES)
    assert b"someone" not in content and "someone" not in card


def test_images_have_a_range_and_points_have_units(facts):
    images = json.loads(config_json(facts("dataset=digits"), FILES))["samples"]
    assert images["shape"] == [8, 8, 1] and images["range"] == [-1.0, 1.0]
    points = json.loads(config_json(facts("dataset=ring"), FILES))["samples"]
    assert points["shape"] == [2] and points["units"] == "units of the data" and "range" not in points
