"""A run opened from Python: what it says is what the commands say."""

import json

import numpy as np
import pytest
import yaml

import ganrun
from ganrun.commands import sample
from ganrun.errors import ConfigError, GanrunError
from ganrun.training.train import train


@pytest.fixture(scope="module")
def folder(compose_config, tmp_path_factory):
    networks = ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]")
    words = (*networks, "batch_size=16", "probe=off", "evaluate.share=1")
    folder = tmp_path_factory.mktemp("loaded") / "run"
    config = compose_config((*words, "dataset=gaussian", "latent.dim=1", "steps=40", "log.every=10", "log.pictures=1"))
    assert train(config, folder) == 0
    return folder


def test_settings_and_metrics_are_those_of_its_files(folder):
    run = ganrun.load_run(str(folder))
    written = yaml.safe_load((folder / "config.yaml").read_text())
    assert {key: value for key, value in written.items() if key != "defaults"} == run.config
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert run.metrics.keys() == {tag for row in rows for tag in row} - {"step"}
    series = run.metrics["D(x)"]
    assert series.steps.tolist() == [10, 20, 30, 40]
    assert series.values.tolist() == [row["D(x)"] for row in rows if "D(x)" in row]
    assert run.metrics["jsd/exact"].steps.tolist() == [0, 40] and run.step == 40


def test_samples_are_those_of_the_command(folder, tmp_path):
    run = ganrun.load_run(str(folder))
    assert sample.main([f"run={folder}", "n=700", "seed=3", f"out={tmp_path / 'drawn.npy'}"]) == 0
    drawn = run.sample(700, seed=3)
    np.testing.assert_array_equal(drawn, np.load(tmp_path / "drawn.npy"))
    assert drawn.shape == (700, 1) and drawn.dtype == np.float32
    np.testing.assert_array_equal(run.sample(5, seed=3), drawn[:5])
    assert (run.sample(5, seed=4) != drawn[:5]).all() and (run.sample(5, seed=3, average=False) != drawn[:5]).all()


def test_what_a_run_does_not_have_is_refused_in_a_line(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"^method=gan has no density that can be computed\.$"):
        ganrun.load_run(str(folder)).log_density(np.zeros((2, 1)))
    with pytest.raises(ConfigError, match="there is no run directory"):
        ganrun.load_run(str(tmp_path / "none"))
    with pytest.raises(GanrunError, match="keeps no best checkpoint"):
        ganrun.load_run(str(folder), "best").sample(1)


def test_wrong_arguments_are_refused_in_a_line(folder):
    run = ganrun.load_run(str(folder))
    assert repr(run) == f"LoadedRun('{folder}', checkpoint='latest')"
    with pytest.raises(KeyError, match=r"has not logged 'jsd/exat'\. Did you mean 'jsd/exact'"):
        run.metrics["jsd/exat"]
    for n, seed, line in (
        (0, 0, "n must be"),
        (2.5, 0, "n must be"),
        (1, -1, "seed must be"),
        (1, "a", "seed must be"),
    ):
        with pytest.raises(ConfigError, match=f"^{line} a whole number from "):
            run.sample(n, seed)
    for checkpoint in ("newest", None, "-1"):
        with pytest.raises(ConfigError, match=r"^checkpoint must be latest, best or a step, not "):
            ganrun.load_run(str(folder), checkpoint)
