"""A finding: a training failure, the step at which it was detected, its evidence, and settings to try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """A training failure that was detected in a run.

    Attributes:
        name: kind of failure, such as ``mode collapse``.
        step: step at which it was detected.
        evidence: the metrics that show it, in words.
        suggestions: settings to try, as typed on the command line.
    """

    name: str
    step: int
    evidence: str
    suggestions: tuple[str, ...]

    def told(self) -> str:
        """Return the finding as one line of text."""
        return f"step {self.step}: {self.name}: {self.evidence}. Try {' or '.join(self.suggestions)}."

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Finding:
        """Return the finding from its :meth:`plain` form."""
        suggestions = tuple(map(str, plain["try"]))
        return cls(str(plain["name"]), int(plain["step"]), str(plain["evidence"]), suggestions)

    def plain(self) -> dict[str, Any]:
        """Return the finding as a JSON-serialisable dictionary."""
        return {"name": self.name, "step": self.step, "evidence": self.evidence, "try": list(self.suggestions)}
