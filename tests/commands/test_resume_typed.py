"""However ``resume`` is typed, the run goes on or the command is refused: never does a new run begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganrun.commands import train
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.errors import ConfigError
from ganrun.storage.run_directory import save_config

CONFIG = "defaults:\n  - train\n  - _self_\n"


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A run's directory, with a config and nothing else, below the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "outputs" / "one"
    folder.mkdir(parents=True)
    save_config(check(compose("train", ["seed=7", "probe=off"])), folder)
    return folder


@pytest.fixture
def handed(monkeypatch) -> list:
    """What would be handed to Hydra to be run: pairs of a config's name and the overrides."""
    calls: list = []

    def hand_over(name, config_name, arguments, *_, **__):
        calls.append((config_name, arguments.overrides))
        return 0

    monkeypatch.setattr(train, "hand_over", hand_over)
    return calls


@pytest.mark.parametrize("plus", ["", "+", "++"])
@pytest.mark.parametrize("allowed", ["", "+", "++"])
def test_resume_continues_however_it_is_set(plus, allowed, run, handed):
    words = [f"{plus}resume=latest", "steps=1e5", "batch_size=64", f"{allowed}resume.allow=[batch_size]"]
    assert train.main(words) == 0
    ((name, overrides),) = handed
    assert name == "resumed"
    assert overrides == [f"resume='{run}'", f"hydra.run.dir='{run}'", "steps=1e5", "batch_size=64"]


@pytest.mark.parametrize("plus", ["+", "++"])
def test_a_run_that_is_not_there_is_reported_however_it_is_set(plus, run, handed):
    with pytest.raises(ConfigError, match="no run directory nowhere"):
        train.main([f"{plus}resume=nowhere"])
    with pytest.raises(ConfigError, match="leave out -m"):
        train.main(["-m", f"{plus}resume=latest", "steps=5,6"])
    assert handed == []


@pytest.mark.parametrize("words", [[], ["-m", "seed=0,1"]], ids=["one run", "a sweep"])
def test_resume_in_a_config_is_refused_with_what_to_type(words, run, handed):
    Path("mine").mkdir()
    Path("mine/again.yaml").write_text(f"{CONFIG}resume: latest\n")
    with pytest.raises(ConfigError) as told:
        train.main(["--config-dir", "mine", "-cn", "again", *words])
    assert str(told.value) == (
        "resume=latest is set in a config, where it has no effect: type resume=latest after train."
    )
    assert handed == []


def test_resume_in_a_preset_is_refused_too(run, handed):
    Path("mine/experiment").mkdir(parents=True)
    Path("mine/experiment/again.yaml").write_text("# @package _global_\nresume: outputs/one\n")
    with pytest.raises(ConfigError, match="type resume=outputs/one after train"):
        train.main(["--config-dir", "mine", "experiment=again"])
    assert handed == []


@pytest.mark.parametrize("word", ["hydra.run.dir=elsewhere", "++hydra.run.dir=elsewhere", "hydra.sweep.dir=elsewhere"])
def test_a_resumed_run_continues_where_it_lies(word, run, handed):
    with pytest.raises(ConfigError, match=r"continues in the folder of the run or sweep itself: leave out \+*hydra\."):
        train.main(["resume=latest", word])
    assert handed == [] and not Path("elsewhere").exists()


def test_a_resume_that_reaches_the_job_unchecked_is_refused_there(run, inside):
    # Hydra reads --config-path instead of ganrun's configs; what was checked before are ganrun's.
    Path("mine").mkdir()
    node = (run / "config.yaml").read_text().partition("\nseed:")[2].replace("resume: null", f"resume: {run}")
    Path("mine/train.yaml").write_text("seed:" + node.replace("steps: 16000", "steps: 1"))
    quiet = ("hydra/job_logging=none", "hydra/hydra_logging=none", "hydra.output_subdir=null", "hydra.run.dir=new")
    done = inside("train", "--config-path", str(Path("mine").resolve()), *quiet, cwd=Path.cwd())
    assert done.returncode == 2, done.stdout
    assert "is set in a config" in done.stderr and not Path("new").exists()


def test_a_run_does_not_continue_to_fewer_steps_than_it_has_done(run, handed):
    for name in ("20", "2300", "2300.tmp"):
        (run / "checkpoints" / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match="steps=2299: outputs/one has done 2300 steps already"):
        train.main(["resume=latest", "steps=2299"])
    assert handed == []
    assert train.main(["resume=latest", "steps=2300"]) == 0
