"""``ganrun compare``: its command line, what it refuses and what it writes, on run directories made by hand."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ganrun.commands import compare
from ganrun.storage.run_directory import save_config
from ganrun.writers.console import Terminal

T2 = 4.302653  # Student's t at 97.5 % with two degrees of freedom; 12.706205 with one
REAL = {"hinge": (0.4, 0.5, 0.6), "minimax": (0.9, 0.7, 0.8)}
DISTANCE = {"hinge": (0.1, 0.2, 0.3), "minimax": (0.6, 0.8, None)}  # the third run of minimax failed
KEYS = ["loss", "runs", "failed", *(f"jsd/exact {what}" for what in ("n", "mean", "low", "high", "best"))]


@pytest.fixture(scope="module")
def make_run(compose_config):
    """Return a function that writes a run directory."""
    configs = {loss: compose_config([f"loss={loss}", "probe=off"]) for loss in ("hinge", "minimax")}

    def make(folder: Path, loss: str, seed: int, summary: dict[str, Any] | None, rows: list[dict[str, Any]]) -> None:
        folder.mkdir(parents=True)
        save_config(dataclasses.replace(configs[loss], seed=seed), folder)
        if summary is not None:
            (folder / "summary.json").write_text(json.dumps(summary))
        (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    return make


@pytest.fixture(scope="module")
def results(make_run, tmp_path_factory) -> Path:
    """A folder with the runs of two losses, three seeds each; the last of minimax has failed."""
    cwd = tmp_path_factory.mktemp("results")
    for loss in ("minimax", "hinge"):
        for seed, (real, distance) in enumerate(zip(REAL[loss], DISTANCE[loss], strict=True)):
            rows = [{"step": step, "D(x)": real + step / 100, "jsd/exact": distance} for step in (10, 20)]
            status = "failed" if distance is None else "completed"
            summary = {"status": status, "steps": 20, "metrics": {"D(x)": real, "jsd/exact": distance}}
            make_run(cwd / "runs" / f"{loss}{seed}", loss, seed, summary, rows)
    make_run(cwd / "fresh", "hinge", 0, None, [])
    for name in ("word", "gone"):
        make_run(cwd / name, "hinge", 0, None, [])
    (cwd / "word" / "metrics.jsonl").write_text('{"step": 1, "w1": "high"}\n')
    (cwd / "gone" / "summary.json").write_text("{")
    (cwd / "empty").mkdir()
    return cwd


@pytest.fixture
def sweep(make_run, tmp_path) -> Path:
    """A folder with a sweep of two runs, one still at work."""
    rows = [{"step": 10, "D(x)": 0.9}, {"step": 20, "D(x)": 0.7}]
    make_run(tmp_path / "sweep" / "0", "hinge", 0, {"status": "completed", "metrics": {"D(x)": 0.5}}, rows)
    make_run(tmp_path / "sweep" / "1", "hinge", 1, None, rows)
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps({"runs": ["0", "1"], "batches": [[0, 1]]}))
    with (tmp_path / "sweep" / "1" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 30, "D(x)": 0.')
    return tmp_path


def numbers(record: dict[str, Any]) -> list[float]:
    return [float(record[f"jsd/exact {what}"]) for what in ("mean", "low", "high", "best")]


# 0.1, 0.2, 0.3 have s = 0.1; 0.6, 0.8 have s / sqrt 2 = 0.1.
# T2 * 0.1 / sqrt 3 is 0.248, 12.706 * 0.1 is 1.27: three of the ends are beyond 0 and log 2, where no divergence is.
HINGE = [0.2, 0.0, 0.2 + T2 * 0.1 / math.sqrt(3), 0.1]
MINIMAX = [0.7, 0.0, math.log(2), 0.6]


# What it prints


def test_text_is_a_table_for_each_metric_and_the_differences(results, inside, listing):
    before = listing(results)
    done = inside("compare", "runs", cwd=results)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert lines[0] == ["jsd/exact"] and ["D(x)"] in lines
    rows = [line for line in lines if line[0] in ("hinge", "minimax")]
    assert rows[0] == ["hinge", "3", "0", "3", "0.2", "0", "to", "0.4484", "0.1"]
    assert rows[1] == ["minimax", "3", "1", "2", "0.7", "0", "to", "0.6931", "0.6"]
    assert rows[2] == ["hinge", "3", "0", "3", "0.5", "0.2516", "to", "0.7484"]
    assert rows[3][:5] == ["minimax", "3", "1", "2", "0.8"]
    assert done.stdout.splitlines()[-1].startswith("  loss=hinge minus loss=minimax: -0.5 [")
    assert listing(results) == before


def test_json_is_one_object_with_the_numbers_worked_out_by_hand(results, inside):
    done = inside("compare", "runs", "metrics=[jsd/exact]", "format=json", cwd=results)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    told = json.loads(done.stdout)
    hinge, minimax = told["groups"]
    assert list(hinge) == KEYS
    assert (hinge["loss"], minimax["loss"], minimax["runs"], minimax["failed"]) == ("hinge", "minimax", 3, 1)
    assert numbers(hinge) == pytest.approx(HINGE) and numbers(minimax) == pytest.approx(MINIMAX)
    assert [gap["difference"] for gap in told["differences"]] == pytest.approx([-0.5])


def test_csv_is_a_row_for_each_group(results, inside):
    done = inside("compare", "runs", "metrics=[jsd/exact]", "format=csv", cwd=results)
    hinge, minimax = csv.DictReader(io.StringIO(done.stdout))
    assert list(hinge) == KEYS and (hinge["loss"], minimax["failed"]) == ("hinge", "1")
    assert numbers(hinge) == pytest.approx(HINGE) and numbers(minimax) == pytest.approx(MINIMAX)


def test_what_a_csv_has_no_place_for_is_told_on_standard_error(sweep, results, inside):
    done = inside("compare", "sweep", "format=csv", cwd=sweep)
    told = "1 run has not finished (running or stopped): left out (unfinished=true counts them)"
    assert done.returncode == 0 and done.stderr == f"ganrun: not in the table: {told}\n"
    assert inside("compare", "runs", "metrics=[jsd/exact]", "format=csv", cwd=results).stderr == ""


def test_markdown_is_a_table(results, inside):
    done = inside("compare", "runs", "metrics=jsd/exact", "format=markdown", cwd=results)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["**jsd/exact**", ""]
    assert lines[2] == "| loss | runs | failed | n | mean | 0.95 interval | best |"
    assert lines[4] == "| hinge | 3 | 0 | 3 | 0.2 | 0 to 0.4484 | 0.1 |"


def test_runs_that_differ_in_nothing_have_no_differences(results, inside):
    done = inside("compare", "runs/hinge0", "runs/hinge1", "metrics=jsd/exact", "format=json", cwd=results)
    told = json.loads(done.stdout)
    assert told["differences"] == [] and len(told["groups"]) == 1
    assert told["groups"][0]["jsd/exact mean"] == pytest.approx(0.15)
    assert "loss" not in told["groups"][0]


def test_a_folder_that_is_named_like_a_setting_is_a_run(make_run, inside, tmp_path) -> None:
    make_run(tmp_path / "loss=hinge", "hinge", 0, {"status": "completed", "metrics": {"D(x)": 0.5}}, [])
    done = inside("compare", "loss=hinge", "metrics=[D(x)]", "format=json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["groups"][0]["D(x) mean"] == 0.5


def test_a_sweep_is_compared_while_it_continues(sweep, inside):
    for words in (["sweep"], [".", "sweep/1", "sweep/../sweep/0"]):
        done = inside("compare", *words, "format=json", cwd=sweep)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        (one,) = json.loads(done.stdout)["groups"]
        assert (one["runs"], one["unfinished"], one["D(x) mean"]) == (2, 1, 0.5)  # of that which has finished
        assert one["D(x) low"] is None
        done = inside("compare", *words, "format=json", "unfinished=true", "level=0.5", cwd=sweep)
        (one,) = json.loads(done.stdout)["groups"]
        assert (one["runs"], one["unfinished"]) == (2, 1)
        assert one["D(x) mean"] == pytest.approx(0.6)  # 0.5 and, of the last whole row, 0.7
        assert one["D(x) high"] == pytest.approx(0.6 + 0.1)  # Student's t at 75 % with one degree of freedom is 1
        assert one["D(x) best"] is None


def test_runs_that_do_not_count_are_reported_in_a_line(sweep, inside):
    shutil.copytree(sweep / "sweep" / "0", sweep / "copy")
    lines = inside("compare", "sweep", "copy", cwd=sweep).stdout.splitlines()
    assert lines[2].split() == ["runs", "failed", "unfinished", "repeated", "n", "mean", "0.95", "interval", "best"]
    assert lines[4].split() == ["2", "0", "1", "1", "1", "0.5"]
    assert lines[-2:] == [
        "note: 1 run has not finished (running or stopped): left out (unfinished=true counts them)",
        "note: 1 run repeats another's settings and seed and is not counted: copy",
    ]


def test_the_infinite_makes_no_noise(make_run, inside, tmp_path):
    for seed, value in enumerate((None, 1.0)):
        make_run(tmp_path / str(seed), "hinge", seed, {"status": "completed", "metrics": {"kl/forward": value}}, [])
        make_run(tmp_path / f"m{seed}", "minimax", seed, {"status": "completed", "metrics": {"kl/forward": 2.0}}, [])
    done = inside("compare", ".", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.strip().startswith(("hinge", "minimax"))]
    assert rows == [["minimax", "2", "0", "2", "2", "no", "variance", "2"], ["hinge", "2", "0", "2", "inf", "1"]]
    assert done.stdout.splitlines()[-1].strip() == (
        "loss=minimax minus loss=hinge: -inf (no interval); probability of improvement 0.5"
    )


def test_the_statistics_can_be_chosen(results, inside):
    def told(*words: str) -> dict[str, Any]:
        return json.loads(inside("compare", "runs", "metrics=jsd/exact", "format=json", *words, cwd=results).stdout)

    narrow = told("level=0.9", "correction=none")
    assert (narrow["level"], narrow["correction"]) == (0.9, "none")
    assert narrow["interval"] == "student"
    assert narrow["groups"][0]["jsd/exact high"] == pytest.approx(0.2 + 2.919986 * 0.1 / math.sqrt(3))
    assert told("interval=bootstrap")["interval"] == "bootstrap"
    resampled = told("interval=bootstrap")["groups"][0]
    assert 0.1 <= resampled["jsd/exact low"] < 0.2 < resampled["jsd/exact high"] <= 0.3


def test_a_table_in_a_pipe_is_as_wide_as_its_rows_unless_columns_are_set(make_run, inside, tmp_path):
    lists = {name: ", ".join([name] * 40) for name in ("8", "16")}  # together wider than any terminal
    for name, units in lists.items():
        make_run(tmp_path / name, "hinge", 0, {"status": "completed", "metrics": {"w1": 0.5}}, [])
        config = tmp_path / name / "config.yaml"
        config.write_text(config.read_text().replace("generator_hidden: []", f"generator_hidden: [{units}]"))
    rows = [line.split() for line in inside("compare", ".", "metrics=w1", cwd=tmp_path).stdout.splitlines()]
    assert ["generator_hidden", "runs", "failed", "n", "mean", "0.95", "interval", "best"] in rows
    for units in lists.values():
        assert [f"[{units.replace(' ', '')}]", "1", "0", "1", "0.5", "0.5"] in rows
    narrow = inside("compare", ".", "metrics=w1", cwd=tmp_path, env={"COLUMNS": "70"}).stdout.splitlines()
    table = narrow[: next(i for i, line in enumerate(narrow) if line.startswith("differences"))]
    assert len(table) > len(rows) and max(map(len, table)) <= 70


DAMAGED = {
    "summary.json": ("summary.json", "{", "summary.json cannot be read: "),
    "metrics.jsonl": ("metrics.jsonl", '{"step": 1, "D(x)": "high"}\n', "metrics.jsonl, line 1, cannot be read: "),
    "config.yaml": ("config.yaml", "loss: [\n", "config.yaml cannot be read: "),
}


@pytest.mark.parametrize(("file", "content", "reason"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_run_is_left_out_and_the_others_are_compared(file, content, reason, results, inside, tmp_path):
    shutil.copytree(results / "runs", tmp_path / "runs")
    whole = json.loads(inside("compare", "runs", "format=json", cwd=tmp_path).stdout)
    shutil.copytree(tmp_path / "runs" / "hinge0", tmp_path / "runs" / "other")
    if file == "metrics.jsonl":
        (tmp_path / "runs" / "other" / "summary.json").unlink()
    (tmp_path / "runs" / "other" / file).write_text(content)
    done = inside("compare", "runs", "format=json", cwd=tmp_path)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("ganrun: runs/other is left out: ") and reason in line
    told = json.loads(done.stdout)
    assert told.pop("notes") == ["1 run cannot be read, so not compared: runs/other"] and whole.pop("notes") == []
    assert told == whole
    text = inside("compare", "runs", cwd=tmp_path).stdout
    assert text.splitlines()[-1] == "note: 1 run cannot be read, so not compared: runs/other"


def test_a_run_without_its_curve_is_left_out_of_a_comparison_with_a_picture_alone(results, inside, tmp_path):
    shutil.copytree(results / "runs", tmp_path / "runs")
    (tmp_path / "runs" / "hinge0" / "metrics.jsonl").write_text("{}\n")
    done = inside("compare", "runs", "format=json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and json.loads(done.stdout)["groups"][0]["runs"] == 3
    done = inside("compare", "runs", "picture=x.png", "format=json", cwd=tmp_path)
    assert done.returncode == 0 and "runs/hinge0 is left out: runs/hinge0/metrics.jsonl, line 1," in done.stderr
    assert json.loads(done.stdout)["groups"][0]["runs"] == 2 and (tmp_path / "x.png").is_file()


def test_where_no_run_can_be_read_the_first_reason_is_the_error(results, inside, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(results / "gone", tmp_path / name)
    done = inside("compare", "a", "b", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ganrun: a/summary.json cannot be read: ") and len(done.stderr.splitlines()) == 1


# Its command line


@pytest.mark.parametrize(
    "word",
    [
        "metrics=[jsd/exact,D(x)]",
        "metrics=[ jsd/exact , D(x) ]",
        "metrics=jsd/exact,D(x)",
        "metrics=['jsd/exact','D(x)']",
    ],
)
def test_metrics_are_typed_with_or_without_quotes(word, results, inside):
    done = inside("compare", word, "runs", "format=markdown", cwd=results)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("**")] == ["**jsd/exact**", "**D(x)**"]


@pytest.mark.parametrize("name", ["it's [1,2] a,b", "${x} 100% #1"])
def test_a_folder_may_have_any_name(name, make_run, inside, tmp_path):
    make_run(tmp_path / name, "hinge", 0, {"status": "completed", "metrics": {"w1": 0.25}}, [])
    done = inside("compare", name, "format=csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "runs,failed,w1 n,w1 mean,w1 low,w1 high,w1 best\n1,0,1,0.25,nan,nan,0.25\n"


def test_paths_can_be_given_as_a_setting(results, inside):
    words = ["paths=[runs/hinge0,runs/minimax0]", "metrics=jsd/exact", "format=csv"]
    table = list(csv.DictReader(io.StringIO(inside("compare", *words, cwd=results).stdout)))
    assert [(row["loss"], row["runs"], row["jsd/exact mean"]) for row in table] == [
        ("hinge", "1", "0.1"),
        ("minimax", "1", "0.6"),
    ]


def test_cfg_and_help_run_nothing(results, inside):
    done = inside("compare", "nowhere", "--cfg", "job", "level=0.9", cwd=results)
    assert done.returncode == 0 and "- nowhere" in done.stdout and "level: 0.9" in done.stdout, done.stderr
    for words in (["--help"], ["runs", "--help"]):
        done = inside("compare", *words, cwd=results)
        assert done.returncode == 0 and "usage: ganrun compare PATH" in done.stdout, done.stderr


def test_completion_offers_the_settings_also_after_the_paths(results, inside, monkeypatch):
    for line in ("ganrun compare me", "ganrun compare runs me"):
        monkeypatch.setenv("COMP_LINE", line)
        assert "metrics" in [word.rstrip("=.") for word in inside("-sc", "query=bash", cwd=results).stdout.split()]


# Files


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        ([], "**jsd/exact**\n\n| loss |"),
        (["format=csv"], "loss,runs,failed,jsd/exact n,jsd/exact mean"),
        (["format=json"], '{\n  "level": 0.95'),
    ],
)
def test_out_writes_the_table_and_prints_nothing(words, begins, results, inside, tmp_path):
    out = tmp_path / "table"
    done = inside("compare", "runs", f"out={out}", *words, cwd=results)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert out.read_text().startswith(begins)


def test_picture_writes_a_png_beside_the_table(sweep, inside, listing):
    before = listing(sweep)
    done = inside("compare", "sweep", "picture=Curves.PNG", "out=table.csv", "format=csv", cwd=sweep)
    assert (done.returncode, done.stdout) == (0, "") and done.stderr.startswith("ganrun: not in the table: 1 run has ")
    assert set(listing(sweep)) - set(before) == {"Curves.PNG", "table.csv"}
    assert (sweep / "Curves.PNG").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    with Image.open(sweep / "Curves.PNG") as picture:
        assert picture.size == (495, 418)  # one panel


def test_a_picture_and_the_table_on_the_terminal(results, inside, tmp_path):
    done = inside("compare", "runs", f"picture={tmp_path / 'curves.png'}", cwd=results)
    assert done.returncode == 0 and "jsd/exact" in done.stdout, done.stderr
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (990, 418)  # two panels


@pytest.mark.parametrize("words", [[], ["interval=bootstrap"], ["level=0.5"]])
def test_the_picture_has_the_interval_and_the_level_of_the_table(words, results, inside, tmp_path, monkeypatch):
    drawn = []

    def keep(*given: Any) -> bytes:
        drawn.append(given[2:])
        return b""

    monkeypatch.setattr("ganrun.comparison.curves.curves", keep)
    table = json.loads(
        inside("compare", "runs", f"picture={tmp_path / 'x.png'}", "format=json", *words, cwd=results).stdout
    )
    assert drawn == [(table["level"], table["interval"])]


def test_a_file_that_cannot_be_written_is_reported(results, inside, listing):
    before = listing(results)
    done = inside("compare", "runs", "out=empty", cwd=results)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "ganrun: cannot write empty: Is a directory.\n")
    assert listing(results) == before


# What it refuses

WRONG = {
    "no paths": ([], ["compare needs runs", "usage: ganrun compare PATH"]),
    "a folder without runs": (["empty"], ["empty holds no run", "config.yaml", "sweep.json"]),
    "a path that is not there": (["rnus"], ["there is no run directory rnus", "Did you mean 'runs'?"]),
    "no run yet": (["latest"], ["there is no run under"]),
    "a name that is too long": (["n" * 300], ["cannot be a folder"]),
    "a run that has come nowhere, in a picture": (
        ["fresh", "picture=x.png"],
        ["no run has come far enough to be compared: 1 running."],
    ),
    "a metric of a run that has come nowhere": (["fresh", "metrics=w1"], ["'w1'", "They have none yet"]),
    "a damaged row": (["word"], [str(Path("word", "metrics.jsonl")), "line 1", "cannot be read"]),
    "a damaged summary": (["gone"], [str(Path("gone", "summary.json")), "cannot be read"]),
    "an unknown metric": (["runs", "metrics=[jsd/exakt]"], ["'jsd/exakt'", "Did you mean 'jsd/exact'?"]),
    "many jobs": (["-m", "runs", "level=0.9,0.95"], ["leave out -m"]),
    "several values without -m": (["runs", "level=0.9,0.95"], ["level=0.9,0.95"]),
    "paths in two ways": (["runs/hinge0", "paths=[runs/hinge1]"], ["as words or as paths=[...]"]),
    "a picture of another kind": (["runs", "picture=curves.pdf"], ["must end in .png, not '.pdf'"]),
    "a picture without an end": (["runs", "picture=curves"], ["must end in .png, not ''"]),
    "a table in a folder that is not there": (["runs", "out=none/table.md"], ["out: there is no folder", "none"]),
    "a picture in a folder that is not there": (["runs", "picture=none/x.png"], ["picture: there is no folder"]),
    "a level beyond one": (["runs", "level=95"], ["level must be greater than 0 and less than 1, not 95"]),
    "an interval that does not exist": (["runs", "interval=studnet"], ["Did you mean 'student'?"]),
    "a misspelt key": (["runs", "metric=[D(x)]"], ["metric"]),
}


@pytest.mark.parametrize(("words", "hints"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_command_line_is_reported_in_a_line_and_leaves_nothing(words, hints, results, inside, listing):
    before = listing(results)
    done = inside("compare", *words, cwd=results)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("ganrun: ") and len(done.stderr.splitlines()) == 1, done.stderr
    for hint in hints:
        assert hint in done.stderr
    assert listing(results) == before


class Left(io.StringIO):
    """A reader that has gone (``ganrun compare runs | true``)."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_reader_that_leaves_is_no_error(results, monkeypatch, capsys):
    noticed = []
    monkeypatch.setattr(Terminal, "on_broken_pipe", lambda self: noticed.append(self))
    with contextlib.chdir(results), contextlib.redirect_stdout(Left()):
        assert compare.main(["runs", "format=json"]) == 0
    assert len(noticed) == 1 and capsys.readouterr().err == ""
