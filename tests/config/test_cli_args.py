"""A command line that is typed as for other programs is answered with how it is typed here."""

from __future__ import annotations

import pytest

from ganrun.config.cli_args import CliArguments
from ganrun.errors import ConfigError


def refusal(*words: str) -> str:
    with pytest.raises(ConfigError) as told:
        CliArguments(list(words))
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize(
    ("words", "right"),
    [
        (("--steps", "20"), "steps=20"),
        (("--steps=20",), "steps=20"),
        (("loss=hinge", "--batch-size", "32", "seed=1"), "batch_size=32"),
        (("--batch-size=32",), "batch_size=32"),
        (("--schedule.k", "2"), "schedule.k=2"),
        (("-n", "64"), "n=64"),
        (("--out", "my grid.png"), "'out=my grid.png'"),
        (("--out=my-grid.png",), "out=my-grid.png"),
        (("--seed", "-1"), "seed=-1"),
        (("--conditional", "dataset=digits"), "conditional=VALUE"),
        (("--conditional", "--steps", "3"), "conditional=VALUE"),
        (("--run=latest",), "run=latest"),  # --run is an option of Hydra's, which takes no value
    ],
)
def test_a_setting_typed_as_an_option_is_answered_with_the_setting(words, right):
    assert f" Settings have no dashes: write {right}. `--help` shows what is understood." in refusal(*words)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("/runs/one/config.yaml", "--config-dir /runs/one --config-name config"),
        ("/runs/one/config", "--config-dir /runs/one --config-name config"),
        ("./mine.yaml", "--config-dir . --config-name mine"),
        ("../my runs/a.yaml", "--config-dir '../my runs' --config-name a"),
        ("~/mine.yaml", "--config-dir /home/me --config-name mine"),
        ("there/mine.yaml", "--config-dir there --config-name mine"),
    ],
)
def test_the_path_of_a_config_is_answered_with_the_options_that_take_it(name, right, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.yaml").write_text("")
    assert refusal("-cn", name).endswith(f": write {right}.")


def test_the_name_of_a_config_in_a_folder_of_conf_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CliArguments(["-cn", "experiment/ring"]).options.config_name == "experiment/ring"
    assert CliArguments(["-cn", "train.yaml"]).options.config_name == "train.yaml"


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_a_value_is_found_however_it_is_set(plus):
    arguments = CliArguments([f"{plus}resume='a b'", "seed=1"])
    assert arguments.value("resume") == "a b" and arguments.value("steps") is None
    assert CliArguments([f"{plus}resume=null"]).value("resume") is None
