"""Command lines and configs of any kind: Hypothesis makes them up, and cuts down one that ends as none may."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
KEYS = ("seed", "steps", "batch_size", "loss", "loss.name", "optimizer.generator", "penalty", "architecture", "dataset")
KEYS += ("latent.dim", "log.every", "schedule.k", "ema.decay", "resume", "resume.allow", "probe", "hydra", "experiment")
COMMANDS = ("train", "sample", "jsd", "compare", "report", "reproduce", "export", "bench", "list", "doctors", "")
MANY = settings(max_examples=int(os.environ.get("GANRUN_EXAMPLES", "100")), deadline=None)

inside = st.text(max_size=12).filter(lambda text: not set(text) & set("/~\0"))  # no path that leads out of the folder
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
trees = st.recursive(leaves, lambda node: st.lists(node, max_size=4) | st.dictionaries(leaves, node, max_size=4))
values = inside | st.integers().map(str) | st.floats().map(str) | st.text("[]{}(),:=$\\'\"1a ", max_size=12)
words = st.builds("{}{}={}".format, st.sampled_from(("", "+", "++", "~")), st.sampled_from(KEYS), values) | inside
lines = st.tuples(st.sampled_from(COMMANDS), st.lists(words | st.just("-m"), max_size=3))


@pytest.fixture
def fuzz(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.delenv("GANRUN_DATA", raising=False)
    return importlib.import_module("fuzz")


def test_any_command_line_is_answered(fuzz, tmp_path) -> None:
    with fuzz.Words(tmp_path, fuzz.exited) as door:

        @MANY
        @given(lines)
        def answered(line: tuple[str, list[str]]) -> None:
            door.words = [line[0], *line[1]]
            with fuzz.limited():
                door.give()

        answered()


def test_any_value_of_any_key_of_a_config_is_taken_or_refused(fuzz, tmp_path) -> None:
    door = fuzz.FILES["yaml"](tmp_path)
    door.compares = False
    whole = yaml.safe_load(door.good[0])
    taken = []

    @MANY
    @given(st.sampled_from(sorted(whole)), st.none() | st.sampled_from(("name", "x")), trees)
    def answered(key: str, inner: str | None, value: object) -> None:
        config = yaml.safe_load(door.good[0])
        if inner is None or not isinstance(config[key], dict):
            config[key] = value
        else:
            config[key][inner] = value
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        taken.append(not fuzz.refused(door.give))

    (tmp_path / "config.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    assert not fuzz.refused(door.give)
    answered()
    assert sum(taken) < len(taken) / 2


def test_any_text_or_bytes_in_place_of_a_config_are_refused(fuzz, tmp_path) -> None:
    door = fuzz.FILES["yaml"](tmp_path)
    door.compares = False

    @MANY
    @given(st.binary() | st.text().map(str.encode))
    def refused(content: bytes) -> None:
        (tmp_path / "config.yaml").write_bytes(content)
        assert fuzz.refused(door.give)

    refused()
