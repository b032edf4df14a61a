"""The evaluation budget: which of the snapshots that are due are evaluated, so that they take a share of a run's time.

The end of a run is always evaluated in full. What this takes is reserved, and the rest of the budget is released in
proportion to the steps done, so that a run which cannot afford every snapshot evaluates some of them, evenly spaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

PICTURES, PROBE, METRICS = "pictures", "probe", "metrics"
PARTS = (PICTURES, PROBE, METRICS)  # METRICS: only the metrics, which are measured with every other part too
# Seconds that a part is assumed to take before it has been measured.
ASSUMED = {PICTURES: 0.5, PROBE: 3.0, METRICS: 0.5}


@dataclass
class Costs:
    """What the evaluation of one run has taken in this session, in seconds.

    Attributes:
        spent: in total.
        least: the shortest time of each part: the first time includes loading libraries and compiling.
        done: number of times that each part was evaluated.
    """

    spent: float = 0.0
    least: dict[str, float] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))

    def add(self, part: str, seconds: float) -> None:
        """Record that ``part`` took ``seconds``."""
        self.spent += seconds
        self.least[part] = min(seconds, self.least.get(part, seconds))
        self.done[part] += 1

    def expected(self, parts: Sequence[str]) -> float:
        """Return the seconds that evaluating ``parts`` is expected to take."""
        return sum(self.least.get(part, ASSUMED[part]) for part in parts)


@dataclass
class Budget:
    """Decides which parts of a snapshot are evaluated.

    Args:
        share: maximum fraction of the run's time, in [0, 1]; 1: no limit.
        times: how often each part is due in the whole run; parts without an entry are never due.
        begun: the step from which this session continues.
        steps: steps of the whole run.
        clock: returns the seconds since this session began.
        threads: number of threads that evaluate.

    Attributes:
        costs: of each run that is evaluated; the members of a population share the time of the session.
        left_out: number of times that each part was due and left out.
    """

    share: float
    times: dict[str, int]
    begun: int
    steps: int
    clock: Callable[[], float]
    costs: Sequence[Costs]
    threads: int = 1
    left_out: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    _granted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))

    def granted(self, due: frozenset[str], step: int, per_step: float) -> frozenset[str]:
        """Return the parts of ``due`` that are evaluated at ``step``.

        Args:
            due: the parts that are due.
            step: the step of the snapshot.
            per_step: seconds that a step takes.
        """
        granted = due if self.share >= 1.0 or step >= self.steps else self._affordable(due, step, per_step)
        for part in due:
            counts = self._granted if part in granted else self.left_out
            counts[part] += 1
        return granted

    def _affordable(self, due: frozenset[str], step: int, per_step: float) -> frozenset[str]:
        elapsed = self.clock()
        total = elapsed + (self.steps - step) * per_step
        budget = self.share * total - self._expected(self._reserved)
        progress = (step - self.begun) / max(1, self.steps - self.begun)
        spent = sum(costs.spent for costs in self.costs) / self.threads + self._waiting()
        granted = set()
        for part in PARTS:
            if part not in due:
                continue
            expected = self._expected((part,))
            # Snapshots come one at a time: a part may use what is released until the next time that it is due.
            released = budget * min(1.0, progress + 1.0 / self.times[part])
            if spent + expected <= released:
                granted.add(part)
                spent += expected
        return frozenset(granted)

    def describe(self, costs: Costs) -> dict[str, Any]:
        """Return what was evaluated in a run of this session, for its summary.

        ``share`` and ``seconds``, and for each part that was due a list: how often it was evaluated, and was due.
        """
        parts = {part: [costs.done[part], costs.done[part] + self.left_out[part]] for part in PARTS}
        due = {part: counts for part, counts in parts.items() if counts[1]}
        return {"share": self.share, "seconds": round(costs.spent, 3), **due}

    @property
    def _reserved(self) -> tuple[str, ...]:
        return tuple(part for part in PARTS if self.times.get(part))

    def _waiting(self) -> float:
        """Return the seconds that granted parts are expected to take which have not been evaluated yet."""
        waiting = {part: self._granted[part] * len(self.costs) - self._done(part) for part in PARTS}
        return sum(max(0, n) / len(self.costs) * self._expected((part,)) for part, n in waiting.items())

    def _done(self, part: str) -> int:
        return sum(costs.done[part] for costs in self.costs)

    def _expected(self, parts: Sequence[str]) -> float:
        return sum(costs.expected(parts) for costs in self.costs) / self.threads
