"""The directory of a sweep: its plan, which runs it names, and that no two jobs share a directory."""

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrun.errors import ConfigError
from ganrun.storage.sweep_directory import (
    Contents,
    begun,
    find_sweep,
    numbered_runs,
    read_contents,
    require_apart,
    require_own_runs,
    runs_of,
    write_contents,
)

JOBS = ["seed=0, k=1", "seed=0, k=2", "seed=1, k=1"]


def test_two_jobs_with_one_folder_are_refused_in_a_line_that_names_both_and_the_folder():
    with pytest.raises(ConfigError) as caught:
        require_apart(["s0", "./s0", "s1"], JOBS)
    line = "gives the folder 's0' to job 0 (seed=0, k=1) and job 1 (seed=0, k=2): put what differs"
    assert line in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_of_many_jobs_with_one_folder_some_are_named_and_all_are_counted():
    with pytest.raises(ConfigError, match=r"job 5 \(a\) and job 6 \(b\) and job 7 \(c\) and 2 more"):
        require_apart(["x"] * 5, list("abcde"), first=5)


@pytest.mark.parametrize(
    "name", ["/tmp/x", "../x", "a/../../x", ".", "", "a/..", "samples", "a/checkpoints", "train.log"]
)
def test_a_job_stays_in_a_folder_of_its_own_inside_the_sweeps(name):
    with pytest.raises(ConfigError, match=r"must name a folder inside the sweep's.*job 1 \(seed=0, k=2\)"):
        require_apart(["a", name, "b"], JOBS)


def test_a_job_does_not_lie_in_the_folder_of_another():
    with pytest.raises(ConfigError, match="puts the folder 'hinge/0' of one job into another's, 'hinge'"):
        require_apart(["hinge", "hinge/0", "b"], JOBS)


def test_folders_within_folders_are_fine_and_become_plain():
    assert require_apart(["a/0", "a//1", "b/0/"], JOBS) == ["a/0", "a/1", "b/0"]


PART = st.from_regex(re.compile(r"[a-z0-9=,.-]{1,6}", re.ASCII), fullmatch=True).filter(lambda part: part.strip("."))
PATHS = st.lists(PART, min_size=1, max_size=4).map("/".join)


@given(st.lists(PATHS, min_size=1, max_size=6))
def test_what_is_found_apart_makes_directories_that_are_and_a_plan_that_is_read_again(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("sweep")
    inside = [(one, other) for one in names for other in names if other.startswith(f"{one}/")]
    if len(set(names)) < len(names) or inside:
        with pytest.raises(ConfigError):
            require_apart(names, names)
        return
    assert require_apart(names, names) == names
    write_contents(folder, Contents(names, [[i] for i in range(len(names))]))
    runs = runs_of(folder)
    for run in runs:
        run.mkdir(parents=True)
        (run / "config.yaml").touch()
    assert len({run.resolve() for run in runs}) == len(names)
    assert sorted(numbered_runs(folder)) == sorted(runs)


def test_parts_are_planned_one_after_another_too(tmp_path):
    write_contents(tmp_path, Contents(["0-1/0", "0-1/1"], [], ["0-1"]))
    write_contents(tmp_path, Contents(["2/2"], [], ["2"]))
    assert read_contents(tmp_path) == Contents(["0-1/0", "0-1/1", "2/2"], [], ["0-1", "2"])


def make(run: Path, when: int = 0) -> Path:
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 0\n")
    os.utime(run / "config.yaml", (when, when))
    return run


@pytest.mark.parametrize("runs", [["0"], ["hinge/0", "hinge/1"], ["a/b/c"]])
def test_the_latest_run_leads_to_its_sweep_however_deep_it_lies(runs, tmp_path):
    sweep = tmp_path / "sweeps" / "day" / "time"
    for i, name in enumerate(runs):
        make(sweep / name, 1_000 + i)
    write_contents(sweep, Contents(runs, [[0]]))
    assert find_sweep("latest", tmp_path) == sweep.resolve()
    make(tmp_path / "day" / "time", 2_000)
    assert find_sweep("latest", tmp_path) is None


def test_the_latest_run_of_a_job_of_several_leads_to_the_whole_sweep(tmp_path):
    sweep = tmp_path / "sweeps" / "day" / "time"
    make(sweep / "0-1" / "0", 1_000), make(sweep / "0-1" / "1", 1_001)
    write_contents(sweep, Contents(["0-1/0", "0-1/1"], [], ["0-1"]))
    write_contents(sweep / "0-1", Contents(["0", "1"], [[0, 1]]))
    assert find_sweep("latest", tmp_path) == sweep.resolve()
    assert find_sweep(str(sweep / "0-1")) == (sweep / "0-1").resolve()


def test_a_run_that_a_sweep_does_not_name_is_none_of_its_own(tmp_path):
    write_contents(tmp_path, Contents(["0"], [[0]]))  # the sweep's directory holds other runs too
    make(tmp_path / "0", 1_000), make(tmp_path / "day" / "alone", 2_000)
    assert find_sweep("latest", tmp_path) is None


def test_runs_are_listed_by_number(tmp_path):
    for name in ("10-seed=0", "2-seed=1", "2-seed=1x/10", "2-seed=1x/9", "0-1/1", "0-1/0", "1"):
        make(tmp_path / name)
    found = [str(run.relative_to(tmp_path)) for run in numbered_runs(tmp_path)]
    assert found == ["0-1/0", "0-1/1", "1", "2-seed=1", "2-seed=1x/9", "2-seed=1x/10", "10-seed=0"]


def test_a_run_has_begun_once_there_is_more_than_its_config(tmp_path):
    run = make(tmp_path / "0")
    (run / ".lock").touch()
    assert not begun(run) and not begun(tmp_path / "nowhere")
    (run / "train.log").touch()
    assert begun(run)


def test_a_link_on_the_way_to_a_run_is_refused(tmp_path):
    outside, sweep = tmp_path / "outside", tmp_path / "sweep"
    make(outside / "0"), sweep.mkdir()
    (sweep / "a").symlink_to(outside)
    with pytest.raises(ConfigError, match="a is a link"):
        require_own_runs(sweep, [sweep / "a" / "0"])
    require_own_runs(sweep, [sweep / "b" / "0"])


def test_a_plan_of_old_with_plain_numbers_is_read(tmp_path):
    (tmp_path / "sweep.json").write_text(json.dumps({"runs": ["0", "1"], "batches": [[0, 1]]}))
    assert runs_of(tmp_path) == [tmp_path / "0", tmp_path / "1"]
