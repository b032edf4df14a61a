"""What the command line says about itself."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys

import pytest
import yaml

import ganrun as package
from ganrun.cli import COMMANDS
from ganrun.commands.list import meaning
from ganrun.config.hydra_bridge import config_folder

HEAVY = ("jax", "jaxlib", "flax", "hydra", "omegaconf", "numpy", "tensorboard", "matplotlib", "rich", "orbax")
GROUPS = sorted(path.name for path in config_folder().iterdir() if path.is_dir())


def test_help_lists_every_command_with_its_meaning(inside, tmp_path):
    done = inside("--help", cwd=tmp_path)
    assert done.returncode == 0
    for name, told in COMMANDS.items():
        assert f"  {name:9} {told}" in done.stdout
    assert {"train", "sample", "list", "doctor"} <= set(COMMANDS)


@pytest.mark.parametrize("words", [[], ["-h"], ["help"]])
def test_no_command_and_other_spellings_show_the_help_too(words, inside, tmp_path):
    assert inside(*words, cwd=tmp_path).stdout == inside("--help", cwd=tmp_path).stdout


def test_help_and_version_import_neither_jax_nor_hydra_nor_anything_slow(tmp_path, environment):
    code = (
        "import sys\nfrom ganrun.cli import dispatch\n"
        "assert dispatch(['--help']) == 0 and dispatch(['--version']) == 0\n"
        "print('LOADED', *{name.partition('.')[0] for name in sys.modules})"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert loaded[0] == "LOADED" and "ganrun" in loaded
    assert not set(loaded) & set(HEAVY)


def test_version_is_the_packages(inside, tmp_path):
    done = inside("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"ganrun {package.__version__}\n")


def test_every_command_has_its_own_help(inside, tmp_path):
    for name in COMMANDS:
        done = inside(name, "--help", cwd=tmp_path)
        assert done.returncode == 0 and done.stderr == ""
        assert f"ganrun {name}" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_of_train_shows_the_groups_their_options_and_the_settings(inside, tmp_path):
    text = inside("train", "--help", cwd=tmp_path).stdout
    for group in GROUPS:
        options = ", ".join(sorted(path.stem for path in (config_folder() / group).glob("*.yaml")))
        assert f"{group}: {options}" in text
    for setting in ("seed: 0", "batch_size:", "latent:", "ema:", "resume: null", "learning_rate:"):
        assert setting in text
    assert "hydra/" not in text  # Hydra's own groups would drown ours


def test_cfg_job_shows_the_config_and_runs_nothing(inside, tmp_path):
    done = inside("train", "loss=minimax", "schedule.k=3", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert "name: minimax" in done.stdout and "k: 3" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_options_may_stand_between_settings(inside, tmp_path):
    done = inside("train", "loss=minimax", "--cfg", "job", "schedule.k=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "name: minimax" in done.stdout and "k: 3" in done.stdout


def test_info_shows_where_the_config_comes_from_and_runs_nothing(ganrun, tmp_path):
    done = ganrun("train", "--info", "searchpath", cwd=tmp_path)
    assert done.returncode == 0
    assert str(config_folder()) in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_every_option_of_every_group_has_a_meaning():
    for path in config_folder().glob("*/*.yaml"):
        assert len(meaning(path)) > 20, f"{path} does not begin with a comment that says what it is"


def test_list_shows_every_option_with_its_meaning(inside, tmp_path):
    done = inside("list", cwd=tmp_path)
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    for path in config_folder().glob("*/*.yaml"):
        assert f"{path.parent.name}={path.stem}" in text
        assert meaning(path).split()[0] in text
    assert "@package" not in text


@pytest.mark.parametrize("word", ["loss", "losses"])
def test_list_takes_a_group_in_singular_and_plural(word, inside, tmp_path):
    done = inside("list", word, cwd=tmp_path)
    assert done.returncode == 0
    assert "loss=minimax" in done.stdout and "dataset=" not in done.stdout


def test_list_of_an_unknown_group_names_the_closest(inside, tmp_path):
    done = inside("list", "datset", cwd=tmp_path)
    assert done.returncode == 2
    assert "Did you mean 'dataset'?" in done.stderr


@pytest.fixture(scope="module")
def doctor(inside, tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor")
    (folder / "data").mkdir()
    return folder, inside("doctor", "data_dir=data", cwd=folder)


def test_doctor_reports_each_part_and_finds_this_machine_fit(doctor, inside, tmp_path):
    done = inside("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    parts = [line.split()[1] for line in done.stdout.splitlines()]
    for part in ("Python", "JAX", "devices", "memory", "cache", "data", "TensorBoard"):
        assert part in parts
    assert all(line.startswith(("ok", "note")) for line in done.stdout.splitlines())
    assert list(tmp_path.iterdir()) == []


def test_doctor_checks_the_given_data_folder(doctor):
    folder, done = doctor
    assert done.returncode == 0
    (line,) = [line for line in done.stdout.splitlines() if " mnist:" in line]
    assert line.startswith("note") and str(folder / "data") in line


@pytest.mark.parametrize("word", ["foo=1", "data_dir=", "data_dir", "--fix"])
def test_doctor_refuses_an_argument_that_it_does_not_know(word, inside, tmp_path):
    done = inside("doctor", word, cwd=tmp_path)
    assert done.returncode == 2
    assert f"not '{word}'" in done.stderr and "data_dir=FOLDER" in done.stderr


TYPED = (
    "ganrun tr",
    "ganrun train lo",
    "ganrun train loss=",
    "ganrun sample ",
    "ganrun eval latest k",
    "ganrun doctor ",
)


@pytest.fixture(scope="module")
def completions(tmp_path_factory, environment) -> dict[str, list[str]]:
    """What a real bash offers after the line that the help tells users to put into their .bashrc."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash here")
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "ganrun"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ganrun "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    script = 'eval "$(ganrun train -sc install=bash)"\ncomplete -p ganrun >/dev/null || exit 3\n'
    for line in TYPED:
        words = " ".join(f"'{word}'" for word in [*line.split(), *([""] if line.endswith(" ") else [])])
        script += (
            f"COMP_LINE='{line}'; COMP_POINT={len(line)}; COMP_WORDS=({words})\n"
            "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
            'COMPREPLY=(); hydra_bash_completion 2>/dev/null; echo "= ${COMPREPLY[*]}"\n'
        )
    env = environment(PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")
    words = ["bash", "--norc", "--noprofile", "-c", script]
    (folder / "empty").mkdir()  # where nothing is completed, bash offers the files that are there
    done = subprocess.run(words, cwd=folder / "empty", env=env, capture_output=True, text=True, timeout=60, check=True)
    answers = [line[1:].split() for line in done.stdout.splitlines() if line.startswith("=")]
    return dict(zip(TYPED, answers, strict=True))


def test_bash_completes_the_command(completions):
    assert completions["ganrun tr"] == ["train"]


def test_bash_completes_a_group(completions):
    assert "loss=" in completions["ganrun train lo"] and "log." in completions["ganrun train lo"]


def test_bash_completes_the_options_of_a_group(completions):
    options = sorted(f"loss={path.stem}" for path in (config_folder() / "loss").glob("*.yaml"))
    assert sorted(completions["ganrun train loss="]) == options


def test_bash_completes_the_settings_of_sample(completions):
    assert {"run=", "n=", "seed=", "out=", "average="} <= set(completions["ganrun sample "])


def test_bash_completes_the_settings_of_eval_after_a_run(completions):
    assert set(completions["ganrun eval latest k"]) == {"k=", "key=", "key_b="}


def test_bash_offers_nothing_for_a_command_without_settings(completions):
    assert completions["ganrun doctor "] == []


@pytest.mark.parametrize("command", ["sample", "eval", "jsd", "compare", "report", "reproduce", "export"])
def test_help_gives_the_meaning_of_every_setting(command, inside, tmp_path):
    lines = inside(command, "--help", cwd=tmp_path).stdout.splitlines()
    node = yaml.safe_load((config_folder() / f"{command}.yaml").read_text())
    source = (config_folder() / f"{command}.yaml").read_text().splitlines()
    settings = [str(key) for key in node if key not in ("defaults", "hydra")]
    assert "n" in settings or command in ("compare", "report", "reproduce", "export")
    for key in settings:
        (line,) = [line for line in lines if line.startswith(f"{key}: ")]
        (written,) = [line for line in source if line.startswith(f"{key}: ")]
        assert line.split("  # ")[1] == written.split(" # ")[1] and len(line.split("  # ")[1]) > 8


def test_help_of_train_gives_the_meaning_of_the_settings_of_the_chosen_options(inside, tmp_path):
    lines = inside("train", "--help", "penalty=r1", "schedule.k=3", "dataset=grid", cwd=tmp_path).stdout.splitlines()
    shown = dict(line.split("  # ", 1) for line in lines if "  # " in line)
    meanings = {line.strip(): meaning for line, meaning in shown.items()}
    assert meanings["seed: 0"] == "seed of all randomness: initial weights, noise, data order"
    assert meanings["k: 3"] == "discriminator updates per step (Algorithm 1's k)"
    assert meanings["weight: 0.1"].startswith("γ: the mean squared gradient norm")
    assert "side: 5" in meanings and "modes: 8" not in meanings
    assert [line for line in lines if line.startswith("architecture: ")] == [
        f"architecture: {', '.join(sorted(path.stem for path in (config_folder() / 'architecture').glob('*.yaml')))}"
    ]


def test_what_is_wrong_in_help_is_an_error_without_help(inside, tmp_path):
    done = inside("sample", "--help", "nn=3", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "" and "'nn' is not a setting" in done.stderr
