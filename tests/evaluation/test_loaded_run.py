"""A run opened from Python: what it says is what the commands say."""

import json
import shutil
import sys

import numpy as np
import pytest
import yaml

import ganrun
from ganrun.commands import sample
from ganrun.config import registry, user_plugins
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


LOSS = """
from dataclasses import dataclass
from ganrun.config.registry import register
from ganrun.methods.gan.losses import Hinge

@register("loss", "{package}")
@dataclass(frozen=True)
class Mine(Hinge):
    name: str = "{package}"
"""


@pytest.fixture
def its_run(folder, tmp_path, monkeypatch):
    """A run with a loss of ``python_plugin``, a package that can be imported and is not."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(registry._options, "loss", dict(registry._options["loss"]))
    (tmp_path / "python_plugin").mkdir()
    (tmp_path / "python_plugin" / "__init__.py").write_text(LOSS.format(package="python_plugin"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config |= {"loss": {"name": "python_plugin"}, "plugins": ["python_plugin"]}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    shutil.copy(folder / "metrics.jsonl", tmp_path / "run")
    yield str(tmp_path / "run")
    user_plugins.use(())
    sys.modules.pop("python_plugin", None)


def test_a_run_of_a_package_is_opened_with_its_name_and_not_without(its_run):
    with pytest.raises(ConfigError, match="the package 'python_plugin', which is not a plugin of ganrun here"):
        ganrun.load_run(its_run)
    assert "python_plugin" not in sys.modules
    run = ganrun.load_run(its_run, plugins=["python_plugin"])
    assert run.config["loss"] == {"name": "python_plugin"} and run.metrics["D(x)"].steps.tolist() == [10, 20, 30, 40]
    assert ganrun.load_run(its_run).config == run.config  # it stays a plugin


@pytest.mark.parametrize(
    ("plugins", "line"),
    [
        ("python_plugin", "plugins must be a list of names of packages, such as ['my_package'], not 'python_plugin'."),
        ([3], "plugins must be a list of names of packages, such as ['my_package'], not [3]."),
        (["../x"], "plugins must be a list of names of packages, such as ['my_package'], not ['../x']."),
        (["not_there_at_all"], "plugins: there is no package 'not_there_at_all' to import."),
        (["json"], "plugins: the package 'json' is no plugin: it registers no option and has no folder conf/."),
        (["ganrun"], "plugins: 'ganrun' is a part of ganrun, whose options need no plugin: leave it out."),
    ],
)
def test_what_is_no_plugin_is_refused_in_a_line_and_forgotten(plugins, line, folder, its_run):
    with pytest.raises(ConfigError) as told:
        ganrun.load_run(str(folder), plugins=plugins)
    assert str(told.value) == line
    assert user_plugins.chosen() == () and ganrun.load_run(str(folder)).config["seed"] == 0
