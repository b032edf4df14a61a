"""The picture of curves: a PNG with a panel for each metric, and in it the means over runs with their bands."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ganrun.comparison import curves as module
from ganrun.comparison.curves import curves
from ganrun.comparison.groups import Group
from ganrun.comparison.runs import Run
from ganrun.comparison.statistics import mean_interval

T1, T2 = 12.706205, 4.302653  # Student's t at 97.5 % with one and two degrees of freedom


@pytest.fixture
def write(tmp_path):
    """Return a function that makes a group of runs from the rows of their metrics."""

    def written(name: str, *runs: list[dict[str, Any]], failed: int = 0) -> Group:
        made = []
        for i, rows in enumerate(runs):
            folder = tmp_path / name / str(i)
            folder.mkdir(parents=True)
            (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
            made.append(Run(folder, {}, "failed" if i >= len(runs) - failed else "completed", {}))
        return Group({"loss": name}, made)

    return written


@pytest.fixture
def figures(monkeypatch) -> list[Figure]:
    """Keep the figures that become pictures."""
    kept: list[Figure] = []
    to_png = module.to_png

    def keep(figure: Figure) -> bytes:
        kept.append(figure)
        return to_png(figure)

    monkeypatch.setattr(module, "to_png", keep)
    return kept


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    with Image.open(io.BytesIO(png)) as picture:
        picture.load()
        return picture.size


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.axison]


def points(figure: Figure, panel: int = 0, line: int = 0) -> list[list[float]]:
    """The points of a curve as it is drawn."""
    return figure.axes[panel].get_lines()[line].get_xydata().tolist()  # type: ignore[union-attr]


def band(figure: Figure, step: float) -> tuple[float, float]:
    """Where the first band of the first panel lies at ``step``."""
    vertices = np.concatenate([path.vertices for path in figure.axes[0].collections[0].get_paths()])
    heights = vertices[vertices[:, 0] == step, 1]
    return float(heights.min()), float(heights.max())


def banded(figure: Figure) -> set[float]:
    """The steps over which the first band of the first panel lies."""
    return {step for path in figure.axes[0].collections[0].get_paths() for step in path.vertices[:, 0].tolist()}


ROWS = [{"step": 10, "a": 1.0, "b": 5.0, "c": 0.1, "d": 2.0}, {"step": 20, "a": 2.0, "b": 4.0, "c": 0.2, "d": 3.0}]


@pytest.mark.parametrize(
    ("tags", "pixels"),
    # 4.5 by 3.2 inches a panel at 110 dots, three panels a row, and 0.6 inches for the legend.
    [("a", (495, 418)), ("ab", (990, 418)), ("abc", (1485, 418)), ("abcd", (1485, 770))],
)
def test_the_picture_is_a_png_with_a_panel_for_each_metric(write, figures, tags, pixels):
    assert size(curves([write("hinge", ROWS)], list(tags))) == pixels
    (figure,) = figures
    assert titles(figure) == list(tags)
    assert [axes.get_xlabel() for axes in figure.axes if axes.axison] == ["step"] * len(tags)


def test_each_panel_has_its_metric_of_each_group(write, figures):
    curves([write("hinge", ROWS), write("minimax", [{"step": 5, "a": 7.0}])], ["a", "b"])
    assert points(figures[0]) == [[10, 1], [20, 2]]
    assert points(figures[0], line=1) == [[5, 7]]
    assert points(figures[0], panel=1) == [[10, 5], [20, 4]]
    assert points(figures[0], panel=1, line=1) == []


def test_a_curve_is_the_mean_of_the_runs_in_the_band_of_its_interval(write, figures):
    # At step 10: 1, 2, 3 has the mean 2 and s = 1. At step 20 all agree, so there is no interval; at 30 one is alone.
    runs = [[{"step": 10, "a": value}, {"step": 20, "a": 4.0}] for value in (1.0, 2.0, 3.0)]
    runs[0].append({"step": 30, "a": 5.0})
    curves([write("hinge", *runs)], ["a"])
    assert points(figures[0]) == [[10, 2], [20, 4], [30, 5]]
    assert band(figures[0], 10) == pytest.approx((2 - T2 / math.sqrt(3), 2 + T2 / math.sqrt(3)), rel=1e-6)
    assert banded(figures[0]) == {10}


def test_a_curve_of_one_point_has_a_marker_and_others_have_none(write, figures):
    curves([write("hinge", [{"step": 10, "a": 1.0, "b": 1.0}, {"step": 20, "a": 2.0}])], ["a", "b"])
    assert [axes.lines[0].get_marker() for axes in figures[0].axes[:2]] == ["", "o"]


def test_a_band_ends_at_the_bounds_of_the_metric(write, figures):
    # The means are 0.02 and 0.67, s / sqrt n is 0.01, and T1 times that is more than 0.02 and than log 2 - 0.67.
    values = ((0.01, 0.66), (0.03, 0.68))
    runs = [[{"step": 10 * (i + 1), "jsd/exact": value} for i, value in enumerate(row)] for row in values]
    curves([write("hinge", *runs)], ["jsd/exact"])
    assert band(figures[0], 10) == pytest.approx((0.0, 0.02 + T1 * 0.01), rel=1e-6)
    assert band(figures[0], 20) == pytest.approx((0.67 - T1 * 0.01, math.log(2)), rel=1e-6)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_band_is_that_of_the_chosen_interval(write, figures, level):
    values = (0.1, 0.25, 0.32, 0.47, 2.9)
    curves([write("hinge", *([{"step": 10, "a": value}] for value in values))], ["a"], level, "bootstrap")
    expected = mean_interval(np.array(values), level, "bootstrap")
    assert band(figures[0], 10) == pytest.approx((expected.low, expected.high), rel=1e-6)
    student = mean_interval(np.array(values), level)
    assert abs(student.low - expected.low) > 0.05  # they can be told apart


def test_runs_that_do_not_count_are_not_drawn(write, figures):
    one = write("hinge", *([{"step": 10, "a": value}] for value in (1.0, 2.0, 6.0, 900.0)))
    for run, status in zip(one.runs, ("completed", "stopped", "running", "pruned"), strict=True):
        object.__setattr__(run, "status", status)
    curves([one], ["a"])
    one.unfinished = True
    curves([one], ["a"])
    assert [points(figure) for figure in figures] == [[[10, 1]], [[10, 3]]]


def test_a_long_curve_has_all_its_points_and_a_band_over_all_its_length(write, figures):
    runs = [[{"step": step, "a": step + value} for step in range(1, 1002)] for value in (0.0, 1.0, 2.0)]
    curves([write("hinge", *runs)], ["a"], interval="bootstrap")
    assert points(figures[0]) == [[step, step + 1] for step in range(1, 1002)]
    steps = sorted(banded(figures[0]))
    assert steps == list(range(1, 1002, 2))  # every second of 1001: about 400
    assert band(figures[0], 501)[0] < 502 < band(figures[0], 501)[1]


def test_the_band_follows_the_level(write, figures):
    runs = [[{"step": 10, "a": value}, {"step": 20, "a": 4.0}] for value in (1.0, 2.0, 3.0)]
    curves([write("hinge", *runs)], ["a"], 0.9)
    assert band(figures[0], 10) == pytest.approx((2 - 2.919986 / math.sqrt(3), 2 + 2.919986 / math.sqrt(3)), rel=1e-6)


def test_failed_runs_and_infinite_values_are_left_out(write, figures):
    runs = [[{"step": 10, "a": 1.0}, {"step": 20, "a": None}], [{"step": 10, "a": 3.0}, {"step": 20, "a": 5.0}]]
    curves([write("hinge", *runs, [{"step": 10, "a": 900.0}], failed=1)], ["a"])
    assert points(figures[0]) == [[10, 2], [20, 5]]


def test_runs_that_have_come_to_different_steps_share_those_they_have(write, figures):
    curves([write("hinge", [{"step": 20, "a": 1.0}, {"step": 30, "a": 3.0}], [{"step": 10, "a": 9.0}, ROWS[1]])], ["a"])
    assert points(figures[0]) == [[10, 9], [20, 1.5], [30, 3]]


def test_groups_have_a_legend_unless_there_is_one_or_too_many(write, figures):
    groups = [write(f"loss {i}", ROWS) for i in range(11)]
    for some in (groups[:1], groups[:2], groups[:10], groups):
        size(curves(some, ["a"]))
    named = [[text.get_text() for legend in figure.legends for text in legend.get_texts()] for figure in figures]
    assert named == [[], ["loss=loss 0", "loss=loss 1"], [f"loss=loss {i}" for i in range(10)], []]


@pytest.mark.parametrize(
    ("length", "panels", "beside"),
    # 50 letters beneath a panel, with 8 for the line and the space around each label.
    [(17, 1, 2), (18, 1, 1), (17, 3, 6), (17, 4, 6), (60, 1, 1)],
)
def test_a_legend_has_as_many_columns_as_fit_beneath_the_panels(write, figures, length, panels, beside):
    groups = [write("a" * (length - len("loss=")), ROWS), write("b", ROWS)]
    curves(groups, list("abcd")[:panels])
    (legend,) = figures[0].legends
    assert legend._ncols == beside and not legend.get_frame_on()


def test_steps_are_whole_numbers_and_few(write, figures):
    curves([write("hinge", [{"step": step, "a": 1.0} for step in (1, 2, 3)])], ["a"])
    (axes,) = figures[0].axes
    ticks = axes.xaxis.get_major_locator().tick_values(0, 5)
    assert [float(one) for one in ticks] == [0, 1, 2, 3, 4, 5]
    assert len(axes.xaxis.get_major_locator().tick_values(0, 1)) < 4  # no halves
    assert len(axes.xaxis.get_major_locator().tick_values(0, 9)) == 6  # by twos: five spaces at most


@pytest.mark.parametrize(
    ("values", "scale"),
    [((0.01, 1.0), "linear"), ((0.01, 1.01), "log"), ((0.0, 1.0), "linear"), ((-1.0, 1000.0), "linear")],
)
def test_more_than_two_decades_of_means_above_zero_have_a_logarithmic_axis(write, figures, values, scale):
    rows = [{"step": i, "a": value} for i, value in enumerate(values)]
    curves([write("hinge", rows), write("empty")], ["a"])
    assert figures[0].axes[0].get_yscale() == scale


@pytest.mark.parametrize(("steps", "banded_steps"), [(3, 3), (799, 799), (800, 400), (1200, 400)])
def test_a_band_has_all_steps_of_a_short_curve_and_hundreds_of_a_long_one(write, figures, steps, banded_steps):
    runs = [[{"step": step, "a": step + value} for step in range(steps)] for value in (0.0, 1.0)]
    curves([write("hinge", *runs)], ["a"])
    assert len(banded(figures[0])) == banded_steps


def test_groups_with_nothing_to_show_are_a_picture_all_the_same(write, figures):
    size(curves([write("empty", []), write("none"), write("unfinished", [{"step": 1, "a": None}])], ["a", "b"]))
    assert titles(figures[0]) == ["a", "b"]


def test_a_setting_may_have_any_text(write, tmp_path):
    folder = Path(tmp_path)
    odd = [Group({"name": text}, [Run(folder, {}, "completed", {})]) for text in ("$x", "_hidden", "a_b^c", "100%")]
    size(curves(odd, ["D(x)"]))
