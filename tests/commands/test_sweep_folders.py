"""Where runs and sweeps go: how directories are called, one for each run, and resuming what a launcher left."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from written import assert_same_bits, summary

from ganrun.storage.run_directory import load_config

GAME = ("dataset=mixture1d", "optimizer=sgd", "loss=maximum_likelihood", "log.pictures=0", "log.every=20", "steps=40")
GENTLE = tuple(f"optimizer.{player}.learning_rate=0.01" for player in ("generator", "discriminator"))
ALL = ("hydra/launcher=population", "hydra/launcher=basic", "hydra/sweeper=basic", "hydra/launcher=joblib")


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("launcher", ALL)
@pytest.mark.parametrize(
    ("subdir", "named"),
    [
        ("s${seed}", "the folder 's0' to job 0 (seed=0, k=1) and job 1 (seed=0, k=2)"),
        ("../${hydra.job.num}", "job 0 (seed=0, k=1) would get '../0'"),
        ("samples", "none that ganrun itself writes"),
    ],
)
def test_jobs_that_would_share_a_folder_are_refused_before_any_work(launcher, subdir, named, inside, tiny, tmp_path):
    if launcher.endswith("joblib"):
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ("seed=0,1", "schedule.k=1,2", launcher, "hydra.sweep.dir=out", f"hydra.sweep.subdir={subdir}")
    done = inside("train", "-m", *tiny, *GAME, *words, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    told = done.stderr.replace("schedule.k=", "k=")
    assert len(told.splitlines()) == 1 and named in told, told
    assert not [name for name in tree(tmp_path) if name not in ("out", "out/multirun.yaml")]


def test_a_sweep_whose_folder_differs_between_jobs_is_refused(inside, tiny, tmp_path):
    words = ("-m", *tiny, *GAME, "seed=0,1", "hydra.sweep.dir=out/${seed}")
    done = inside("train", *words, cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "for job 1 it is out/1 and not out/0" in done.stderr and tree(tmp_path) == []


def test_a_search_whose_folders_do_not_have_the_number_is_refused(inside, tiny, tmp_path):
    pytest.importorskip("optuna")
    words = (
        "hydra/sweeper=optuna",
        "schedule.k=1,2",
        "log.pictures=1",
        "hydra.sweep.dir=out",
        "hydra.sweep.subdir=k${schedule.k}",
    )
    done = inside("train", "-m", *tiny, *GAME, *words, cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "hydra.sweep.subdir needs ${hydra.job.num} in it, which 'k${schedule.k}' has not" in done.stderr
    assert tree(tmp_path) == []


@pytest.fixture(scope="module")
def one_by_one(inside, tiny, tmp_path_factory) -> Path:
    """The folder of a sweep whose three runs a launcher has started one by one, with a checkpoint half way."""
    cwd = tmp_path_factory.mktemp("one_by_one")
    words = ("hydra/launcher=basic", "seed=0,1,2", "checkpoint.steps=20", "hydra.sweep.dir=out")
    done = inside("train", "-m", *tiny, *GAME, *GENTLE, *words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert json.loads((cwd / "out/sweep.json").read_text()) == {
        "runs": ["0-seed=0", "1-seed=1", "2-seed=2"],
        "batches": [[0], [1], [2]],
        "varied": ["seed"],
    }
    return cwd


def kill_at_20(run: Path) -> None:
    """Leave ``run`` as a kill at step 20 would."""
    (run / "summary.json").unlink()
    shutil.rmtree(run / "checkpoints" / "40")


def never_start(run: Path) -> None:
    for path in run.iterdir():
        if path.name != "config.yaml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_sweep_of_another_launcher_is_resumed_by_its_folder(one_by_one, inside, rows, tmp_path):
    whole, cut = one_by_one / "out", Path(shutil.copytree(one_by_one / "out", tmp_path / "out"))
    kill_at_20(cut / "1-seed=1"), never_start(cut / "2-seed=2")
    before = {path: path.stat().st_mtime_ns for path in (cut / "0-seed=0").rglob("*")}
    done = inside("train", "resume=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 of them have ended before" in done.stdout and "1-seed=1 continues at step 20" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in (cut / "0-seed=0").rglob("*")} == before
    for run in (path.parent for path in cut.glob("*/summary.json")):
        assert_same_bits(run, whole / run.name)
        assert rows(run) == rows(whole / run.name) and summary(run)["status"] == "completed"


def test_so_is_one_whose_jobs_are_of_several_runs(inside, tiny, rows, tmp_path):
    words = ("hydra/launcher=basic", "population.members_per_job=2", "seed=0,1,2", "checkpoint.steps=20")
    done = inside("train", "-m", *tiny, *GAME, *GENTLE, *words, "hydra.sweep.dir=whole", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    whole, cut = tmp_path / "whole", Path(shutil.copytree(tmp_path / "whole", tmp_path / "cut"))
    runs = ["0-1/0-seed=0", "0-1/1-seed=1", "2/2-seed=2"]
    plan = {"runs": runs, "batches": [], "parts": ["0-1", "2"], "varied": ["seed"]}
    assert json.loads((cut / "sweep.json").read_text()) == plan
    kill_at_20(cut / runs[0]), kill_at_20(cut / runs[1]), never_start(cut / runs[2])
    (cut / "2/sweep.json").unlink(), (cut / "2/train.log").unlink()  # its job was waiting in a queue
    done = inside("train", "resume=cut", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in runs:
        assert_same_bits(cut / name, whole / name)
        assert rows(cut / name) == rows(whole / name) and summary(cut / name)["status"] == "completed"
    assert (cut / "comparison.md").read_text() == (whole / "comparison.md").read_text()


def test_a_sweep_of_another_launcher_does_not_begin_again_where_one_lies(one_by_one, inside, tiny):
    before = tree(one_by_one)
    words = ("hydra/launcher=basic", "seed=0,5", "hydra.sweep.dir=out")
    done = inside("train", "-m", *tiny, *GAME, *words, cwd=one_by_one)
    assert done.returncode == 2 and "out/0-seed=0 holds a run already: continue with resume=out" in done.stderr
    assert len(done.stderr.splitlines()) == 1 and tree(one_by_one) == before


def test_folders_within_folders_are_trained_compared_and_resumed(inside, tiny, rows, tmp_path):
    words = ("seed=0,1", "schedule.k=1,2", "checkpoint.steps=20", "hydra.sweep.subdir=k${schedule.k}/${seed}")
    done = inside("train", "-m", *tiny, *GAME, *GENTLE, *words, "hydra.sweep.dir=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = ["k1/0", "k2/0", "k1/1", "k2/1"]
    assert json.loads((tmp_path / "out/sweep.json").read_text())["runs"] == runs
    assert [
        (load_config(tmp_path / "out" / run).schedule.k, load_config(tmp_path / "out" / run).seed) for run in runs
    ] == [
        (1, 0),
        (2, 0),
        (1, 1),
        (2, 1),
    ]
    cut = Path(shutil.copytree(tmp_path / "out", tmp_path / "cut"))
    for run in runs:
        kill_at_20(cut / run)
    assert inside("compare", "cut", "metrics=[D(x)]", "format=csv", cwd=tmp_path).stdout.count("\n") == 3
    done = inside("train", "resume=cut", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for run in runs:
        assert_same_bits(cut / run, tmp_path / "out" / run)
        assert rows(cut / run) == rows(tmp_path / "out" / run)


def test_the_directory_of_a_sweeps_run_is_taken_by_every_command(one_by_one, inside):
    run = "out/1-seed=1"
    shutil.copytree(one_by_one / run, one_by_one / "alone/2-seed=1,k=2")
    for run in ("out/1-seed=1", "alone/2-seed=1,k=2"):
        for words in (
            ("sample", f"run={run}", "n=2", f"out={run}/x.npy"),
            ("sample", f"run={run}", f"reconstruct={run}/x.npy", "--cfg", "job"),
            ("compare", run, "metrics=[D(x)]"),
            ("jsd", run, "mixture1d", "--cfg", "job"),
            ("jsd", f"a={run}", "mixture1d", "--cfg", "job"),
            ("train", f"resume={run}", "steps=40"),
            ("train", "--config-dir", run, "--config-name", "config", "--cfg", "job"),
        ):
            done = inside(*words, cwd=one_by_one)
            assert done.returncode == 0, (words, done.stderr)
    assert (one_by_one / "alone/2-seed=1,k=2/x.npy").is_file()


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ((), "ring-mlp-nonsaturating"),
        (("loss=hinge", "dataset=grid"), "grid-mlp-hinge"),
        (("experiment=wgan_gp",), "wgan_gp-mnist-dcgan-wasserstein"),
        (("experiment=ring",), "ring-mlp-relativistic"),
        (("hydra.run.dir=here/x",), None),
    ],
)
def test_a_run_directory_says_what_the_run_is(words, name, inside, tmp_path):
    done = inside("train", *words, "--cfg", "all", "--resolve", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = re.search(r"^  run:\n    dir: (.*)$", done.stdout, flags=re.MULTILINE)
    assert found is not None
    day_and_time = r"outputs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d-\d{6}-"
    assert found[1] == "here/x" if name is None else re.fullmatch(day_and_time + name, found[1]), found[1]


@pytest.mark.parametrize("words", [("--cfg", "hydra", "--resolve"), ("--info", "config"), ("--help",)])
def test_what_only_shows_the_config_does_not_need_the_name(words, inside, tmp_path):
    done = inside("train", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and tree(tmp_path) == []


LEFT = ("metrics.jsonl", "summary.json", "checkpoints/20/metadata.json", "events.out.tfevents.1.host.1", "sweep.json")


@pytest.mark.parametrize("name", [*LEFT, "config.yaml"])
def test_a_run_does_not_begin_among_the_files_of_another(name, inside, tiny, tmp_path):
    path = tmp_path / "here" / name
    path.parent.mkdir(parents=True)
    path.touch()
    before = tree(tmp_path)
    done = inside("train", *tiny, *GAME, "hydra.run.dir=here", cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "here holds " in done.stderr and "choose another folder" in done.stderr
    assert tree(tmp_path) == before


@pytest.mark.parametrize("launcher", ["hydra/launcher=population", "hydra/launcher=basic"])
def test_a_sweep_does_not_begin_in_the_directory_of_a_run(launcher, inside, tiny, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "config.yaml").touch()
    done = inside("train", "-m", *tiny, *GAME, launcher, "seed=0,1", "hydra.sweep.dir=here", cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "here holds a run already" in done.stderr and tree(tmp_path) == ["here", "here/config.yaml"]


@pytest.mark.parametrize("launcher", ["hydra/launcher=population", "hydra/launcher=basic"])
@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a")])
def test_runs_of_two_sweeps_in_one_directory_do_not_lie_in_each_other(launcher, first, second, inside, tiny, tmp_path):
    words = ("train", "-m", *tiny, *GAME, "steps=2", "log.pictures=0", launcher, "seed=0", "hydra.sweep.dir=out")
    done = inside(*words, f"hydra.sweep.subdir={first}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    before = tree(tmp_path)
    done = inside(*words, f"hydra.sweep.subdir={second}", cwd=tmp_path)
    line = "ganrun: the run out/a/b would lie in the run out/a: choose another hydra.sweep.dir or subdir."
    assert (done.returncode, done.stderr.splitlines()) == (2, [line])
    assert tree(tmp_path) == before
    assert inside("compare", "out", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("words", [("hydra.run.dir=one/a/b",), ("-m", "seed=0,1", "hydra.sweep.dir=one/a")])
def test_nothing_begins_inside_the_directory_of_a_run(words, inside, tiny, tmp_path):
    (tmp_path / "one").mkdir()
    for name in ("config.yaml", "metrics.jsonl"):
        (tmp_path / "one" / name).touch()
    before = tree(tmp_path)
    done = inside("train", *tiny, *GAME, *words, cwd=tmp_path)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and " lies in the run one: choose another folder." in line
    assert tree(tmp_path) == before
