"""The statistics of a sweep, read back as TensorBoard reads them."""

import dataclasses
import json

import numpy as np
import pytest
from board import Board
from run_folders import make_run

from ganrun.comparison.board import write_statistics
from ganrun.comparison.groups import group
from ganrun.comparison.runs import read_runs

T2 = 4.302653  # Student's t at 97.5 % with two degrees of freedom
HINGE = {"D(x)": (0.2, 0.4, 0.6), "jsd/exact": (0.01, 0.02, 0.3)}


@pytest.fixture(scope="module")
def configs(compose_config):
    return {loss: compose_config([f"loss={loss}", "probe=off", "steps=20"]) for loss in ("hinge", "minimax")}


def runs_of(folder, configs, more=()):
    """Three runs of hinge, of which the third has one step more, and one of minimax."""
    for seed in range(3):
        rows = [{"step": 10, **{tag: values[seed] for tag, values in HINGE.items()}}]
        rows += [{"step": 20, "D(x)": 0.5}] if seed == 2 else []
        rows += more
        config = dataclasses.replace(configs["hinge"], seed=seed)
        make_run(folder / f"h{seed}", config, {"D(x)": 0.5}, rows=rows)
    make_run(folder / "m", configs["minimax"], {"D(x)": 0.5}, rows=[{"step": 10, "D(x)": 0.9}])
    return group(read_runs([str(folder / name) for name in ("h0", "h1", "h2", "m")]))


def test_the_mean_and_the_interval_of_a_group_are_three_runs(tmp_path, configs):
    assert write_statistics(runs_of(tmp_path, configs), tmp_path) == 1  # minimax has a single run
    board = Board(tmp_path)
    name = "statistics/0-loss=hinge"
    assert board.runs == {f"{name}/{part}" for part in ("mean", "low", "high")}
    assert board.scalars("D(x)", f"{name}/mean") == [(10, pytest.approx(0.4)), (20, pytest.approx(0.5))]
    half = T2 * 0.2 / np.sqrt(3)  # the standard deviation of 0.2, 0.4 and 0.6 is 0.2; 0.497
    assert board.scalars("D(x)", f"{name}/high") == [
        (10, pytest.approx(0.4 + half, rel=1e-5))
    ]  # one run has no interval
    assert board.scalars("D(x)", f"{name}/low") == [(10, 0.0)]  # the bound of a probability: 0.4 - 0.497 is below
    assert board.scalars("jsd/exact", f"{name}/mean") == [(10, pytest.approx(0.11))]
    assert board.scalars("step", f"{name}/mean") == []


def test_earlier_statistics_are_replaced_and_links_are_not_followed(tmp_path, configs):
    groups = runs_of(tmp_path, configs)
    (tmp_path / "statistics" / "9-old" / "mean").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("kept")
    (tmp_path / "statistics" / "link").symlink_to(tmp_path / "outside")
    write_statistics(groups, tmp_path)
    assert [path.name for path in (tmp_path / "statistics").iterdir()] == ["0-loss=hinge"]
    assert (tmp_path / "outside" / "kept").read_text() == "kept"


def test_the_same_runs_give_the_same_files(tmp_path, configs):
    groups = runs_of(tmp_path, configs)

    def written():
        write_statistics(groups, tmp_path)
        files = (path for path in (tmp_path / "statistics").rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path)): path.read_bytes() for path in files}

    first = written()
    assert len(first) == 3 and written() == first


def test_values_that_are_not_finite_are_left_out(tmp_path, configs):
    groups = runs_of(tmp_path, configs, more=[json.loads('{"step": 30, "kl/forward": null}')])
    write_statistics(groups, tmp_path)
    assert Board(tmp_path).scalars("kl/forward", "statistics/0-loss=hinge/mean") == []


def test_seeds_alone_are_one_group(tmp_path, configs):
    for seed in range(2):
        config = dataclasses.replace(configs["hinge"], seed=seed)
        make_run(tmp_path / str(seed), config, {"D(x)": 0.5}, rows=[{"step": 10, "D(x)": 0.25 + seed / 2}])
    write_statistics(group(read_runs([str(tmp_path / "0"), str(tmp_path / "1")])), tmp_path)
    assert Board(tmp_path).scalars("D(x)", "statistics/all/mean") == [(10, 0.5)]
