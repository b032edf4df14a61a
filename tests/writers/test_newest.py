"""How a divergence is written, and the newest that is known of a run."""

import math

import pytest

from ganrun.writers.base import Entry
from ganrun.writers.console import Lines, Messages, PopulationDisplay
from ganrun.writers.newest import Newest, measured, medians, rounded


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.27312, 0.0036, "0.273 ± 0.004"),
        (0.27312, 0.0361, "0.27 ± 0.04"),
        (0.41, 0.68, "0.4 ± 0.7"),
        (123.4, 5.0, "123 ± 5"),
        (0.0, 0.001, "0.000 ± 0.001"),
        (-0.0012, 0.004, "-0.001 ± 0.004"),
        (0.305742, 1e-7, "0.3057"),  # four digits do not show it
        (0.305742, 0.0, "0.3057"),
        (0.305742, None, "0.3057"),
        (0.305742, math.nan, "0.3057"),
        (math.inf, 0.1, "inf"),
    ],
)
def test_a_value_is_written_to_the_digit_that_its_error_leaves_certain(value, error, text):
    assert rounded(value, error) == text


def test_the_probe_is_written_as_a_bound_and_the_exact_value_is_not():
    values = {"jsd/probe": 0.27312, "jsd/probe_se": 0.0036, "jsd/exact": 0.30574, "jsd/exact_error": 0.002}
    assert measured("jsd/probe", values) == "≥ 0.273 ± 0.004"
    assert measured("jsd/exact", values) == "0.306 ± 0.002"


def test_the_newest_divergence_is_shown_with_its_step_where_that_is_not_this_one():
    newest = Newest()
    newest.see(100, {"jsd/exact": 0.5, "jsd/probe": 0.25, "jsd/probe_se": 0.01, "D(x)": 0.5})
    newest.see(200, {"jsd/exact": 0.125, "D(x)": 0.75})
    assert newest.divergences(200) == ["jsd/exact 0.125", "jsd/probe ≥ 0.25 ± 0.01 (step 100)"]
    assert (newest.value("D(x)"), newest.step("D(x)")) == (0.75, 200)
    assert Newest().divergences(200) == []


def test_a_resumed_run_knows_the_divergence_of_the_sitting_before():
    newest = Newest()
    newest.restore([{"step": 50, "jsd/exact": 0.5}, {"step": 100, "D(x)": 0.5}])
    assert newest.divergences(100) == ["jsd/exact 0.5 (step 50)"]


def lines_of(write, folder, capsys) -> list[str]:
    messages = Messages(folder)
    write(messages)
    messages.close()
    return capsys.readouterr().out.splitlines()


def test_every_milestone_shows_the_divergences(tmp_path, capsys):
    def write(messages):
        lines = Lines(messages, steps=100)
        probed = {"jsd/probe": 0.273, "jsd/probe_se": 0.004}
        lines.write(Entry(40, {"D(x)": 0.5, "jsd/exact": 0.3} | probed, milestone=True))
        lines.write(Entry(50, {"D(x)": 0.5, "jsd/exact": 0.25}))
        lines.write(Entry(60, {"D(x)": 0.5, "steps_per_second": 7.0}, milestone=True))
        lines.close("completed")

    assert lines_of(write, tmp_path, capsys) == [
        "step 40/100  D(x) 0.5  jsd/exact 0.3  jsd/probe ≥ 0.273 ± 0.004",
        "step 60/100  D(x) 0.5  jsd/exact 0.25 (step 50)  jsd/probe ≥ 0.273 ± 0.004 (step 40)  7 steps/s",
    ]


def test_of_many_runs_the_median_is_shown_once_all_have_been_measured(tmp_path, capsys):
    runs = [Newest() for _ in range(3)]

    def write(messages):
        crowd = PopulationDisplay(messages, steps=40, every=20, newest=lambda: runs)
        rows = [{"D(x)": 0.5}] * 3
        for run, exact in zip(runs[:2], (0.5, 0.25), strict=True):
            run.see(10, {"jsd/exact": exact, "jsd/probe": 0.125})
        crowd.rows(20, rows)
        runs[2].see(20, {"jsd/exact": 0.125})
        crowd.rows(40, rows)
        crowd.close()

    assert lines_of(write, tmp_path, capsys) == [
        "step 20/40  3 runs, median:  D(x) 0.5",
        "step 40/40  3 runs, median:  D(x) 0.5  jsd/exact 0.25 (step 10)",
    ]
    assert medians([]) == []
