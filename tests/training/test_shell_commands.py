"""The commands that ganrun prints are read by a shell as they are meant."""

import shlex
from pathlib import Path

import pytest

from ganrun.config import user_plugins
from ganrun.config.settings import Log
from ganrun.evaluation.evaluator import pictures_in
from ganrun.training.shell_commands import command, resume_command, tensorboard_command


@pytest.mark.parametrize("name", ["plain", "3-seed=1,learning_rate=0.001", "two words", "it's", "$HOME;`x`", "-x"])
def test_a_path_arrives_as_it_is(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shlex.split(resume_command(tmp_path / name)) == ["ganrun", "train", f"resume={name}"]
    assert shlex.split(tensorboard_command(tmp_path / name, 2)) == ["tensorboard", "--logdir", name]


def test_a_shell_leaves_the_names_of_runs_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resume_command(tmp_path / "3-seed=1,k=2") == "ganrun train resume=3-seed=1,k=2"


def test_tensorboard_keeps_more_pictures_than_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tensorboard_command(tmp_path / "a", 10) == "tensorboard --logdir a"
    assert tensorboard_command(tmp_path / "a", 11) == "tensorboard --logdir a --samples_per_plugin images=0"


@pytest.mark.parametrize(
    ("steps", "every", "pictures", "made"),
    [
        (1000, 50, 10, 11),  # 0, 100, ..., 1000
        (1000, 50, 9, 11),  # every 111 is every 100
        (1000, 50, 0, 0),
        (1000, 50, 4, 5),  # 0, 250, ..., 1000
        (1000, 50, 3, 4),  # 0, 350, 700 and the last step
        (10, 50, 10, 2),  # the first and the last
    ],
)
def test_the_pictures_of_a_run_are_counted(steps, every, pictures, made, tiny_config):
    import dataclasses

    config = dataclasses.replace(tiny_config, steps=steps, log=Log(every=every, pictures=pictures))
    assert pictures_in(config) == made


def test_and_those_of_a_run_that_went_on_for_longer_are_too(tiny_config, tmp_path):
    import dataclasses

    (tmp_path / "samples").mkdir()
    for step in (0, 100, 200):  # it was to end at 200 first; 200 is among those it makes now
        (tmp_path / "samples" / f"{step:08d}.png").touch()
    (tmp_path / "samples" / "00000100_densities.png").touch()
    config = dataclasses.replace(tiny_config, steps=800, log=Log(every=50, pictures=4))
    assert pictures_in(config, tmp_path) == 6  # 0, 100, 200, 400, 600, 800


def test_printed_commands_name_the_plugins_of_the_command_line(monkeypatch):
    monkeypatch.setattr(user_plugins, "_chosen", ("mine", "company.gans"))
    assert command("sample", "run=latest") == "ganrun sample run=latest 'plugins=[mine,company.gans]'"
    assert resume_command(Path("x")) == "ganrun train resume=x 'plugins=[mine,company.gans]'"
