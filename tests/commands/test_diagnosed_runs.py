"""Runs built to fail in each way are diagnosed, in the terminal, the summary and TensorBoard; a healthy one is not."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from ganrun.datasets.images import FashionMnist

pytestmark = pytest.mark.optimised

# Failures are found in snapshots, of which the default share of a short run's time would leave some out.
WHOLE = ("probe=off", "evaluate.share=1")
SMALL = (*WHOLE, "batch_size=64", "architecture.generator_hidden=[32]", "architecture.discriminator_hidden=[32]")
STILL = ("optimizer.generator.decay=constant", "optimizer.discriminator.decay=constant")
# D is quick, has many turns, and the data are far away: every sample is found out.
HOPELESS = (*SMALL, "steps=1200", "dataset.radius=10", "log.pictures=1", "schedule.k=10")
HOPELESS += ("optimizer.generator.learning_rate=1e-5", "optimizer.discriminator.learning_rate=1e-2")
CIRCLES = ("dataset=dirac", "architecture=dirac", "loss=wasserstein", "optimizer=sgd", "steps=3000", *WHOLE)
CIRCLES += tuple(f"optimizer.{player}.learning_rate=0.005" for player in ("generator", "discriminator"))
FAILING = {
    "discriminator saturated": HOPELESS,
    "vanishing generator gradient": (*HOPELESS, "loss=minimax"),
    "samples off the data": (*SMALL, *STILL, "steps=600", "schedule.generator_steps=20", "log.pictures=4"),
    # G runs ahead of what D has seen, to two or three of eight wide modes.
    "mode collapse": (*SMALL, "steps=1200", "dataset.std=0.2", "optimizer.generator.learning_rate=0.01"),
    "oscillation": (*CIRCLES, *STILL, "log.pictures=1"),
}


@pytest.fixture(scope="module")
def diagnosed(inside, only_run, tmp_path_factory):
    """Train with some words; return the run and what was printed."""

    def run(name: str, *words: str) -> tuple[Path, str]:
        cwd = tmp_path_factory.mktemp(name.replace(" ", "_"))
        done = inside("train", *words, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return only_run(cwd), done.stdout

    return run


def warnings(run: Path) -> list[dict]:
    return json.loads((run / "summary.json").read_text()).get("warnings", [])


@pytest.mark.slow
@pytest.mark.parametrize("name", FAILING)
def test_a_run_built_to_fail_is_diagnosed(name, diagnosed) -> None:
    run, told = diagnosed(name, *FAILING[name])
    (found,) = (one for one in warnings(run) if one["name"] == name)
    line = f"step {found['step']}: {name}: {found['evidence']}. Try {' or '.join(found['try'])}."
    assert len(found["try"]) == 2 and f"warning: {line}" in told
    assert line in (run / "train.log").read_text()
    events = EventAccumulator(str(run), size_guidance={"tensors": 0}).Reload()
    texts = [event for event in events.Tensors("diagnosis") if event.step == found["step"]]
    assert line in tensor_util.make_ndarray(texts[0].tensor_proto)[0].decode()


@pytest.mark.slow
def test_a_healthy_run_has_no_warnings(diagnosed) -> None:
    run, told = diagnosed("healthy", *WHOLE, "steps=3000", "batch_size=256", "log.pictures=6")
    assert warnings(run) == [] and "warning:" not in told and "warnings: none" in told


def put(path: Path, images: np.ndarray) -> None:
    path.write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, *images.shape) + images.tobytes())


@pytest.mark.slow
def test_a_generator_of_eight_pictures_is_reported_as_memorisation(diagnosed, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(FashionMnist, "counts", {"train": 64, "held_out": 64})
    rng = np.random.default_rng(0)
    # Blocks of 7x7 pixels: pictures with some structure, eight of them over and over.
    blocks = rng.integers(0, 2, (72, 4, 4), dtype=np.uint8) * 255
    images = blocks.repeat(7, axis=1).repeat(7, axis=2)
    (tmp_path / "fashion_mnist").mkdir()
    put(tmp_path / "fashion_mnist/train-images-idx3-ubyte", np.tile(images[:8], (8, 1, 1)))
    put(tmp_path / "fashion_mnist/t10k-images-idx3-ubyte", images[8:])
    words = ("dataset=fashion_mnist", f"data_dir={tmp_path}", "architecture=mlp", "batch_size=16", "latent.dim=4")
    words += ("architecture.generator_hidden=[128,256]", "architecture.discriminator_hidden=[256,128]")
    run, _ = diagnosed("memory", *words, *WHOLE, "steps=1600", "log.pictures=6", "ema.decay=0.99")
    assert [one["name"] for one in warnings(run)] == ["memorisation"]
