"""Whether a run goes on, has failed, or was pruned."""

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
        messages: where both are reported.
    """

    messages: Messages

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.error: GanrunError | None = None
        self.pruned = ""

    @property
    def going(self) -> bool:
        """Whether the run has neither failed nor been pruned."""
        return self.error is None and not self.pruned

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

    def prune(self, why: str) -> None:
        """End the run early, for the reason ``why``."""
        self.pruned = why
        self.messages.say(why)
