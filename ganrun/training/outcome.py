"""Whether a run goes on, has failed, was pruned, or has ended early."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganrun.errors import GanrunError, cannot_write
from ganrun.writers.console import Messages


class Outcome:
    """The outcome of a run so far.

    Args:
        folder: the run directory.

    Attributes:
        error: why the run failed; None if it has not.
        pruned: why the run was ended early by a pruner; empty if it was not.
        ending: why the run ends with the current step, before its last one; empty if it does not.
        ended: whether it has ended for this reason.
        messages: where both are reported.
    """

    messages: Messages

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.error: GanrunError | None = None
        self.pruned, self.ending, self.ended = "", "", False

    @property
    def going(self) -> bool:
        """Whether the run has neither failed nor been pruned, nor ended early."""
        return self.error is None and not self.pruned and not self.ended

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Return a context in which a :class:`GanrunError` or an ``OSError`` ends this run and not the others."""
        try:
            yield
        except GanrunError as error:
            self.fail(error)
        except OSError as error:
            self.fail(cannot_write(error, self.folder))

    def fail(self, error: GanrunError) -> None:
        """Mark the run as failed because of ``error``; only the first error counts."""
        if self.error is None:
            self.error = error
            self.messages.warn(str(error))

    def end(self) -> None:
        """End the run early, complete, for the reason ``ending``."""
        self.ended = True
        self.messages.say(self.ending)

    def prune(self, why: str) -> None:
        """End the run early, for the reason ``why``."""
        self.pruned = why
        self.messages.say(why)
