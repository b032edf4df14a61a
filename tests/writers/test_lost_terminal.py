"""A terminal that is no longer there: what is printed to it fails nothing."""

import errno
import io

import pytest

from ganrun.writers import console
from ganrun.writers.console import Messages


class Refusing(io.StringIO):
    """An output that answers every write with the error ``number``."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.asked = number, 0

    def write(self, text: str) -> int:
        self.asked += 1
        raise OSError(self.number, "refused")


def test_messages_are_kept_once_the_terminal_is_gone(tmp_path, monkeypatch):
    gone, redirected = Refusing(errno.EIO), []
    monkeypatch.setattr("sys.stdout", gone)
    monkeypatch.setattr(console.os, "dup2", lambda *numbers: redirected.append(numbers))
    messages = Messages(tmp_path)
    messages.say("one")
    asked = gone.asked
    messages.say("two")
    messages.close()
    assert asked >= 1 and gone.asked == asked and len(redirected) == 1  # it is not asked again
    assert [line.split()[-1] for line in (tmp_path / "train.log").read_text().splitlines()] == ["one", "two"]


def test_a_full_disk_is_still_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdout", Refusing(errno.ENOSPC))
    messages = Messages(tmp_path)
    with pytest.raises(OSError, match="refused"):
        messages.say("one")
    messages.close()
