"""A short form of scripts/fuzz.py: bad inputs of each kind end as they should, and it would notice if they did not."""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path

import pytest

from ganrun.errors import ConfigError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
COUNTS = {"words": 40, "yaml": 60, "idx": 80, "npz": 80, "png": 60, "checkpoints": 50, "metrics": 40}
COUNTS |= {"pictures": 300, "archives": 100, "tables": 80, "weights": 100}
SEED = 5


@pytest.fixture(scope="module")
def fuzz():
    before = list(sys.path)
    sys.path.insert(0, str(SCRIPTS))
    yield importlib.import_module("fuzz")
    sys.path[:] = before


@pytest.fixture(autouse=True)
def _here(fuzz, monkeypatch, tmp_path):
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.delenv("GANRUN_DATA", raising=False)
    monkeypatch.setattr(fuzz, "LOSSES", tmp_path / "losses")


@pytest.mark.parametrize(("part", "n"), COUNTS.items(), ids=COUNTS.keys())
def test_bad_input_is_accepted_or_refused_in_a_line_or_two(part, n, fuzz):
    found = fuzz.run(n, SEED, part)[part]
    assert found.losses == []
    assert found.tried == n == found.accepted + found.refused
    assert found.refused > n / 3


def test_an_input_is_the_same_whenever_it_is_tried_again(fuzz):
    content = bytes(range(256)) * 4
    assert fuzz.Files.__module__ == "fuzz_files"
    mutated = sys.modules["fuzz_files"].mutated
    assert mutated(content, random.Random("0/x/1")) == mutated(content, random.Random("0/x/1")) != content


class Part:
    """Raises what it is told to."""

    error: BaseException | None = None

    def __init__(self, place):
        pass

    def make(self, rng):
        pass

    def give(self):
        if self.error is not None:
            raise self.error

    def keep(self, folder):
        (folder / "input").write_text("kept")


@pytest.mark.parametrize("error", [ValueError("x"), RecursionError(), MemoryError(), KeyError("x"), SystemExit(3)])
def test_an_error_that_nobody_expected_is_a_loss_and_is_kept(error, fuzz, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(fuzz.FILES, "part", Part)
    monkeypatch.setattr(Part, "error", error)
    assert len(fuzz.run(2, 0, "part")["part"].losses) == 2
    assert "part-0-1" in capsys.readouterr().err
    assert (tmp_path / "losses" / "part-0-1" / "input").read_text() == "kept"


def test_a_message_of_three_lines_is_a_loss_and_one_of_two_is_none(fuzz, monkeypatch):
    monkeypatch.setitem(fuzz.FILES, "part", Part)
    monkeypatch.setattr(Part, "error", ConfigError("one\ntwo"))
    assert fuzz.run(1, 0, "part")["part"].refused == 1
    monkeypatch.setattr(fuzz, "tell", lambda error: print("ganrun: one\ntwo\nthree", file=sys.stderr))
    assert len(fuzz.run(1, 0, "part")["part"].losses) == 1


def test_what_takes_too_long_is_a_loss(fuzz, monkeypatch):
    class Endless(Part):
        def give(self):
            while True:
                pass

    monkeypatch.setitem(fuzz.FILES, "part", Endless)
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    (loss,) = fuzz.run(1, 0, "part")["part"].losses
    assert "more than 0.2 s" in loss


def test_an_exit_code_that_is_not_documented_is_a_loss(fuzz):
    assert not fuzz.exited(0, "")
    assert fuzz.exited(2, "ganrun: no.\n") and fuzz.exited(1, "ganrun: no.\n")
    for code, told in (
        (3, "ganrun: no.\n"),
        (2, "Traceback\n"),
        (2, ""),
        (0, "Traceback (most"),
        (None, ""),
        (1, "\x1b"),
    ):
        with pytest.raises(AssertionError):
            fuzz.exited(code, told)
