"""The trace of some steps, on request."""

from __future__ import annotations

import gzip
import json

import pytest

from ganrun.errors import ConfigError
from ganrun.training.profile import Profile, parse
from ganrun.training.train import train


@pytest.mark.parametrize(
    ("text", "steps", "wanted"), [(None, 5, None), ("0:1", 1, (0, 1)), ("10:20", 20, (10, 20)), (" 3:4 ", 9, (3, 4))]
)
def test_the_steps_of_a_trace(text, steps, wanted):
    assert parse(text, steps) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10", "must be START:STOP"),
        ("a:b", "not 'a:b'"),
        ("5:5", "START < STOP"),
        ("2:11", "<= steps=10"),
        ("-1:3", "-1"),
    ],
)
def test_other_steps_are_refused_in_a_line(text, message):
    with pytest.raises(ConfigError) as caught:
        parse(text, 10)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_calls_end_where_the_trace_begins_and_ends(tmp_path):
    profile = Profile("10:20", 30, tmp_path)
    assert [profile.until(step) for step in (0, 9, 10, 19, 20, 30)] == [10, 1, 10, 1, None, None]
    assert Profile(None, 30, tmp_path).until(0) is None


def test_a_run_records_the_trace_that_it_was_asked_for(compose_config, tmp_path, capsys):
    words = ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]", "batch_size=16")
    quiet = ("probe=off", "log.pictures=0", "log.every=10", "steps=20")
    config = compose_config((*words, *quiet, "profile=5:8"))
    assert train(config, tmp_path / "run") == 0
    (trace,) = (tmp_path / "run" / "profile").rglob("*.trace.json.gz")
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert any("_advance" in str(event.get("name")) for event in events)
    marked = [event["args"]["step_num"] for event in events if event.get("name") == "train"]
    assert marked and set(map(int, marked)) <= {5, 6, 7}
    assert f"profile: {tmp_path / 'run' / 'profile'}" in capsys.readouterr().out
