"""A run or sweep directory with links, pipes and names that lead elsewhere: nothing is written outside of it."""

from __future__ import annotations

import json

import pytest
from stranger import READERS, RESUME, TINY, in_place_of, tree

FILES = ("metrics.jsonl", "train.log", "summary.json", "summary.json.tmp", "config.yaml.tmp", ".lock")
EVENTS = "events.out.tfevents.1700000000.000000.there.1"
FOLDERS = ("samples", "checkpoints", "averages")
INNER = ("samples/00000000.png", "samples/00000006.png", "checkpoints/6", "checkpoints/6.unfinished")
SWEEP = ("sweep.json.tmp", "train.log", ".lock", "comparison.md", "comparison.md.tmp", "comparison.png")
NEW = ("train", *TINY, "steps=2")
MORE = ("train", "-m", *TINY, "steps=2", "seed=0,1")


@pytest.mark.parametrize("name", [*FILES, EVENTS, *FOLDERS, *INNER, "config.yaml"])
def test_a_run_with_a_link_that_leads_out_is_not_continued(name, stranger, outside, refused):
    kind = "link" if name in FOLDERS or name.startswith("checkpoints") else "link to a file"
    in_place_of(stranger / name, kind, outside)
    told = refused(*RESUME)
    assert name == "config.yaml" or (name in told and "is a link" in told)


@pytest.mark.parametrize("name", [*FILES, EVENTS, *FOLDERS, "samples/00000006.png"])
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(name, stranger, outside, refused):
    in_place_of(stranger / name, "pipe", outside)
    assert name in refused(*RESUME)


@pytest.mark.parametrize("name", [*FILES, EVENTS])
def test_a_folder_in_the_place_of_a_file_is_refused(name, stranger, outside, refused):
    in_place_of(stranger / name, "folder", outside)
    assert f"{name} is not the file that it should be" in refused(*RESUME)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_in_the_place_of_a_folder_is_refused(name, stranger, outside, refused):
    in_place_of(stranger / name, "folder", outside)
    (stranger / name).rmdir()
    (stranger / name).write_text("")
    assert f"{name} is not the folder that it should be" in refused(*RESUME)


@pytest.mark.parametrize("name", ["metrics.jsonl", "config.yaml.tmp", "samples", "train.log"])
def test_a_folder_prepared_for_a_new_run_is_refused(name, outside, refused, tmp_path):
    (tmp_path / "prepared").mkdir()
    in_place_of(tmp_path / "prepared" / name, "link" if name == "samples" else "link to a file", outside)
    assert "is a link" in refused(*NEW, "hydra.run.dir=prepared")


@pytest.mark.parametrize("name", [*SWEEP, "multirun.yaml", "statistics", "0", "0/metrics.jsonl", "1/samples"])
def test_a_folder_prepared_for_a_sweep_is_refused(name, outside, refused, tmp_path):
    (tmp_path / "prepared" / name).parent.mkdir(parents=True)
    in_place_of(
        tmp_path / "prepared" / name, "link" if name in ("0", "1/samples", "statistics") else "link to a file", outside
    )
    assert "is a link" in refused(*MORE, "hydra.sweep.dir=prepared")


@pytest.fixture
def sweep(stranger):
    """A sweep of one run, as a stranger could make it."""
    inner = stranger.rename(stranger.with_name("inner"))
    stranger.mkdir()
    inner.rename(stranger / "0")
    write_plan(stranger, ["0"])
    return stranger


def write_plan(folder, names):
    (folder / "sweep.json").write_text(json.dumps({"runs": names, "batches": [list(range(len(names)))]}))


def test_a_sweep_that_is_well_is_continued(sweep, inside, tmp_path):
    done = inside(*RESUME, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [*SWEEP, "0/metrics.jsonl", "0/samples", "0/checkpoints"])
def test_a_sweep_with_a_link_that_leads_out_is_not_continued(name, sweep, outside, refused):
    in_place_of(sweep / name, "link" if name.endswith(("samples", "checkpoints")) else "link to a file", outside)
    assert "is a link" in refused(*RESUME)


def test_a_run_of_a_sweep_that_is_a_link_is_not_continued(sweep, whole, refused, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (sweep / "0").rename(elsewhere / "run")
    (sweep / "0").symlink_to(elsewhere / "run")
    before = tree(elsewhere)
    assert "is a link" in refused(*RESUME)
    assert tree(elsewhere) == before


NAMES = (
    ["../elsewhere"],
    ["/etc"],
    ["0/../../elsewhere"],
    ["0/../0"],
    ["0", "0/inner"],
    ["0/samples"],
    [".."],
    ["."],
    [""],
    ["0", "0"],
    ["0\0"],
    ["0\n"],
    ["\x1b[2J"],
    ["n" * 300],
    [0],
    "0",
    {"0": 1},
    [["0"]],
    None,
)


@pytest.mark.parametrize("names", NAMES, ids=repr)
@pytest.mark.parametrize("command", [RESUME, READERS["compare"]], ids=["resume", "compare"])
def test_a_plan_that_names_anything_but_its_own_runs_is_refused(names, command, sweep, refused):
    (sweep / "sweep.json").write_text(json.dumps({"runs": names, "batches": [[0]]}))
    refused(*command)


def test_a_folder_between_a_sweep_and_its_run_that_is_a_link_is_not_gone_through(sweep, refused, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (sweep / "0").rename(elsewhere / "0")
    (sweep / "hinge").symlink_to(elsewhere)
    write_plan(sweep, ["hinge/0"])
    before = tree(elsewhere)
    assert "hinge is a link" in refused(*RESUME)
    assert tree(elsewhere) == before


def test_nor_where_the_sweep_is_one_of_jobs_of_several_runs(sweep, refused, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (sweep / "0").rename(elsewhere / "0")
    (sweep / "0-0").symlink_to(elsewhere)
    (sweep / "sweep.json").write_text(json.dumps({"runs": ["0-0/0"], "batches": [], "parts": ["0-0"]}))
    before = tree(elsewhere)
    assert "0-0 is a link" in refused(*RESUME)
    assert tree(elsewhere) == before


@pytest.mark.parametrize("parts", [["elsewhere"], [".."], ["../0-0"], [0], "0", {"0": 1}, [["0"]], None], ids=repr)
@pytest.mark.parametrize("command", [RESUME, READERS["compare"]], ids=["resume", "compare"])
def test_parts_that_are_none_of_the_sweeps_own_are_refused(parts, command, sweep, refused):
    (sweep / "sweep.json").write_text(json.dumps({"runs": ["0"], "batches": [[0]], "parts": parts}))
    refused(*command)


PLANS = {
    "too many brackets": "[" * 100_000,
    "too much": " " * (1 << 24) + "{}",
    "a long number": '{"runs": ["0"], "batches": ' + "9" * 5000 + "}",
    "batches of nothing": '{"runs": ["0"], "batches": [[]]}',
    "batches that count wrongly": '{"runs": ["0"], "batches": [[-1]]}',
    "batches of halves": '{"runs": ["0"], "batches": [[0.0]]}',
    "batches of text": '{"runs": ["0"], "batches": "0"}',
    "batches of groups": '{"runs": ["0"], "batches": [{"0": 1}]}',
}


@pytest.mark.parametrize("content", PLANS.values(), ids=PLANS.keys())
def test_a_plan_that_is_none_is_refused(content, sweep, refused):
    (sweep / "sweep.json").write_text(content)
    refused(*RESUME)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_plan_that_is_no_file_is_no_plan(kind, sweep, outside, refused):
    in_place_of(sweep / "sweep.json", kind, outside)
    assert "it has no config.yaml" in refused(*RESUME)


def test_links_in_circles_are_no_run(refused, tmp_path):
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "a").symlink_to("b")
    (tmp_path / "outputs" / "b").symlink_to("a")
    (tmp_path / "outputs" / "up").symlink_to(tmp_path)
    (tmp_path / "outputs" / "run").mkdir()
    (tmp_path / "outputs" / "run" / "config.yaml").symlink_to("config.yaml")
    for words in (("sample",), ("train", "resume=latest"), ("compare", "outputs"), ("train", "resume=outputs/a")):
        refused(*words)
