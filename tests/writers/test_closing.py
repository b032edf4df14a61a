"""What is printed when a run ends: its metrics and what they are, and where the time went."""

import io

import pytest
from rich.console import Console

from ganrun.evaluation.metrics.spec import spec_of
from ganrun.training.stopwatch import time_line
from ganrun.writers.closing import as_lines, metric_rows
from ganrun.writers.console import Messages
from ganrun.writers.newest import Newest

VALUES = {
    "D(x)": 0.51234,
    "loss/generator": 0.7,
    "grad_norm/generator": 1.0,
    "steps_per_second": 99.0,
    "jsd/exact": 0.30574,
    "jsd/exact_error": 0.002,
    "jsd/probe": 0.27312,
    "jsd/probe_se": 0.0036,
    "jsd/probe_lower": 0.26,
    "kl/forward": None,  # infinite
    "modes/covered": 8.0,
}


def rows():
    newest = Newest()
    newest.see(400, {"jsd/probe": 0.27312})
    newest.see(800, {"jsd/exact": 0.30574, "D(x)": 0.51234})
    return metric_rows(VALUES, newest, 800)


def test_the_divergences_come_first_and_each_metric_has_its_unit_and_meaning():
    found = {tag: (value, meaning) for tag, value, meaning in rows()}
    assert list(found) == ["jsd/exact", "jsd/probe", "kl/forward", "modes/covered", "D(x)"]
    assert found["jsd/exact"][0] == "0.306 ± 0.002 nats"
    assert found["jsd/probe"][0] == "≥ 0.273 ± 0.004 nats (step 400)"  # older than the end
    assert found["kl/forward"][0] == "inf nats"
    assert found["modes/covered"][0] == "8" and found["D(x)"][0] == "0.5123"
    for tag, (_, meaning) in found.items():
        spec = spec_of(tag)
        assert spec is not None and meaning == spec.meaning


def test_plain_lines_have_columns():
    header, *lines = as_lines(rows())
    places = {line.index(row[2]) for line, row in zip(lines, rows(), strict=True)}
    assert places == {header.index("what it is")}
    assert all(line == line.rstrip() for line in lines)


def test_a_log_gets_plain_lines_and_a_terminal_a_table(tmp_path, capsys):
    messages = Messages(tmp_path)
    messages.table(rows())
    printed = capsys.readouterr().out.splitlines()
    messages.console = Console(file=io.StringIO(), force_terminal=True, width=60, legacy_windows=False)
    messages.table(rows())
    messages.close()
    log = [line[20:] for line in (tmp_path / "train.log").read_text(encoding="utf-8").splitlines()]
    assert printed == as_lines(rows()) == log[: len(log) // 2] == log[len(log) // 2 :]
    shown = messages.console.file.getvalue().splitlines()
    assert "\x1b[1m" in shown[0] and max(map(len, shown[1:])) <= 60  # as wide as the terminal
    assert any("jsd/exact" in line and "0.306 ± 0.002 nats" in line for line in shown)


def test_one_of_many_runs_keeps_its_table_to_its_log(tmp_path, capsys):
    messages = Messages(tmp_path, name="sweep/3")
    messages.table(rows())
    messages.close()
    assert capsys.readouterr().out == "" and "jsd/exact" in (tmp_path / "train.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("split", "beside", "text"),
    [
        (
            {"compiling": 2.0, "training": 10.04, "writing": 0.01, "other": 0.3},
            0.0,
            "compiling 2.0 s, training 10.0 s, other 0.3 s",
        ),
        (
            {"training": 3.0, "evaluating": 1.0},
            4.0,
            "training 3.0 s, evaluating 1.0 s; 4.0 s more of evaluating overlapped with training",
        ),
        ({}, -1.0, "less than 0.1 s"),
    ],
)
def test_the_time_is_told_by_part(split, beside, text):
    assert time_line(split, beside) == text
