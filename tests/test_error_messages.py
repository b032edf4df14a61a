from __future__ import annotations

from ganrun.errors import ConfigError, GanrunError, did_you_mean, instead, tell


def test_an_error_that_ganrun_foresees_is_told_as_it_is(capsys) -> None:
    assert tell(ConfigError("steps must be at least 1, not 0.")) == 2
    assert tell(GanrunError("step 3: value is NaN or Inf, so the run stops.")) == 1
    assert capsys.readouterr().err.splitlines() == [
        "ganrun: steps must be at least 1, not 0.",
        "ganrun: step 3: value is NaN or Inf, so the run stops.",
    ]


def test_one_that_it_does_not_foresee_is_one_line_too_and_says_how_to_see_more(capsys, monkeypatch) -> None:
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    assert tell(RuntimeError("RESOURCE_EXHAUSTED: out of memory\nand much more")) == 1
    told = capsys.readouterr().err
    assert told == "ganrun: RuntimeError: RESOURCE_EXHAUSTED: out of memory (HYDRA_FULL_ERROR=1 shows where)\n"


def test_a_traceback_comes_on_request(capsys, monkeypatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    try:
        raise ValueError("deep inside")
    except ValueError as error:
        assert tell(error) == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_closest_word_comes_before_those_that_are_allowed() -> None:
    assert instead("minmax", ["minimax", "hinge"], "It has") == " Did you mean 'minimax'? It has minimax, hinge."
    assert instead("zzz", ["minimax", "hinge"], "It has") == " It has minimax, hinge."
    assert instead("x", [], "It has") == " It has none."
    many = [f"n{number}" for number in range(20)]
    first = "n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11, ..."
    assert instead("x", many, "It has", "ganrun list n") == f" It has {first} (20 in all: `ganrun list n`)."
    assert instead("x", many, "It has") == f" It has {first} (20 in all)."


def test_the_closest_word_is_offered_only_where_it_is_close() -> None:
    assert did_you_mean("minmax", ["minimax", "nonsaturating"]) == " Did you mean 'minimax'?"
    assert did_you_mean("zzz", ["minimax", "nonsaturating"]) == ""
