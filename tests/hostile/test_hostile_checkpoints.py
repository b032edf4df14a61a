"""A checkpoint that a stranger made is arrays and a note: whatever else is in it, nothing runs."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import struct

import numpy as np
import pytest
from stranger import READERS, RESUME, Payload, in_place_of, seal

from ganrun.storage.checkpoints import Checkpoints

SAMPLE = READERS["sample"]
BOTH = {"sample": SAMPLE, "resume": RESUME}


@pytest.fixture
def checkpoint(stranger):
    """The only checkpoint of the run."""
    (found,) = (stranger / "checkpoints").iterdir()
    return found


def payload_of(kind, path):
    array = np.array([Payload(path)], dtype=object)
    held = io.BytesIO()
    if kind == "a pickle":
        return pickle.dumps(Payload(path))
    if kind == "an array of objects":
        np.save(held, array, allow_pickle=True)
    else:
        np.savez(held, x=array)
    return held.getvalue()


def test_the_payload_would_touch_a_file_if_it_were_unpickled(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "one")))
    np.load(io.BytesIO(payload_of("an array of objects", tmp_path / "other")), allow_pickle=True)
    assert (tmp_path / "one").exists() and (tmp_path / "other").exists()


@pytest.mark.parametrize("command", BOTH)
@pytest.mark.parametrize("name", ["state_safetensors", "metadata_json", "evil_pkl"])
@pytest.mark.parametrize("kind", ["a pickle", "an array of objects", "an archive of objects"])
def test_what_would_run_is_refused_though_its_sum_is_right(command, name, kind, checkpoint, outside, refused):
    seal(checkpoint, **{name: payload_of(kind, outside / "canary")})
    refused(*BOTH[command], code=1)


def header(text: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text + data


STATES = {
    "nothing": b"",
    "a length": struct.pack("<Q", 2**63),
    "a length beyond the file": struct.pack("<Q", 2**40) + b"{}",
    "no arrays": header(b"{}"),
    "a huge shape": header(
        b'{"step":{"dtype":"I32","shape":[9223372036854775807,9223372036854775807],"data_offsets":[0,4]}}', bytes(4)
    ),
    "a place beyond the file": header(b'{"step":{"dtype":"I32","shape":[1],"data_offsets":[0,99999999999]}}', bytes(4)),
    "too many brackets": header(b'{"step":' + 50_000 * b"["),
    "a path for a name": header(b'{"../../x":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
    "a name that speaks to the terminal": header(
        b'{"\\u001b[2J\\nganrun: fine":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}', bytes(4)
    ),
}


@pytest.mark.parametrize("command", BOTH)
@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_a_state_that_is_none_is_refused_though_its_sum_is_right(command, state, checkpoint, refused):
    seal(checkpoint, state_safetensors=state)
    assert str(checkpoint) in refused(*BOTH[command], code=1)


SUMS = {
    "a path upwards": f"{'0' * 64}  ../../../etc/passwd\n",
    "a path": f"{'0' * 64}  /etc/passwd\n",
    "a path within": f"{'0' * 64}  a/b\n",
    "itself": f"{'0' * 64}  SHA256SUMS\n",
    "a hidden file": f"{'0' * 64}  .bashrc\n",
    "an escape sequence": f"{'0' * 64}  \x1b[2J\n",
    "binary mode": f"{'0' * 64} *state.safetensors\n",
    "no text": "\xff\xfe",
    "too much": "#" * (1 << 17),
    "nothing": "",
}


@pytest.mark.parametrize("command", BOTH)
@pytest.mark.parametrize("sums", SUMS.values(), ids=SUMS.keys())
def test_sums_that_name_anything_else_are_refused(command, sums, checkpoint, refused):
    (checkpoint / "SHA256SUMS").write_bytes(sums.encode("latin-1"))
    assert "etc/passwd" not in refused(*BOTH[command], code=1)


def changed(**more):
    return lambda note: json.dumps({**note, **more})


def in_rows(**more):
    row = {"step": 4, "scalars": {"D(x)": 0.5}, "snapshot": []}
    return changed(rows=[{**row, **more}])


NOTES = {
    "too many brackets": lambda note: 100_000 * "[",
    "a list": lambda note: "[]",
    "a long number": lambda note: json.dumps(note)[:-1] + ', "x": ' + 5000 * "9" + "}",
    "no number": changed(seconds=float("nan")),
    "an infinite number": lambda note: json.dumps({**note, "seconds": 0}).replace('"seconds": 0', '"seconds": 1e999'),
    "a path for a file": changed(files={"../../outside/file": 0}),
    "an escape sequence for a file": changed(files={"\x1b[2J": 0}),
    "the config for a file": changed(files={"config.yaml": 0}),
    "a negative size": changed(files={"metrics.jsonl": -1}),
    "a half of a size": changed(files={"metrics.jsonl": 0.5}),
    "sizes in a list": changed(files=[["metrics.jsonl", 0]]),
    "no rows": changed(rows=None),
    "a look that is not there": in_rows(snapshot=True),
    "a tag in a list": in_rows(scalars=[["D(x)", 1]]),
    "a text for a number": in_rows(scalars={"D(x)": "1"}),
    "a step that is none": in_rows(step="4"),
    "findings that are none": changed(diagnosis={"findings": [{}], "seen": {}}),
    "a finding that speaks to the terminal": changed(
        diagnosis={"findings": [{"name": "\x1b[2J", "step": 1, "evidence": "", "try": []}], "seen": {}}
    ),
}


@pytest.mark.parametrize("change", NOTES.values(), ids=NOTES.keys())
def test_a_note_that_is_none_is_refused_though_its_sum_is_right(change, checkpoint, outside, refused):
    note = json.loads((checkpoint / "metadata.json").read_text())
    seal(checkpoint, metadata_json=change(note).encode())
    refused(*RESUME, code=1)


@pytest.mark.parametrize("command", BOTH)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "link to a file"])
@pytest.mark.parametrize("name", ["state.safetensors", "metadata.json", "SHA256SUMS"])
def test_what_is_no_file_is_refused_and_not_waited_for(command, kind, name, checkpoint, outside, refused):
    in_place_of(checkpoint / name, kind, outside)
    refused(*BOTH[command], code=1)


ODD = ("007", "-4", "4 ", "٤", "4.0", "1" * 100, "4294967296000", "4.unfinished", "..4", "SHA256SUMS")


@pytest.mark.parametrize("name", ODD)
def test_a_folder_whose_name_is_no_step_is_no_checkpoint(name, stranger, checkpoint):
    shutil.copytree(checkpoint, checkpoint.with_name(name))
    assert Checkpoints(stranger / "checkpoints", read_only=True).steps() == [4]


def test_a_best_checkpoint_that_is_no_step_is_none(stranger, refused):
    for best in ('"../.."', "[4]", "1e400", "true", "null", "9" * 5000, "[" * 100_000):
        (stranger / "summary.json").write_text(f'{{"best_checkpoint": {best}}}')
        refused(*SAMPLE, "checkpoint=best", code=1)
