"""A trace of some steps of a run for a profiler's viewer, on request (``profile=START:STOP``)."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from ganrun.errors import ConfigError, shown

FOLDER = "profile"  # in the run directory


def parse(text: str | None, steps: int) -> tuple[int, int] | None:
    """Return the first and the last step of the trace that ``text`` asks for; None without one.

    Args:
        text: ``START:STOP``, the steps between which the trace is recorded, or None.
        steps: steps of the run.

    Raises:
        ConfigError: it is not of this form, or not within the run.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,10}):(\d{1,10})", text.strip())
    if found is None:
        raise ConfigError(f"profile must be START:STOP, two numbers of steps such as 10:20, not '{shown(text)}'.")
    start, stop = map(int, found.groups())
    if not start < stop <= steps:
        raise ConfigError(f"profile={shown(text)}: needs START < STOP <= steps={steps}.")
    return start, stop


class Profile:
    """Records the trace of a run between two steps.

    Args:
        text: the setting ``profile``.
        steps: steps of the run.
        folder: the run directory. The trace is written to ``profile/`` in it.
    """

    def __init__(self, text: str | None, steps: int, folder: Path) -> None:
        self._range, self._folder, self._recording = parse(text, steps), folder / FOLDER, False

    def until(self, step: int) -> int | None:
        """Return the number of steps from ``step`` to the next end of the trace; None if there is none ahead."""
        ahead = [end - step for end in self._range or () if end > step]
        return min(ahead, default=None)

    def call(self, step: int) -> AbstractContextManager[Any]:
        """Return a context for dispatching a call that begins after ``step``: the trace shows it as a step."""
        if not self._recording:
            return nullcontext()
        import jax

        return jax.profiler.StepTraceAnnotation("train", step_num=step)

    def at(self, step: int, state: Any) -> str | None:
        """Start or end the trace if ``step`` says so, once ``state`` is computed; return a message when it is written.

        A run that is resumed after the start records nothing.
        """
        if self._range is None or step not in self._range:
            return None
        import jax

        jax.block_until_ready(state)
        if step == self._range[0]:
            jax.profiler.start_trace(self._folder)
            self._recording = True
            return None
        return self.close()

    def close(self) -> str | None:
        """End the trace if it is being recorded; return a message then."""
        if not self._recording:
            return None
        import jax

        self._recording = False
        jax.profiler.stop_trace()
        return (
            f"profile: {self._folder} (open its .trace.json.gz in ui.perfetto.dev, or the folder with tensorboard and "
            "the package xprof)"
        )
