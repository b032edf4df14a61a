"""However ``resume`` is typed, the run goes on or the command is refused: never does a new run begin."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ganrun.commands import train, train_jobs
from ganrun.config.hydra_bridge import compose
from ganrun.config.schema import check
from ganrun.errors import ConfigError
from ganrun.storage.run_directory import load_config, save_config
from ganrun.training.train import train as trained

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


def refusal(*words: str) -> str:
    with pytest.raises(ConfigError) as told:
        train.main(["resume=latest", *words])
    return str(told.value)


def test_an_allowed_change_of_the_arrays_of_the_state_is_refused_by_its_name(run, handed):
    # The default networks have hidden layers of 128 or more; the first weights of an MLP are (inputs, hidden).
    words = ("architecture.generator_hidden=[9]", "resume.allow=[architecture.generator_hidden]")
    assert train.main(["resume=latest", *words]) == 0  # it has no checkpoint: it starts again
    (run / "checkpoints" / "20").mkdir(parents=True)
    line = refusal(*words)
    assert line.startswith("resume.allow: architecture.generator_hidden changes the arrays of the saved state (")
    assert re.search(r"\((\S+) of type float32 and shape \(\d+,.*\) before, (no )?\1.*now\): start a new run\.$", line)
    assert "\n" not in line and "damaged" not in line
    assert len(handed) == 1


def test_averages_keep_the_widths_that_they_began_with(run, handed):
    (run / "checkpoints" / "20").mkdir(parents=True)
    line = refusal("ema.sigma_rel=[0.1]", "resume.allow=[ema.sigma_rel]")
    assert line == "resume.allow: averages keep the width (ema.sigma_rel) they began with: start a new run."
    assert handed == []


@pytest.mark.parametrize(
    ("words", "allow", "hint"),
    [
        (["latent.dim=3", "architecture.generator_hidden=[9]"], "latent,architecture", "latent, architecture together"),
        (["ema.decay=0.5", "inputs.packing=2"], "ema,inputs", "ema, inputs together change the arrays"),
        (["+penalty.r1.weight=1.0"], "penalty", "penalty changes the arrays of the saved state (accumulator/sums of"),
    ],
)
def test_arrays_that_change_or_appear_are_named_with_every_setting_that_was_allowed_to_change(
    words, allow, hint, run, handed
):
    (run / "checkpoints" / "20").mkdir(parents=True)
    assert hint in refusal(*words, f"resume.allow=[{allow}]")
    assert handed == []


@pytest.mark.parametrize(
    ("words", "allow"),
    [
        (["ema.decay=0.5"], "ema.decay"),
        (["schedule.k=3", "seed=1"], "schedule.k,seed"),
        (["batch_size=64", "optimizer.generator.learning_rate=1e-5"], "batch_size,optimizer"),
    ],
)
def test_an_allowed_change_that_the_state_fits_is_made(words, allow, run, handed):
    (run / "checkpoints" / "20").mkdir(parents=True)
    assert train.main(["resume=latest", *words, f"resume.allow=[{allow}]"]) == 0
    assert len(handed) == 1


def complete(folder: Path) -> None:
    (folder / "summary.json").write_text(json.dumps({"status": "completed", "steps": 16_000, "metrics": {}}))


def test_a_complete_run_says_which_changed_settings_have_no_effect(run, capsys):
    complete(run)
    before = load_config(run)
    words = ["probe=stack", "log.pictures=3", "metric=exact", "seed=7", "steps=16000", "ema.decay=0.5"]
    assert trained(check(compose("train", words)), run, resume=True) == 0
    line = "outputs/one is complete at step 16000; give a larger steps=N to go on."
    (told,) = capsys.readouterr().out.splitlines()
    assert told.startswith(f"{line} Until then the changed settings have no effect: ")
    assert set(told.partition("effect: ")[2].rstrip(".").split(", ")) == {
        "ema.decay",
        "log.pictures",
        "metric",
        "probe",
    }
    assert trained(before, run, resume=True) == 0
    assert capsys.readouterr().out == f"{line}\n"
    assert load_config(run) == before


def test_a_sweep_says_so_of_the_runs_that_have_ended(run, monkeypatch, capsys):
    sweep = run.parent
    for name, seed in (("0", 0), ("1", 1)):
        (sweep / name).mkdir()
        save_config(check(compose("train", [f"seed={seed}", "probe=off"])), sweep / name)
    complete(sweep / "1")
    (sweep / "sweep.json").write_text(json.dumps({"runs": ["0", "1"], "batches": [[0, 1]]}))
    continued: list = []
    monkeypatch.setattr(train_jobs, "run_jobs", lambda runs, *_, **__: continued.append(runs) or [0, 0])
    assert train.main(["resume=outputs", "log.pictures=3", "checkpoint.keep=5"]) == 0
    assert capsys.readouterr().out == (
        "the changed settings have no effect on 1 of 2 runs, which have ended: log.pictures, checkpoint.keep\n"
    )
    for words in (["log.pictures=3", "steps=16001"], []):  # both continue; nothing is changed
        assert train.main(["resume=outputs", *words]) == 0
        assert capsys.readouterr().out == ""
    assert len(continued) == 3
