"""The monitor of a run: applies the detectors to every row of metrics and reports new findings."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from ganrun.config.settings import Train
from ganrun.methods.detection import MEMORY, RunFacts, chosen
from ganrun.methods.finding import Finding
from ganrun.writers.base import Entry

MAX = 50  # findings reported per run; one that keeps coming and going is no news


class Monitor:
    """Keeps the last rows of a run and the findings so far.

    Args:
        config: of the run.
        modes: number of modes of the data; 0 if it is not known.

    Attributes:
        findings: all findings so far, ordered by step.
    """

    def __init__(self, config: Train, modes: int = 0) -> None:
        self.findings: list[Finding] = []
        self._config, self._facts = config, facts_of(config, modes)
        self._detectors = config.method.detectors()
        self._rows: deque[dict[str, Any]] = deque(maxlen=MEMORY)
        self._seen: dict[str, int] = {}  # rows since each detector last fired, by name
        self._added: list[Finding] = []  # findings of others, for the next entry

    def write(self, entry: Entry) -> None:
        """Add the new findings to ``entry``. The monitor is the first writer of a run, so the others write them."""
        added, self._added = self._added, []
        entry.findings = [finding.told() for finding in (*added, *self.see(entry.step, entry.scalars))]

    def add(self, finding: Finding) -> None:
        """Add a ``finding`` that does not come from a detector, to be written with the next entry."""
        self.findings.append(finding)
        self._added.append(finding)

    def flush(self) -> None:
        pass

    def close(self, status: str) -> None:
        pass

    def plain(self) -> dict[str, Any]:
        """Return the monitor's state, apart from the rows, as JSON data."""
        return {"findings": [finding.plain() for finding in self.findings], "seen": dict(self._seen)}

    def restore(self, known: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
        """Restore the state ``known`` that :meth:`plain` returned after ``rows`` had been written."""
        self.findings = [Finding.of(finding) for finding in known["findings"]]
        self._seen = dict(known["seen"])
        self._rows.extend(rows[-MEMORY:])

    def see(self, step: int, scalars: dict[str, Any]) -> list[Finding]:
        """Add a row; return its findings that are new, or that return after more than ``MEMORY`` rows."""
        self._rows.append({"step": step, **scalars})
        new = []
        for detector in self._detectors:
            evidence = detector.evidence(tuple(self._rows), self._facts)
            since = self._seen.get(detector.name, MEMORY) + 1
            if evidence is not None:
                if since > MEMORY:
                    suggestions = chosen(detector.suggestions, self._config, step)
                    new.append(Finding(detector.name, step, evidence, suggestions))
                since = 0
            self._seen[detector.name] = since
        new = new[: MAX - len(self.findings)]
        self.findings += new
        return new


def facts_of(config: Train, modes: int) -> RunFacts:
    """Return the properties of the run of ``config`` that the detectors need."""
    return RunFacts(config.steps, modes, config.method.lag(config))
