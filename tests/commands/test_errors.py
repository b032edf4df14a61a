"""A wrong command line ends with exit code 2, one or two helpful lines, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

WRONG = {
    "an option that does not exist": (["train", "loss=hinje"], ["hinje", "minimax", "nonsaturating"]),
    "an option that is close to one": (["train", "loss=minmax"], ["minmax", "Did you mean 'minimax'?"]),
    "a group that does not exist": (["train", "lossy=minimax"], ["lossy", "Did you mean 'loss'?"]),
    "an abbreviated key": (["train", "optimzer.lr=1"], ["optimzer.lr", "optimizer.generator.learning_rate"]),
    "a misspelt key": (["train", "dataset.modess=3"], ["dataset.modess", "dataset.modes?"]),
    "a number below its range": (["train", "schedule.k=0"], ["schedule.k", "at least 1", "not 0"]),
    "a word for a number": (["train", "batch_size=abc"], ["batch_size", "whole number", "'abc'"]),
    "a fraction for a whole number": (["train", "steps=1.5"], ["steps", "whole number", "1.5"]),
    "a choice that is none": (["train", "latent.prior=gauss"], ["latent.prior", "normal, uniform", "gauss"]),
    "missing files": (
        ["train", "dataset=mnist", "dataset.download=false", "data_dir=empty"],
        ["mnist", "train-images-idx3-ubyte", "missing in", "dataset.download is false", "data_dir="],
    ),
    "parts that do not fit": (["train", "architecture=dcgan"], ["architecture=dcgan", "vectors of 2", "mlp"]),
    "an added key": (["train", "+foo=1"], ["foo", "not a setting"]),
    "words that are no setting": (["train", "a b"], ["'a b'", "KEY=VALUE"]),
    "a value without its key": (["train", "foo"], ["'foo'", "KEY=VALUE"]),
    "an unknown flag": (["train", "--no-such-flag"], ["--no-such-flag", "--help"]),
    "a batch larger than the data": (["train", "batch_size=5000", "dataset=digits"], ["batch_size", "at most 1437"]),
    "an option in a list that is close to one": (
        ["train", "metric=[exat,modes]"],
        ["metric has no option 'exat'. Did you mean 'exact'? It has diversity, exact,"],
    ),
    "a penalty in a list that is close to one": (["train", "penalty=[r1,drft]"], ["drft", "Did you mean 'drift'?"]),
    "an unknown preset": (["train", "experiment=goodfellow"], ["experiment", "Did you mean 'goodfellow2014'?"]),
    "a sweep without -m": (["train", "seed=0,1"], ["seed=0,1", "-m"]),
    "a config that does not exist": (["train", "--config-name", "nope"], ["'nope'", "--config-dir"]),
    "a config folder that does not exist": (["train", "--config-dir", "nope"], ["--config-dir", "nope"]),
    "a run to resume that does not exist": (["train", "resume=nowhere"], ["no run directory nowhere"]),
    "a latest run where there is none": (["train", "resume=latest"], ["latest", "no run under"]),
    "resume and a sweep": (["train", "-m", "resume=latest", "seed=0,1"], ["resume", "-m"]),
    "a bad value within a sweep": (["train", "-m", "schedule.k=1,0"], ["schedule.k", "at least 1", "not 0"]),
    "a bad option within a sweep": (["train", "-m", "seed=0,1", "loss=minimax,hinje"], ["hinje", "minimax"]),
    "a bad batch within a sweep": (
        ["train", "-m", "dataset=digits", "steps=1", "batch_size=16,5000"],
        ["at most 1437"],
    ),
    "a run to sample that does not exist": (["sample", "run=nowhere"], ["no run directory nowhere"]),
    "no run to sample": (["sample"], ["latest", "no run under"]),
    "a picture format that is not written": (["sample", "out=x.jpg"], [".jpg", ".png", ".npz"]),
    "a folder that does not exist": (["sample", "out=nofolder/x.png"], ["nofolder"]),
    "no samples": (["sample", "n=0"], ["n must be at least 1"]),
    "a run without its key": (["sample", "."], ["'.' is not a setting: write run=."]),
    "a latest run without its key": (["sample", "n=4", "latest"], ["'latest' is not a setting: write run=latest."]),
    "a run to resume without its key": (["train", ".."], ["'..' is not a setting: write resume=.."]),
    "a package that is no plugin": (
        ["train", "plugins=[json]"],
        ["plugins: the package 'json' is no plugin: it registers no option and has no folder conf/."],
    ),
    "a module that is no plugin": (["sample", "plugins=[os]"], ["the package 'os' is no plugin"]),
    "no plugin to compare with": (["compare", "x", "plugins=[json]"], ["the package 'json' is no plugin"]),
    "no plugin to estimate with": (["jsd", "ring", "ring", "plugins=[json]"], ["the package 'json' is no plugin"]),
    "no plugin to list": (["list", "plugins=[json]"], ["the package 'json' is no plugin"]),
    "an unknown key of sample": (["sample", "averge=false"], ["averge", "Did you mean 'average'?"]),
    "an unknown key of report": (["report", "x", "zzqq=3"], ["'zzqq' is not a setting", "`ganrun report --help`"]),
    "an unknown key of export": (["export", "zzqq=3"], ["'zzqq' is not a setting", "`ganrun export --help`"]),
    "an unknown key of reproduce": (["reproduce", "nash", "zzqq=3"], ["'zzqq' is not", "`ganrun reproduce --help`"]),
    "an option that would unpickle a file": (["train", "--experimental-rerun", "x"], ["unpickle", "--config-dir RUN"]),
    "options that exclude each other": (["train", "-m", "--cfg", "job"], ["--multirun and --cfg exclude each other"]),
    "an option that needs another": (["train", "--resolve"], ["--resolve belongs to --cfg"]),
    "a part that the config does not have": (["train", "--cfg", "job", "-p", "nope"], ["'nope' not found"]),
    "help for a wrong setting": (["train", "--help", "loss=hinje"], ["hinje", "minimax"]),
    "completion of nothing": (["train", "-sc"], ["install", "query"]),
    "a number of thousands of digits": (["train", f"steps={5000 * '9'}"], ["4300 digits"]),
    "a list within lists": (["train", f"steps={600 * '['}{600 * ']'}"], ["nested too deeply"]),
    "more layers than can be built": (["train", f"architecture.generator_hidden=[{100 * '8,'}8]"], ["at most 100"]),
    "a sweep without values": (["train", "-m", "seed=range(3,3)"], ["seed has no values"]),
    "a sweep without end": (["train", "-m", "seed=range(0,1e12)"], ["seed", "100000 jobs"]),
    "a sweep of too many jobs": (
        ["train", "-m", "seed=range(0,9999)", "schedule.k=range(1,99)"],
        ["979902 jobs", "100000"],
    ),
    "the home of nobody": (["sample", "run='~nobody-here/x'"], ["there is no user ~nobody-here"]),
    "a data folder of nobody": (["train", "data_dir='~nobody-here/x'"], ["there is no user ~nobody-here"]),
    "an unknown command": (["trian"], ["'trian'", "train, sample, list, doctor", "Did you mean 'train'?"]),
}


def assert_told_in_a_line_or_two(text: str, hints: list[str]) -> None:
    assert text.startswith("ganrun: ") and text.endswith("\n")
    assert 1 <= len(text.splitlines()) <= 2, text
    assert "Traceback" not in text
    for hint in hints:
        assert hint in text


@pytest.mark.parametrize(("words", "hints"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_command_line_is_reported_in_a_line_or_two_and_leaves_nothing(
    words, hints, inside, tmp_path, monkeypatch
):
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    done = inside(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert_told_in_a_line_or_two(done.stderr, hints)
    assert list(tmp_path.iterdir()) == []


REAL = ("a number below its range", "a batch larger than the data", "a bad value within a sweep")


@pytest.mark.parametrize("kind", REAL)
def test_a_real_process_says_the_same(kind, ganrun, tmp_path):
    words, hints = WRONG[kind]
    done = ganrun(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert_told_in_a_line_or_two(done.stderr, hints)
    assert list(tmp_path.iterdir()) == []


def test_the_directory_of_a_run_of_a_sweep_is_answered_with_the_quoted_setting(inside, tmp_path):
    (tmp_path / "it's" / "3-seed=1").mkdir(parents=True)
    done = inside("sample", "it's/3-seed=1", cwd=tmp_path)
    wanted = """ganrun: 'it's/3-seed=1' is not a setting: write 'run=it'"'"'s/3-seed=1'.\n"""
    assert (done.returncode, done.stderr) == (2, wanted)


@pytest.mark.parametrize("words", [["train", "schedule.k=0"], ["train", "loss=hinje"], ["sample", "run=nowhere"]])
def test_hydra_full_error_adds_the_traceback_and_keeps_the_exit_code(words, inside, tmp_path, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    done = inside(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback (most recent call last)" in done.stderr and "ConfigError" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("ganrun: ")


def test_a_place_that_cannot_be_written_is_reported_without_a_traceback(inside, tmp_path, monkeypatch):
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    (tmp_path / "outputs").write_text("in the way\n")
    done = inside("train", "steps=1", cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert_told_in_a_line_or_two(done.stderr, ["outputs"])


def test_a_folder_that_is_no_run_is_distinguished_from_a_missing_one(inside, tmp_path):
    (tmp_path / "empty").mkdir()
    done = inside("sample", "run=empty", cwd=tmp_path)
    assert done.returncode == 2
    assert_told_in_a_line_or_two(done.stderr, ["empty is not a run directory", "config.yaml"])


def test_a_damaged_config_of_a_run_is_reported_in_a_line_or_two(inside, tmp_path):
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "config.yaml"
    for damage in ("seed: [", "- 1\n", "seed: 0\nsurprise: 1\n"):
        path.write_text(damage)
        for words in (["sample", "run=run"], ["train", "resume=run"]):
            done = inside(*words, cwd=tmp_path)
            assert done.returncode == 2, done.stderr
            assert_told_in_a_line_or_two(done.stderr, [])
    assert [found.name for found in tmp_path.rglob("*")] == ["run", "config.yaml"]


def test_a_reader_that_leaves_early_is_no_error(environment, tmp_path):
    words = f'"{sys.executable}" -m ganrun list | head -1; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", words], env=environment(), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize("word", ["loss=0", "architecture=nan", "optimizer=true", "dataset=null"])
def test_a_group_without_a_name_is_reported(inside, tmp_path, word):
    done = inside("train", word, cwd=tmp_path)
    group = word.partition("=")[0]
    assert done.returncode == 2
    assert f"{group} takes the name of an option" in done.stderr and f"ganrun list {group}" in done.stderr


@pytest.mark.parametrize("word", ["hydra.run.dir=", "resume="])
def test_a_folder_whose_name_no_disk_can_hold_is_refused(inside, tmp_path, word):
    done = inside("train", word + 300 * "n", cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot be a folder: File name too long." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_a_run_is_not_written_over(inside, tiny, tmp_path):
    assert inside("train", *tiny, "steps=5", "hydra.run.dir=here", cwd=tmp_path).returncode == 0
    before = (tmp_path / "here" / "metrics.jsonl").read_text()
    done = inside("train", *tiny, "steps=5", "hydra.run.dir=here", cwd=tmp_path)
    assert done.returncode == 2
    assert "here holds a run already: continue it with resume=here" in done.stderr
    assert (tmp_path / "here" / "metrics.jsonl").read_text() == before
