"""``ganrun train init_from=RUN``: which weights a run takes from another, and what it says of it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ganrun import datasets
from ganrun.methods.experiment import Experiment
from ganrun.storage.run_directory import load_config
from ganrun.storage.state_arrays import flatten

SHORT = ("steps=20", "log.every=20")


def weights(run: Path, step: int) -> dict[str, np.ndarray]:
    """The arrays of the networks in a checkpoint, by their path in the model."""
    arrays = load_file(run / "checkpoints" / str(step) / "state.safetensors")
    found = {name.removeprefix("model/"): array for name, array in arrays.items() if name.startswith("model/")}
    return {name: array for name, array in found.items() if not {"optimizer", "updates"} & set(name.split("/"))}


def report(run: Path) -> dict:
    return json.loads((run / "init_from.json").read_text())


@pytest.fixture(scope="module")
def source(inside, tiny, tmp_path_factory) -> Path:
    """A folder with a trained run, which is not changed."""
    cwd = tmp_path_factory.mktemp("source")
    done = inside("train", *tiny, "steps=40", "log.every=20", "hydra.run.dir=source", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd


@pytest.fixture(scope="module")
def started(inside, tiny, source) -> Callable[..., tuple[Path, str]]:
    """Train in the folder ``name`` from the weights of the source; return the run and what was printed."""

    def train(name: str, *words: str, taken: str = "source") -> tuple[Path, str]:
        run = f"hydra.run.dir={name}"
        done = inside("train", *tiny, *SHORT, f"init_from={taken}", *words, run, cwd=source)
        assert done.returncode == 0, done.stderr
        return source / name, done.stdout

    return train


def test_a_run_starts_from_all_weights_and_from_nothing_else(source, started):
    run, out = started("same", "seed=5", "checkpoint.keep=9")
    expected = weights(source / "source", 40)
    taken = weights(run, 0)
    assert taken.keys() == expected.keys() and len(taken) == 12  # two layers of three networks, with the average
    for name, array in taken.items():
        np.testing.assert_array_equal(array, expected[name])
    state = load_file(run / "checkpoints" / "0" / "state.safetensors")
    assert state["step"] == 0 and state["model/generator/updates"] == 0
    moments = [array for name, array in state.items() if "/optimizer/" in name and array.ndim]
    assert moments and not any(array.any() for array in moments)
    assert "initial weights: 12 arrays taken from source/checkpoints/40\n" in out
    assert any((weights(run, 20)[name] != expected[name]).any() for name in expected)  # it trains
    # What was taken is recorded with the checksum of the source.
    checkpoint, found = source / "source" / "checkpoints" / "40", report(run)
    assert found["checkpoint"] == str(checkpoint) == load_config(run).init_from
    assert found["sha256"] == hashlib.sha256((checkpoint / "state.safetensors").read_bytes()).hexdigest()
    assert sorted(found["taken"]) == sorted(expected) and found["left"] == {} and found["unused"] == []
    assert (run / "train.log").read_text().count(": taken\n") == 12


def test_arrays_of_other_shapes_keep_their_own_initial_values(source, started):
    run, out = started("wider", "architecture.discriminator_hidden=[9]", "seed=3", "checkpoint.keep=9")
    config = load_config(run)
    shape = datasets.Data(train=None, held_out=None, shape=config.dataset.shape, density=None)
    own = flatten(Experiment(config, shape).init().model)
    mixed, given = weights(run, 0), weights(source / "source", 40)
    left = [f"discriminator/params/{name}" for name in ("Dense_0/bias", "Dense_0/kernel", "Dense_1/kernel")]
    assert sorted(report(run)["left"]) == left
    assert report(run)["left"][left[1]] == "shape (2, 9) in this run, (2, 8) in the source"
    assert (own[left[1]] != 0).any()
    for name, array in mixed.items():
        np.testing.assert_array_equal(array, own[name] if name in left else given[name])
    assert "9 arrays taken" in out and "3 keep their own initial values" in out
    assert "left, shape (9,) in this run, (8,) in the source" in (run / "train.log").read_text()


def test_a_deeper_network_takes_the_layers_that_are_there(source, started):
    checkpoint = source / "source" / "checkpoints" / "40"
    run, _ = started("deeper", "architecture.generator_hidden=[8,8]", taken=str(checkpoint))
    found = report(run)
    assert load_config(run).init_from == str(checkpoint)
    assert "generator/params/Dense_0/kernel" in found["taken"]
    assert found["left"]["generator/params/Dense_2/kernel"] == "the source has no such array"
    assert found["left"]["generator/params/Dense_1/kernel"].startswith("shape (8, 8) in this run, (8, 2)")
    assert found["unused"] == []


def test_latest_is_the_newest_run_before_this_one(inside, tiny, tmp_path):
    done = inside("train", *tiny, *SHORT, "hydra.run.dir=outputs/a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = inside("train", *tiny, *SHORT, "init_from=latest", "hydra.run.dir=outputs/b", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert load_config(tmp_path / "outputs" / "b").init_from == str(tmp_path / "outputs/a/checkpoints/20")
    # Resumed, it does not take the weights of what is the newest run by now.
    done = inside("train", "resume=outputs/b", "steps=40", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert load_config(tmp_path / "outputs" / "b").init_from == str(tmp_path / "outputs/a/checkpoints/20")


def test_a_resumed_run_does_not_need_the_source(inside, tiny, started, source, tmp_path):
    folder = Path(shutil.copytree(source / "source", tmp_path / "gone"))
    words = (*tiny, "init_from=gone", "log.every=20", "checkpoint.keep=9")
    done = inside("train", *words, "steps=20", "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = inside("train", *words, "steps=40", "hydra.run.dir=whole", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder)
    # As if it had been killed right after it was started: all that is left is the checkpoint of step 0.
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "20")
    done = inside("train", "resume=run", "steps=40", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "initial weights" not in done.stdout
    resumed, whole = weights(tmp_path / "run", 40), weights(tmp_path / "whole", 40)
    for name, array in resumed.items():
        np.testing.assert_array_equal(array, whole[name])


def test_the_members_of_a_population_start_from_the_same_weights(inside, tiny, source):
    words = ("-m", "seed=0,1", "checkpoint.keep=9", "hydra.sweep.dir=sweep", "init_from=source")
    done = inside("train", *tiny, *SHORT, *words, cwd=source)
    assert done.returncode == 0, done.stderr
    runs = sorted(path.parent for path in (source / "sweep").glob("*/init_from.json"))
    assert len(runs) == 2 and "2 runs in 1 program" in done.stdout
    expected = weights(source / "source", 40)
    for run in runs:
        assert len(report(run)["taken"]) == 12
        for name, array in weights(run, 0).items():
            np.testing.assert_array_equal(array, expected[name])
    last = [weights(run, 20)["generator/params/Dense_0/kernel"] for run in runs]
    assert (last[0] != last[1]).any()


def test_a_run_of_which_nothing_fits_is_refused_and_leaves_nothing(inside, source, listing):
    words = ("method=vae", "architecture.encoder_hidden=[3]", "architecture.decoder_hidden=[3]", "probe=off", *SHORT)
    before = listing(source)
    done = inside("train", *words, "init_from=source", "hydra.run.dir=new", cwd=source)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "init_from: no array of source/checkpoints/40 has the path and the shape of one of this run" in done.stderr
    assert listing(source) == before


REFUSED = {
    "init_from=sorce": "init_from: there is no run directory sorce. Did you mean 'source'?",
    "init_from=source/checkpoints/41": "init_from: there is no checkpoint source/checkpoints/41",
    "init_from=source/checkpoints": "init_from: source/checkpoints is not a run directory",
    "init_from=empty": "init_from: empty has no checkpoint yet",
    "init_from=5": "init_from: there is no run directory 5",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_no_source_is_refused_in_one_line(words, inside, tiny, source):
    (source / "empty").mkdir(exist_ok=True)
    shutil.copy(source / "source" / "config.yaml", source / "empty")
    done = inside("train", *tiny, *SHORT, words, "hydra.run.dir=new", cwd=source)
    assert done.returncode == 2 and REFUSED[words] in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not (source / "new").exists()


def test_a_damaged_source_is_refused(inside, tiny, source, tmp_path):
    run = Path(shutil.copytree(source / "source", tmp_path / "damaged"))
    path = run / "checkpoints" / "40" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    done = inside("train", *tiny, *SHORT, "init_from=damaged", "hydra.run.dir=new", cwd=tmp_path)
    assert done.returncode == 1 and "cannot be read" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "new").exists()
