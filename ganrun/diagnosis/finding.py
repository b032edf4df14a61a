"""A finding: what is wrong with a run, since when, how one can tell, and what to try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """Something that has gone wrong with a run.

    Attributes:
        name: of what it is, such as ``mode collapse``.
        step: at which it was seen.
        evidence: the numbers that show it.
        remedies: settings to try, as one would type them.
    """

    name: str
    step: int
    evidence: str
    remedies: tuple[str, ...]

    def told(self) -> str:
        """Return the finding in a line."""
        return f"step {self.step}: {self.name}: {self.evidence}. Try {' or '.join(self.remedies)}."

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Finding:
        """Return the finding that :meth:`plain` made ``plain`` of."""
        remedies = tuple(map(str, plain["try"]))
        return cls(str(plain["name"]), int(plain["step"]), str(plain["evidence"]), remedies)

    def plain(self) -> dict[str, Any]:
        """Return the finding as JSON can hold it."""
        return {"name": self.name, "step": self.step, "evidence": self.evidence, "try": list(self.remedies)}
