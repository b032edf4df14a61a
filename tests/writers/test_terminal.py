"""A terminal that cannot print a character gets something that it can, and no command fails for it."""

import io
import sys

from ganrun.writers.terminal import spell_out


def printed(text: str, encoding: str, monkeypatch) -> str:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, newline="\n"))
    spell_out()
    print(text, flush=True)
    return raw.getvalue().decode(encoding)


def test_what_ascii_does_not_have_is_spelled_out(monkeypatch):
    assert printed("jsd/probe ≥ 0.273 ± 0.004", "ascii", monkeypatch) == "jsd/probe >= 0.273 +/- 0.004\n"
    assert printed("a/läufe/日", "ascii", monkeypatch) == "a/l\\xe4ufe/\\u65e5\n"


def test_what_the_encoding_has_is_printed_as_it_is(monkeypatch):
    assert printed("≥ ± ä", "latin-1", monkeypatch) == ">= ± ä\n"
    assert printed("≥ ± ä", "utf-8", monkeypatch) == "≥ ± ä\n"


def test_what_is_no_stream_of_bytes_stays_as_it_is(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)
    spell_out()
    print("≥")
    assert shown.getvalue() == "≥\n"
