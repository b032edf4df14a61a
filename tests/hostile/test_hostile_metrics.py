"""Rows and summaries that a stranger wrote: numbers by tag, or refused in one line."""

from __future__ import annotations

import json

import pytest
from stranger import RESUME, in_place_of, seal

COMPARE = ("compare", "stranger")
PICTURE = ("compare", "stranger", "picture=x.png", "metrics=[tag]")

LINES = {
    "too many brackets": b'{"step": 5, "D(x)": ' + 100_000 * b"[",
    "many groups": b'{"step": 5, "D(x)": ' + 100_000 * b'{"a":',
    "a long integer": b'{"step": 5, "D(x)": ' + 5000 * b"9" + b"}",
    "a large integer": b'{"step": 5, "D(x)": 1' + 400 * b"0" + b"}",
    "a large number": b'{"step": 5, "D(x)": 1e999}',
    "a number whose square is none": b'{"step": 5, "D(x)": -1e300}',
    "no number": b'{"step": 5, "D(x)": NaN}',
    "infinity": b'{"step": 5, "D(x)": -Infinity}',
    "no object": b'[["step", 5], ["D(x)", 1]]',
    "a text": b'{"step": 5, "D(x)": "1"}',
    "a step of text": b'{"step": "5", "D(x)": 1}',
    "a step beyond all": b'{"step": 1e300, "D(x)": 1}',
    "a step before all": b'{"step": -1, "D(x)": 1}',
    "a tag that speaks to the terminal": b'{"step": 5, "\\u001b[2J": 1}',
    "a tag of two lines": b'{"step": 5, "a\\nganrun: all is well": 1}',
    "no text": b'{"step": 5, "\xff": 1}',
    "a pickle": b"\x80\x04cos\nsystem\n.",
    "YAML": b"step: !!python/object/apply:os.system [true]",
    "a line of 100 MB": b'{"step": 5, "D(x)": ' + 100_000_000 * b" " + b"1}",
    "a tag of 2 MB": b'{"step": 5, "' + (2 << 20) * b"x" + b'": 1}',
}


def written(stranger, line):
    (stranger / "summary.json").unlink()
    with (stranger / "metrics.jsonl").open("ab") as file:
        file.write(line + b"\n")


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_a_row_that_is_none_is_refused(line, stranger, refused):
    written(stranger, line)
    told = refused(*COMPARE)
    assert "metrics.jsonl, line" in told and len(told) < 300


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
@pytest.mark.parametrize("name", ["metrics.jsonl", "summary.json"])
def test_what_is_no_file_is_refused_and_not_waited_for(name, kind, stranger, outside, refused):
    (stranger / "summary.json").unlink()
    in_place_of(stranger / name, kind, outside)
    assert f"{name}" in refused(*COMPARE)


SUMMARIES = {
    "too many brackets": 100_000 * "[",
    "too much": '{"status": "completed", "metrics": {}' + " " * (1 << 20) + "}",
    "a long integer": '{"status": "completed", "metrics": {"D(x)": ' + 5000 * "9" + "}}",
    "a large integer": '{"status": "completed", "metrics": {"D(x)": 1' + 400 * "0" + "}}",
    "a tag that speaks to the terminal": '{"status": "completed", "metrics": {"\\u001b[2J": 1}}',
    "metrics in a list": '{"status": "completed", "metrics": [["D(x)", 1]]}',
    "a text for a number": '{"status": "completed", "metrics": {"D(x)": "1"}}',
}


@pytest.mark.parametrize("content", SUMMARIES.values(), ids=SUMMARIES.keys())
def test_a_summary_that_is_none_is_refused(content, stranger, refused):
    (stranger / "summary.json").write_text(content)
    assert "summary.json cannot be read" in refused(*COMPARE)


@pytest.mark.parametrize("content", SUMMARIES.values(), ids=SUMMARIES.keys())
def test_a_run_whose_summary_is_none_goes_on_where_it_was(content, stranger, inside, tmp_path):
    (stranger / "summary.json").write_text(content)
    done = inside(*RESUME, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "continues at step 4" in done.stdout


ODD = (
    {"step": 2, "D(x)": 0.999},
    {"step": 2, "modes/covered": 8.0},
    {"step": 2, "D(G(z))": None, "loss/generator": None, "critic/fake": None},
    {"step": 2, "samples/diversity": None, "samples/nearest_training": None, "grad_norm/generator": None, "D(G(z))": 0},
    {"step": 0},
)


@pytest.mark.parametrize("row", ODD, ids=repr)
def test_a_run_goes_on_after_rows_that_say_less_than_ganrun_writes(row, stranger, inside, tmp_path):
    checkpoint = stranger / "checkpoints" / "4"
    (stranger / "metrics.jsonl").write_text(200 * f"{json.dumps(row)}\n")
    note = json.loads((checkpoint / "metadata.json").read_text())
    note["files"]["metrics.jsonl"] = (stranger / "metrics.jsonl").stat().st_size
    seal(checkpoint, metadata_json=json.dumps(note).encode())
    done = inside(*RESUME, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reason_that_speaks_to_the_terminal_is_printed_as_text(stranger, inside, tmp_path):
    summary = {"status": "failed", "reason": "\x1b[2J\nganrun: fine", "steps": 4, "metrics": {}}
    (stranger / "summary.json").write_text(json.dumps(summary))
    (stranger / "sweep.json").write_text('{"runs": ["0"], "batches": [[0]]}')
    (stranger / "0").mkdir()
    for name in ("config.yaml", "summary.json"):
        (stranger / name).rename(stranger / "0" / name)
    done = inside("train", "resume=stranger", cwd=tmp_path)
    assert "\x1b" not in done.stdout + done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("tag", ["$\\frac{1$", "$$", "_{", "a" * 5000, "<b>", "[red]", "|", '"', ",", "=1+1"])
def test_a_tag_is_a_name_in_pictures_and_tables_and_no_formula(tag, stranger, inside, tmp_path):
    written(stranger, json.dumps({"step": 6, tag: 1.0}).encode())
    for words in (("picture=x.png",), ("format=markdown",), ("format=csv",), ("format=json",), ()):
        quoted = json.dumps(tag).replace("\\\\", "\\")
        done = inside("compare", "stranger", f"metrics=[{quoted}]", *words, cwd=tmp_path)
        assert done.returncode in (0, 2) and "Traceback" not in done.stderr, done.stderr
        assert "HYDRA_FULL_ERROR" not in done.stderr


@pytest.mark.parametrize("value", [1e100, -1e100, 5e-324, 1e20])
def test_numbers_at_the_end_of_their_range_are_compared_without_a_word_on_stderr(value, stranger, inside, tmp_path):
    written(stranger, json.dumps({"step": 6, "jsd/exact": value}).encode())
    inner = [stranger.rename(stranger.with_name("0"))]
    for i in (1, 2):
        inner.append(tmp_path / str(i))
        inner[-1].mkdir()
        for name in ("config.yaml", "metrics.jsonl"):
            (inner[-1] / name).write_bytes((inner[0] / name).read_bytes())
    for words in (("picture=x.png",), ("format=json",), ("interval=bootstrap",)):
        done = inside("compare", "0", "1", "2", "metrics=[jsd/exact]", *words, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
