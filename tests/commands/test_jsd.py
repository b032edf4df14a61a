"""``ganrun jsd``: its command line, what it refuses, and what it prints. The estimators are tested elsewhere."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from ganrun.commands import jsd, jsd_format
from ganrun.config.cli_args import CliArguments
from ganrun.config.folders import config_folder
from ganrun.config.hydra_bridge import compose
from ganrun.evaluation.divergence import estimators as module
from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.evaluation.divergence.estimate import Estimate

KEYS = ["estimate", "se", "lower", "estimator", "n", "d", "floor", "seconds", "warnings"]
TOLD = Estimate(estimate=0.25, se=0.01, lower=0.23, estimator="stack", n=300, d=2, seconds=1.5)


class Estimators:
    """Stands in for the estimators, and remembers what they were asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.floors: list[dict[str, Any]] = []
        self.answer = TOLD

    def estimate(
        self, a: Distribution, b: Distribution, method: str, *, n: int | None, seed: int, budget: float
    ) -> Estimate:
        self.asked.append({"a": a, "b": b, "estimator": method, "n": n, "seed": seed, "budget": budget})
        return dataclasses.replace(self.answer, estimator=method)

    def floor(self, a: Distribution, method: str, *, n: int | None, seed: int, budget: float) -> float:
        self.floors.append({"a": a, "estimator": method, "n": n, "seed": seed, "budget": budget})
        return 0.002


@pytest.fixture
def estimators(monkeypatch) -> Estimators:
    """Replace the estimators: what they find is not what is tested here."""
    fake = Estimators()
    monkeypatch.setattr(module, "estimate", fake.estimate)
    monkeypatch.setattr(module, "floor", fake.floor)
    return fake


@pytest.fixture(scope="module")
def trained(inside, tiny, tmp_path_factory) -> Path:
    """A folder with a run on the ring."""
    cwd = tmp_path_factory.mktemp("trained")
    done = inside("train", *tiny, "steps=20", "log.every=10", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd


# What it prints


def test_text_says_the_estimate_its_bound_and_what_was_compared(folder, inside, estimators, listing):
    before = listing(folder)
    done = inside("jsd", "real.npy", "fake.npy", cwd=folder)
    begins = "ganrun: estimating the divergence of real.npy and fake.npy (estimator=stack), then the floor\n"
    assert (done.returncode, done.stderr) == (0, begins)
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert lines["estimate"] == "0.2500 ± 0.0100 nats (log 2 = 0.6931)"
    assert lines["lower"].startswith("0.2300:") and lines["floor"].startswith("0.0020:")
    assert lines["meaning"].startswith("the part that the classifiers detect") and "sampling only" in lines["meaning"]
    assert (
        lines["estimator"] == "stack"
        and lines["n"] == "300 samples per distribution, 2 dimensions"
        and lines["seconds"] == "1.5"
    )
    assert lines["A"] == "real.npy: 500 samples of 2 dimensions, float64"
    assert lines["B"].startswith("fake.npy: 400 samples")
    assert listing(folder) == before


def test_json_is_one_object_and_nothing_else(folder, inside, estimators):
    done = inside("jsd", "real.npy", "fake.npy", "format=json", cwd=folder)
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout.splitlines()) == 1
    assert list(json.loads(done.stdout)) == KEYS
    assert json.loads(done.stdout) == {
        "estimate": 0.25,
        "se": 0.01,
        "lower": 0.23,
        "estimator": "stack",
        "n": 300,
        "d": 2,
        "floor": 0.002,
        "seconds": 1.5,
        "warnings": [],
    }


def test_what_is_not_finite_is_null(folder, inside, estimators):
    estimators.answer = dataclasses.replace(TOLD, estimate=np.float32(np.nan), se=math.inf, n=np.int64(9))  # type: ignore[arg-type]
    done = inside("jsd", "real.npy", "fake.npy", "format=json", "floor=false", cwd=folder)
    told = json.loads(done.stdout)
    assert told["estimate"] is told["se"] is told["floor"] is None and told["n"] == 9
    assert estimators.floors == []
    assert inside("jsd", "real.npy", "fake.npy", "floor=false", cwd=folder).returncode == 0


def test_warnings_stand_at_the_end_each_in_its_line(folder, inside, estimators):
    np.save(folder / "bytes.npy", np.random.default_rng(0).integers(0, 255, (200, 6, 6), dtype=np.uint8))
    np.save(folder / "same.npy", np.load(folder / "bytes.npy"))
    estimators.answer = dataclasses.replace(TOLD, d=36, estimate=0.67, warnings=("the split was uneven.",))
    done = inside("jsd", "bytes.npy", "same.npy", cwd=folder)
    warnings = [line for line in done.stdout.splitlines() if line.startswith("warning: ")]
    assert done.stdout.splitlines()[-len(warnings) :] == warnings
    hints = ("bytes.npy: bytes 0 to 255", "same.npy: bytes 0 to 255", "200 rows of A", "the split was uneven", "weak:")
    for hint, line in zip((*hints, "near log 2: use `lower`"), warnings, strict=True):
        assert hint in line
    told = json.loads(inside("jsd", "bytes.npy", "same.npy", "format=json", cwd=folder).stdout)
    assert [f"warning: {text}" for text in told["warnings"]] == warnings


@pytest.mark.parametrize(
    ("answer", "hints"),
    [
        ({"d": 31}, []),
        ({"d": 32}, ["weak"]),
        ({"estimator": "streaming", "d": 99}, []),
        ({"estimate": 0.66}, []),
        ({"estimate": 0.664}, ["near log 2"]),
        ({"estimate": 0.7}, ["near log 2"]),
        ({"estimate": 0.6931, "estimator": "exact"}, []),
    ],
)
def test_known_weaknesses_are_reported(answer, hints):
    told = jsd_format.weaknesses(dataclasses.replace(TOLD, **answer))
    assert len(told) == len(hints)
    assert all(hint in text for hint, text in zip(hints, told, strict=True))


@pytest.mark.parametrize(
    ("method", "lower", "meaning", "bound"),
    [
        ("stack", 0.23, "not of what they miss", "0.2300: the divergence is at least this, with probability 0.95"),
        ("streaming", 0.23, "not of what they miss", "0.2300: the divergence is at least this, with probability 0.95"),
        ("knn", None, "neither an upper nor a lower bound", "none: this estimator gives no bound"),
        ("exact", 0.23, "± is how far it may be off", "0.2300: the divergence is at least this, as far as"),
    ],
)
def test_every_method_says_what_its_numbers_are(method, lower, meaning, bound):
    found = dataclasses.replace(TOLD, estimator=method, lower=lower)
    text = jsd_format.as_text(Distribution("a", (1,)), Distribution("b", (1,)), found, None, [])
    lines = dict(line.split(None, 1) for line in text.splitlines())
    assert meaning in lines["meaning"] and lines["lower"].startswith(bound)
    assert json.loads(jsd_format.as_json(found, None, []))["lower"] == lower
    near = jsd_format.weaknesses(dataclasses.replace(found, estimate=0.69))
    assert bool(near) == (method in ("stack", "streaming"))  # the others have no `lower` to read there


def test_a_terminal_without_the_characters_gets_others(folder, environment, tmp_path):
    text = jsd_format.as_text(Distribution("ü", (1,)), Distribution("b", (1,)), TOLD, None, [])
    code = f"from ganrun.commands.jsd import _print; _print({text!r})"
    env = environment(PYTHONIOENCODING="ascii")
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "\\xb1 0.0100" in done.stdout and "\\xfc" in done.stdout, done.stderr


# What the estimators are asked for


@pytest.mark.parametrize(
    ("words", "method", "n"),
    [
        (["real.npy", "fake.npy"], "stack", None),
        (["real.npy", "fake.npy", "estimator=knn", "n=100"], "knn", 100),
        (["real.npy", "ring"], "stack", 500),
        (["ring", "ring"], "streaming", None),
        (["ring", "grid", "estimator=stack"], "stack", 10_000),
        (["ring", "grid", "estimator=knn", "n=20000"], "knn", 20_000),
        (["gaussian", "mixture1d", "estimator=exact"], "exact", None),
        (["line.npy", "gaussian", "n=200", "seed=7", "budget=0.5"], "stack", 200),
    ],
)
def test_the_method_and_the_number_of_samples_follow_from_the_distributions(
    words, method, n, folder, inside, estimators
):
    done = inside("jsd", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    (asked,), (floor,) = estimators.asked, estimators.floors
    assert (asked["estimator"], asked["n"]) == (floor["estimator"], floor["n"]) == (method, n)
    assert (asked["a"].label, asked["b"].label) == (words[0], words[1])
    settings = dict(word.split("=") for word in words[2:])
    assert asked["seed"] == int(settings.get("seed", 0)) and asked["budget"] == float(settings.get("budget", 1))


def test_a_run_is_compared_with_its_data(trained, inside, estimators, listing):
    before = listing(trained)
    for words, method in ((["ring", "latest"], "streaming"), (["latest", "ring", "estimator=exact"], "exact")):
        done = inside("jsd", *words, cwd=trained)
        begins = (
            f"ganrun: estimating the divergence of {words[0]} and {words[1]} (estimator={method}), then the floor\n"
        )
        assert (done.returncode, done.stderr) == (0, begins)
        assert "\nB          " in done.stdout and "ring: dataset of 2 dimensions, known density\n" in done.stdout
        assert estimators.asked[-1]["estimator"] == method
        assert "step 20, averaged generator" in done.stdout
        assert estimators.floors[-1]["a"].label == "ring"  # the exact floor needs a density
    assert listing(trained) == before


def test_the_path_of_a_run_is_printed_once(trained, inside, estimators):
    run = next(trained.glob("outputs/*/*")).relative_to(trained)
    for text in (str(run), f"{run}/", str(trained / run)):
        lines = inside("jsd", "ring", text, "estimator=exact", "floor=false", cwd=trained).stdout.splitlines()
        assert lines[1] == f"B          {text}: run, step 20, averaged generator"
    lines = inside("jsd", "ring", "latest", "estimator=exact", "floor=false", cwd=trained).stdout.splitlines()
    assert lines[1] == f"B          latest: run {run}, step 20, averaged generator"


class OnTerminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_spinner_shows_what_is_done(folder, estimators, monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    for error, spins in ((OnTerminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", error)
        monkeypatch.chdir(folder)
        assert jsd.main(["real.npy", "fake.npy"]) == 0
        told = error.getvalue()
        if spins:  # only the last text is sure to be drawn: the estimators of this test take no time
            assert "\x1b[" in told and "estimating the floor, A against itself (estimator=stack)" in told
            assert "then the floor" not in told
        else:
            line = "ganrun: estimating the divergence of real.npy and fake.npy (estimator=stack), then the floor\n"
            assert told == line


def test_images_of_a_run_are_searched_for_memorised_ones(folder, inside, estimators, monkeypatch):
    rows = np.random.default_rng(0).uniform(-1, 1, (400, 4)).astype(np.float32)

    def fake(text: str, **options) -> Distribution:
        draw = None if text == "real.npy" else lambda n, seed: np.resize(rows, (n, 4))
        return Distribution(
            text, (4,), rows=None if draw else rows + 1, draw=draw, training=rows, held_out=rows[::-1] + 0.5
        )

    monkeypatch.setattr("ganrun.evaluation.divergence.open_distribution.open_distribution", fake)
    done = inside("jsd", "real.npy", "fake.npy", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "warning: fake.npy may have memorised: of 1000 samples 1000 are copies" in done.stdout


def test_columns_that_say_nothing_are_dropped(folder, inside, estimators):
    for name in ("real", "fake"):
        rows = np.load(folder / f"{name}.npy")
        np.save(folder / f"{name}.npy", np.column_stack([np.ones(len(rows)), rows]))
    done = inside("jsd", "real.npy", "fake.npy", cwd=folder)
    assert estimators.asked[0]["a"].d == estimators.asked[0]["b"].d == estimators.floors[0]["a"].d == 2
    assert "warning: dropped column 0 " in done.stdout


# Its command line


@pytest.mark.parametrize(
    "words",
    [
        ["real.npy", "two.npz", "key=test"],
        ["key=test", "real.npy", "two.npz"],
        ["real.npy", "key=test", "two.npz"],
        ["a=real.npy", "b=two.npz", "key=test"],
        ["b=two.npz", "real.npy", "key=test"],
        ["a=real.npy", "key=test", "two.npz"],
        ["--config-name", "jsd", "real.npy", "key='test'", "two.npz"],
        ["real.npy", "two.npz", "key=nonsense", "key_b=test"],
    ],
)
def test_the_distributions_may_stand_anywhere(words, folder, inside, estimators):
    done = inside("jsd", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    (asked,) = estimators.asked
    assert (len(asked["a"].rows), len(asked["b"].rows)) == (500, 200)


NAMES = ["with space.npy", "it's.npy", 'a "quote".npy', "a\\b.npy", "${oc.env:HOME}.npy", "\\${x}.npy", "ünï → 図.npy"]
MORE = ["a,b.npy", "[a].npy", "{x:1}.npy", "a:b.npy", "100%.npy", "#x.npy", "a\tb\nc.npy", "~x.npy", ":x:.npy"]


@pytest.mark.parametrize("name", [*NAMES, *MORE])
def test_a_path_may_have_any_name(name, folder, inside, estimators):
    (folder / "real.npy").rename(folder / name)
    done = inside("jsd", name, "fake.npy", cwd=folder)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 9, done.stderr
    assert len(estimators.asked[0]["a"].rows) == 500


def test_in_a_sweep_too(folder, inside, estimators):
    name = "it's 1,2 \\'${x}.npy"
    (folder / "real.npy").rename(folder / name)
    done = inside("jsd", "-m", "fake.npy", name, "format=json", "seed=1,2", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert [len(asked["b"].rows) for asked in estimators.asked] == [500, 500]


@pytest.mark.parametrize("name", ["x=b.npy", "lr=0.1 it's.npy", "3-seed=1,lr=0.1/x.npy"])
def test_a_path_with_an_equals_sign_is_a_path_all_the_same(name, folder, inside, estimators):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / "real.npy").rename(folder / name)
    done = inside("jsd", name, "fake.npy", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert estimators.asked[0]["a"].label == name


def test_a_setting_is_a_setting_whatever_files_there_are(folder, inside, estimators):
    (folder / "seed=5").touch()
    done = inside("jsd", "real.npy", "fake.npy", "seed=5", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert estimators.asked[0]["seed"] == 5


ANY = st.text(alphabet=st.one_of(st.sampled_from("'\"\\${}=,:[]() \n~"), st.characters(codec="utf-8")))


@settings(max_examples=300, deadline=None)
@given(ANY)
def test_whatever_the_word_hydra_gives_it_back(text):
    text = text.replace("\0", "")  # no word of a command line has it
    (override,) = OverridesParser.create().parse_overrides([f"a={jsd.quoted(text)}"])
    assert not override.is_sweep_override()
    assert OmegaConf.to_container(OmegaConf.create({"a": override.value()}), resolve=True) == {"a": text}


@settings(max_examples=15, deadline=None)
@given(ANY)
def test_and_so_does_the_whole_config(text):
    text = text.replace("\0", "")
    assert compose("jsd", [f"a={jsd.quoted(text)}"])["a"] == text


def test_the_words_become_settings_and_flags_stay():
    arguments = jsd.name_distributions(CliArguments(["x.npy", "--cfg", "job", "n=5000", "y'.npy"]))
    assert arguments.overrides == ["n=5000", "a='x.npy'", "b='y\\'.npy'"] and arguments.options.cfg == "job"


def test_cfg_and_help_run_nothing_and_need_no_distributions(folder, inside):
    done = inside("jsd", "real.npy", "--cfg", "job", "fake.npy", "seed=5", cwd=folder)
    assert done.returncode == 0 and "a: real.npy" in done.stdout and "b: fake.npy" in done.stdout, done.stderr
    assert "seed: 5" in done.stdout
    assert inside("jsd", "--cfg", "job", cwd=folder).returncode == 0
    for words in (["--help"], ["real.npy", "--help"]):
        done = inside("jsd", *words, cwd=folder)
        assert done.returncode == 0 and "usage: ganrun jsd A B" in done.stdout


def test_a_sweep_prints_one_object_a_job_and_leaves_nothing(folder, inside, estimators, listing):
    before = listing(folder)
    done = inside("jsd", "-m", "real.npy", "b=fake.npy,one.npz", "seed=1,2", "format=json", cwd=folder)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert [list(json.loads(line)) for line in done.stdout.splitlines()] == [KEYS] * 4
    jobs = [(asked["b"].label, asked["seed"]) for asked in estimators.asked]
    assert jobs == [("fake.npy", 1), ("fake.npy", 2), ("one.npz", 1), ("one.npz", 2)]
    assert listing(folder) == before


def test_a_density_in_three_dimensions_cannot_be_integrated():
    a = Distribution("a", (3,), density=object(), draw=lambda n, seed: np.zeros((n, 3)))  # type: ignore[arg-type]
    with pytest.raises(jsd.ConfigError, match="in 1 or 2 dimensions, not in 3"):
        jsd.resolve("exact", a, a)


def test_what_an_estimator_cannot_do_is_reported_with_its_own_exit_code(folder, inside, estimators, monkeypatch):
    def fail(*args, **options):
        raise jsd.ConfigError("not with these.")

    monkeypatch.setattr(module, "estimate", fail)
    monkeypatch.setattr(module, "estimate", fail)
    done = inside("jsd", "real.npy", "fake.npy", "format=json", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "ganrun: not with these.\n")
    done = inside("jsd", "real.npy", "fake.npy", cwd=folder)
    assert done.returncode == 2 and done.stderr.splitlines()[1:] == ["ganrun: not with these."]


# Real processes

PROGRAM = """
import sys
from ganrun.evaluation.divergence import estimators
from ganrun.evaluation.divergence.estimate import Estimate
estimators.estimate = lambda a, b, method, **asked: Estimate(0.1, 0.01, 0.08, method, 500, a.d)
estimators.floor = lambda a, method, **asked: 0.001
from ganrun.cli import main
main(sys.argv[1:])
"""


def test_a_real_process_prints_one_object_and_leaves_nothing(folder, environment, trained, listing):
    before = listing(folder)
    run = str(next(trained.glob("outputs/*/*")))
    for words in (["real.npy", "fake.npy"], ["ring", run]):
        command = [sys.executable, "-W", "error::UserWarning", "-c", PROGRAM, "jsd", *words, "format=json"]
        done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        assert list(json.loads(done.stdout)) == KEYS
    assert listing(folder) == before


def test_a_name_that_is_no_text_is_reported(folder, environment):
    odd = os.fsdecode(b"\xff.npy")
    (folder / odd).write_bytes((folder / "real.npy").read_bytes())
    command = [sys.executable, "-c", PROGRAM, "jsd", odd, "fake.npy"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert b"\\udcff.npy: 500 samples" in done.stdout


# Completion


def test_completion_offers_the_settings_also_after_the_files(inside, tmp_path, monkeypatch):
    def offered(line: str) -> set[str]:
        monkeypatch.setenv("COMP_LINE", line)
        return set(inside("-sc", "query=bash", cwd=tmp_path).stdout.split())

    assert offered("ganrun js") == {"jsd"}
    assert {"a=", "b=", "estimator=", "n=", "key="} <= offered("ganrun jsd ")
    assert {"estimator="} == offered("ganrun jsd x.npy y.npy est")
    assert {"seed=", "floor="} <= offered("ganrun jsd x.npy y'.npy n=5 ")


def test_completion_offers_no_groups_to_commands_that_choose_no_options(inside, tmp_path, monkeypatch):
    def offered(line: str) -> list[str]:
        monkeypatch.setenv("COMP_LINE", line)
        return inside("-sc", "query=bash", cwd=tmp_path).stdout.split()

    known = {path.name for path in config_folder().iterdir() if path.is_dir()}
    for command, own in (("jsd", "estimator="), ("compare", "metrics."), ("sample", "mode="), ("export", "networks=")):
        words = offered(f"ganrun {command} ")
        assert own in words and not {word.rstrip("=.") for word in words} & known, command
        assert offered(f"ganrun {command} loss=") == [] and offered(f"ganrun {command} data") == (
            ["data_dir="] if command == "jsd" else []
        )
    assert {"loss=", "dataset="} <= set(offered("ganrun train "))


def test_text_reaches_a_stream_that_is_no_terminal_as_it_is(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    jsd._print("[red]:smile: " + 300 * "x")
    assert stream.getvalue() == "[red]:smile: " + 300 * "x" + "\n"
