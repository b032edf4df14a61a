"""A watch over one run: row by row, it says what has gone wrong when it is first seen."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from ganrun.config import Train
from ganrun.diagnosis.detectors import DETECTORS, MEMORY, Game
from ganrun.diagnosis.finding import Finding
from ganrun.diagnosis.remedies import chosen
from ganrun.writers import Entry

MOST = 50  # findings of a run that are told; one that goes on and off says nothing new


class Watch:
    """Keeps the last rows of a run and what was found in them.

    Args:
        config: of the run.
        modes: that its data are known to have; 0 where that is not known.

    Attributes:
        findings: all so far, in the order of their steps.
    """

    def __init__(self, config: Train, modes: int = 0) -> None:
        self.findings: list[Finding] = []
        self._config, self._game = config, game_of(config, modes)
        self._rows: deque[dict[str, Any]] = deque(maxlen=MEMORY)
        self._seen: dict[str, int] = {}  # by name: rows since it was last there

    def write(self, entry: Entry) -> None:
        """Look at ``entry`` as one of a run's writers, the first of them: what it shows is written with it."""
        entry.findings = [found.told() for found in self.see(entry.step, entry.scalars)]

    def flush(self) -> None:
        pass

    def close(self, status: str) -> None:
        pass

    def plain(self) -> dict[str, Any]:
        """Return what is known so far, beside the rows, as JSON can hold it."""
        return {"findings": [found.plain() for found in self.findings], "seen": dict(self._seen)}

    def restore(self, known: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
        """Go back to what :meth:`plain` returned when ``rows`` were written."""
        self.findings = [Finding.of(one) for one in known["findings"]]
        self._seen = dict(known["seen"])
        self._rows.extend(rows[-MEMORY:])

    def see(self, step: int, scalars: dict[str, Any]) -> list[Finding]:
        """Take in a row; return what it is the first to show, or the first again after a long while."""
        self._rows.append({"step": step, **scalars})
        new = []
        for detector in DETECTORS:
            evidence = detector.evidence(tuple(self._rows), self._game)
            since = self._seen.get(detector.name, MEMORY) + 1
            if evidence is not None:
                if since > MEMORY:
                    remedies = chosen(detector.remedies, self._config, step)
                    new.append(Finding(detector.name, step, evidence, remedies))
                since = 0
            self._seen[detector.name] = since
        new = new[: MOST - len(self.findings)]
        self.findings += new
        return new


def game_of(config: Train, modes: int) -> Game:
    """Return what detectors must know of the run of ``config``."""
    # The average follows once a step, however many updates of the generator that has.
    return Game(config.steps, modes, 1 / (1 - config.ema.decay))
