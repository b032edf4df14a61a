"""What is printed where nobody sees a live line: plain lines, whatever the environment says of colours."""

import io
import sys

import pytest

from ganrun.writers.base import Entry
from ganrun.writers.console import Lines, Messages


class Screen(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "name", "value"),
    [
        (io.StringIO, "FORCE_COLOR", "1"),  # rich takes this for a terminal
        (io.StringIO, "TTY_COMPATIBLE", "1"),
        (Screen, "TERM", "dumb"),  # a terminal that cannot go back on its line, where rich draws no bar
    ],
)
def test_milestones_are_printed_where_a_live_line_is_lost(stream, name, value, tmp_path, monkeypatch):
    for unset in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR"):
        monkeypatch.delenv(unset, raising=False)
    monkeypatch.setenv(name, value)
    shown = stream()
    monkeypatch.setattr(sys, "stdout", shown)
    messages = Messages(tmp_path)
    lines = Lines(messages, steps=10)
    lines.write(Entry(5, {"value": -1.25}, milestone=True))
    lines.close("completed")
    messages.close()
    assert shown.getvalue() == "step 5/10  value -1.25\n"
