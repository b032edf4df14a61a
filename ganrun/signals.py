"""Ctrl-C and SIGTERM as a request to stop: the run saves its state and leaves."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class StopRequest:
    """A context in which the first SIGINT or SIGTERM only sets ``signal``; a second one leaves at once.

    Leaving at once loses the steps since the last checkpoint and nothing else: checkpoints appear whole or not at all.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopRequest:
        for number in EXIT_CODES:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, as shells report it; 0 when there was none."""
        return EXIT_CODES[self.signal] if self.signal else 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            os._exit(EXIT_CODES[signal.Signals(number)])
        self.signal = signal.Signals(number)
