"""Reading runs in whatever state they are. The run directories are made by hand."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path

import pytest
from run_folders import make_run

from ganrun.comparison.runs import Run, chosen_metrics, read_runs
from ganrun.config import registry
from ganrun.config.settings import Train
from ganrun.errors import ConfigError
from ganrun.methods.metric_spec import MetricSpec


@pytest.fixture(scope="module")
def minimax(compose_config) -> Train:
    return compose_config(["loss=minimax", "probe=off"])


def refusal(folder: Path) -> str:
    """The line that refuses the run in ``folder``."""
    with pytest.raises(ConfigError) as caught:
        for run in read_runs([str(folder)]):
            run.curve("w1")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# One run


def test_a_run_is_its_settings_its_status_and_its_last_numbers(tmp_path, minimax):
    config = dataclasses.replace(minimax, seed=7, steps=20)
    rows = [{"step": 10, "D(x)": 0.75, "jsd/exact": 0.3}, {"step": 20, "D(x)": 0.625}]
    folder = make_run(tmp_path / "a", config, {"D(x)": 0.5, "jsd/exact": 0.25}, rows=rows)
    (run,) = read_runs([str(folder)])
    assert (run.folder, run.status, run.failed) == (folder.resolve(), "completed", False)
    assert run.last == {"D(x)": 0.5, "jsd/exact": 0.25}
    expected = {"seed": 7, "steps": 20, "loss.name": "minimax", "dataset.name": "ring", "latent.dim": 2}
    assert expected.items() <= run.settings.items()
    assert run.curve("D(x)") == ([10, 20], [0.75, 0.625])
    assert run.curve("jsd/exact") == ([10], [0.3])
    assert run.curve("w1") == ([], [])


@pytest.mark.parametrize("status", ["completed", "stopped", "failed", "pruned", "running"])
def test_a_run_has_failed_or_been_pruned_or_finished_or_may_go_on(tmp_path, minimax, status):
    (run,) = read_runs([str(make_run(tmp_path / "a", minimax, {"w1": 1.0}, status))])
    assert (run.status, run.failed) == (status, status == "failed")
    assert (run.pruned, run.finished) == (status == "pruned", status == "completed")
    assert run.unfinished == (status in ("stopped", "running"))


def test_a_run_without_a_summary_is_running_and_has_come_as_far_as_its_last_rows(tmp_path, minimax):
    rows = [{"step": 10, "D(x)": 0.7, "jsd/exact": 0.3}, {"step": 20, "D(x)": 0.6}, {"step": 30, "D(x)": None}]
    (run,) = read_runs([str(make_run(tmp_path / "a", minimax, rows=rows))])
    assert (run.status, run.failed, run.unfinished) == ("running", False, True)
    assert run.last == {"D(x)": math.inf, "jsd/exact": 0.3}


def test_a_run_that_has_written_nothing_yet_has_no_numbers(tmp_path, minimax):
    (run,) = read_runs([str(make_run(tmp_path / "a", minimax))])
    assert (run.status, run.last, run.curve("D(x)")) == ("running", {}, ([], []))


@pytest.mark.parametrize("torn", [b'{"step": 30, "D(x)": 0.', b"{", b'{"step": 30, "D(x)": 0.1}', b"\xce"])
def test_a_line_that_is_being_written_is_left_alone(tmp_path, minimax, torn):
    folder = make_run(tmp_path / "a", minimax, rows=[{"step": 20, "D(x)": 0.6}])
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(torn)
    (run,) = read_runs([str(folder)])
    assert run.last == {"D(x)": 0.6}
    assert run.curve("D(x)") == ([20], [0.6])


def test_only_a_torn_line_is_nothing_yet(tmp_path, minimax):
    folder = make_run(tmp_path / "a", minimax)
    (folder / "metrics.jsonl").write_text('{"step": 10, "D(')
    assert read_runs([str(folder)])[0].last == {}


def test_null_is_infinite(tmp_path, minimax):
    rows = [{"step": 10, "kl/exact": None}, {"step": 20, "kl/exact": 2.5}]
    (run,) = read_runs([str(make_run(tmp_path / "a", minimax, {"kl/exact": None, "D(x)": 0.5}, rows=rows))])
    assert run.last == {"kl/exact": math.inf, "D(x)": 0.5}
    assert run.curve("kl/exact") == ([10, 20], [math.inf, 2.5])


DAMAGED_LINES = {
    "cut": b'{"step": 20, "D(x)": 0.',
    "blank": b"",
    "a list": b"[1, 2]",
    "a word": b'"words"',
    "a number": b"20",
    "no step": b'{"D(x)": 0.5}',
    "no number": b'{"step": 20, "D(x)": "high"}',
    "a list for a number": b'{"step": 20, "D(x)": [0.5]}',
    "an infinite step": b'{"step": null, "D(x)": 0.5}',
    "no text": b'{"step": 20, "\xff\xfe": 0.5}',
    "too large a number": b'{"step": 20, "D(x)": 1' + b"0" * 400 + b"}",
    "far too large a number": b'{"step": 20, "D(x)": 1' + b"0" * 5000 + b"}",
}


@pytest.mark.parametrize("line", DAMAGED_LINES.values(), ids=DAMAGED_LINES.keys())
@pytest.mark.parametrize("summary", [None, {"D(x)": 0.5}], ids=["running", "completed"])
def test_a_damaged_line_is_refused_with_its_file_and_number(tmp_path, minimax, monkeypatch, line, summary):
    folder = make_run(tmp_path / "a", minimax, summary)
    whole = [b'{"step": 10, "D(x)": 0.7}', line, b'{"step": 30, "D(x)": 0.5}']
    (folder / "metrics.jsonl").write_bytes(b"".join(text + b"\n" for text in whole))
    monkeypatch.chdir(tmp_path)
    assert refusal(folder).startswith(f"{Path('a', 'metrics.jsonl')}, line 2, cannot be read: ")


DAMAGED_SUMMARIES = {
    "empty": b"",
    "cut": b'{"status": "comple',
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "no status": b'{"metrics": {}}',
    "no metrics": b'{"status": "completed"}',
    "metrics are null": b'{"status": "completed", "metrics": null}',
    "metrics are a number": b'{"status": "completed", "metrics": 1}',
    "a metric is a word": b'{"status": "completed", "metrics": {"D(x)": "high"}}',
    "a metric is a list": b'{"status": "completed", "metrics": {"D(x)": [1]}}',
    "a metric is too large": b'{"status": "completed", "metrics": {"D(x)": 1' + b"0" * 400 + b"}}",
    "no text": b'{"status": "\xff\xfe", "metrics": {}}',
}


@pytest.mark.parametrize("content", DAMAGED_SUMMARIES.values(), ids=DAMAGED_SUMMARIES.keys())
def test_a_damaged_summary_is_refused_with_its_file(tmp_path, minimax, monkeypatch, content):
    folder = make_run(tmp_path / "a", minimax, {"D(x)": 0.5})
    (folder / "summary.json").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    assert refusal(folder).startswith(f"{Path('a', 'summary.json')} cannot be read: ")


def test_a_damaged_config_is_refused_with_its_file(tmp_path, minimax):
    folder = make_run(tmp_path / "a", minimax, {})
    (folder / "config.yaml").write_text("loss: [")
    assert str(folder.resolve() / "config.yaml") in refusal(folder)


# Where runs are


def test_a_sweep_is_all_its_runs_in_the_order_of_its_plan(tmp_path, minimax):
    for i in range(11):
        make_run(tmp_path / "sweep" / str(i), minimax, {"w1": float(i)})
    plan = {"runs": [str(i) for i in range(11)], "batches": [list(range(11))]}
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps(plan))
    assert [run.last["w1"] for run in read_runs([str(tmp_path / "sweep")])] == list(range(11))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"runs": 3}', '{"runs": [1]}', '{"runs": ["../other"]}'])
def test_a_damaged_plan_is_refused_with_its_file(tmp_path, minimax, content):
    make_run(tmp_path / "sweep" / "0", minimax, {})
    (tmp_path / "sweep" / "sweep.json").write_text(content)
    assert str(tmp_path / "sweep" / "sweep.json") in refusal(tmp_path / "sweep")


def test_a_run_of_the_plan_that_is_gone_is_refused(tmp_path, minimax):
    make_run(tmp_path / "sweep" / "0", minimax, {})
    (tmp_path / "sweep" / "sweep.json").write_text('{"runs": ["0", "1"], "batches": [[0, 1]]}')
    assert str(Path("sweep", "1", "config.yaml")) in refusal(tmp_path / "sweep")


def test_a_folder_is_all_the_runs_below_it(tmp_path, minimax):
    for name in ("b", "a", "deep/down"):
        make_run(tmp_path / name, minimax, {"w1": 0.0})
    found = [run.folder for run in read_runs([str(tmp_path)])]
    assert found == [(tmp_path / name).resolve() for name in ("a", "b", "deep/down")]


def test_a_run_that_is_named_in_many_ways_counts_once(tmp_path, minimax, monkeypatch):
    make_run(tmp_path / "sweep" / "0", minimax, {"w1": 0.0})
    make_run(tmp_path / "sweep" / "1", minimax, {"w1": 1.0})
    monkeypatch.chdir(tmp_path)
    ways = ["sweep/1", "sweep", ".", str(tmp_path), str(tmp_path / "sweep" / "1"), "sweep/../sweep/0"]
    assert [run.last["w1"] for run in read_runs(ways)] == [1.0, 0.0]
    (tmp_path / "sweep" / "sweep.json").write_text('{"runs": ["0", "1"], "batches": [[0, 1]]}')
    assert [run.last["w1"] for run in read_runs(["sweep", *ways])] == [0.0, 1.0]


def test_latest_is_the_newest_run_or_the_sweep_that_it_is_of(tmp_path, minimax, monkeypatch):
    for when, name in ((3_000, "outputs/sweeps/x/0"), (1_000, "outputs/sweeps/x/1"), (2_000, "outputs/single")):
        folder = make_run(tmp_path / name, minimax, {"w1": float(when)})
        os.utime(folder / "config.yaml", (when, when))
    monkeypatch.chdir(tmp_path)
    assert [run.last["w1"] for run in read_runs(["latest"])] == [3_000]
    (tmp_path / "outputs/sweeps/x/sweep.json").write_text('{"runs": ["0", "1"], "batches": [[0, 1]]}')
    assert [run.last["w1"] for run in read_runs(["latest"])] == [3_000, 1_000]


def test_a_folder_without_runs_and_no_folder_at_all_are_refused(tmp_path, minimax):
    make_run(tmp_path / "first-run", minimax, {})
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    assert f"{tmp_path / 'empty'} holds no run" in refusal(tmp_path / "empty")
    assert f"Did you mean '{tmp_path / 'first-run'}'?" in refusal(tmp_path / "frist-run")


# Metrics


def run_with(*tags: str, failed: bool = False) -> Run:
    return Run(Path(), {}, "failed" if failed else "completed", dict.fromkeys(tags, 1.0))


def test_the_usual_metrics_are_those_that_some_run_has():
    runs = [run_with("loss/generator", "D(G(z))", "D(x)"), run_with("critic/fake", "modes/covered", "jsd/exact")]
    assert chosen_metrics([], runs) == ["jsd/exact", "modes/covered", "D(x)", "D(G(z))", "critic/fake"]


@pytest.fixture
def norm(monkeypatch):
    """A metric of the user's own, with a tag, one without a direction, and a family."""
    specs = (
        MetricSpec("samples/norm", "mean norm", better="lower", shown=("line",)),
        MetricSpec("samples/norm_se", "its standard error"),
        MetricSpec("norm/*", "by class", better="lower"),
    )
    option = type("Norm", (), {"SPECS": specs})
    monkeypatch.setitem(registry._options["metric"], "norm", option)


def test_a_metric_that_only_runs_with_their_own_choice_of_metrics_have_is_compared(norm):
    runs = [run_with("samples/norm_se", "norm/class_1", "norm/class_0", "samples/norm", "D(x)", "modes/kl")]
    assert chosen_metrics([], runs) == ["D(x)", "samples/norm", "norm/class_1", "norm/class_0"]
    assert chosen_metrics([], [run_with("D(x)", "w1", "modes/kl")]) == ["D(x)"]  # the defaults stay as they were


def test_without_a_usual_metric_the_first_four_are_taken():
    assert chosen_metrics([], [run_with("e", "d"), run_with("d", "c", "b", "a")]) == ["e", "d", "c", "b"]
    assert chosen_metrics([], [run_with()]) == []


def test_metrics_that_are_asked_for_come_in_that_order():
    assert chosen_metrics(["w1", "D(x)"], [run_with("D(x)", "jsd/exact"), run_with("w1")]) == ["w1", "D(x)"]


def test_a_metric_that_no_run_has_is_answered_with_the_closest():
    with pytest.raises(ConfigError) as caught:
        chosen_metrics(["jsd/exakt"], [run_with("D(x)", "jsd/exact")])
    told = "no run has the metric 'jsd/exakt'. Did you mean 'jsd/exact'? They have D(x), jsd/exact."
    assert str(caught.value) == told
    with pytest.raises(ConfigError, match="They have none yet"):
        chosen_metrics(["w1"], [run_with()])
