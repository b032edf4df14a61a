"""How ``ganrun jsd`` says what it has estimated: as lines, or as JSON."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ganrun.evaluation.divergence.distribution import Distribution
    from ganrun.evaluation.divergence.estimate import Estimate

DETECTED = "the part that the classifiers detect, less than the divergence on average"
SAMPLING = "± is the standard error of sampling only"
MEANINGS = {
    "stack": f"{DETECTED}; {SAMPLING}, not of what they miss",
    "streaming": f"{DETECTED}; {SAMPLING}, not of what they miss",
    "knn": f"from nearest neighbours, neither an upper nor a lower bound; {SAMPLING}, not of the bias",
    "exact": "the divergence itself; ± is how far it may be off",
}
BOUND = "the divergence is at least this, with probability 0.95"
BOUNDS = {"exact": "the divergence is at least this, as far as the error is known"}
NO_BOUND = "none: this estimator gives no bound"
WEAK = 32  # dimensions from which on the stack is known to underestimate
NEAR = 0.03  # distance from log 2, in nats, within which the estimate itself is not informative


def weaknesses(result: Estimate) -> list[str]:
    """Return warnings where the estimator is known to be weak."""
    from ganrun.evaluation.divergence.estimate import LOG_2

    lines = []
    if result.estimator == "stack" and result.d >= WEAK:
        lines.append(f"weak: from {WEAK} dimensions on (here {result.d}) the stack underestimates the divergence.")
    if result.estimator != "exact" and result.lower is not None and result.estimate >= LOG_2 - NEAR:
        lines.append("near log 2: use `lower`, the estimate itself is not informative there.")
    return lines


def as_json(result: Estimate, floor: float | None, warnings: list[str]) -> str:
    """Return the estimate as a JSON object; what is not finite is null."""
    numbers = {"estimate": result.estimate, "se": result.se, "lower": result.lower}
    content = {name: _finite(value) for name, value in numbers.items()} | {
        "estimator": result.estimator,
        "n": int(result.n),
        "d": int(result.d),
        "floor": _finite(floor),
        "seconds": _finite(result.seconds),
        "warnings": warnings,
    }
    return json.dumps(content, allow_nan=False)


def _finite(value: float | None) -> float | None:
    """Return ``value`` for JSON: None (null) if it is not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def as_text(a: Distribution, b: Distribution, result: Estimate, floor: float | None, warnings: list[str]) -> str:
    """Return the estimate between ``a`` and ``b`` as lines, each with what it says and its value."""
    from ganrun.evaluation.divergence.estimate import LOG_2

    # The same errors as in the metrics jsd/exact_error and jsd/probe_se.
    error = 2 * result.se if result.estimator == "exact" else result.se
    rows = [
        ("A", f"{a.label}: {a.about}"),
        ("B", f"{b.label}: {b.about}"),
        ("estimate", f"{result.estimate:.4f} ± {error:.4f} nats (log 2 = {LOG_2:.4f})"),
        ("meaning", MEANINGS[result.estimator]),
        ("lower", NO_BOUND if result.lower is None else f"{result.lower:.4f}: {BOUNDS.get(result.estimator, BOUND)}"),
        ("floor", "not estimated (floor=false)" if floor is None else f"{floor:.4f}: A against itself"),
        ("estimator", result.estimator),
        (
            "n",
            f"{result.n} samples per distribution, {result.d} dimensions"
            if result.n
            else "no samples: densities are integrated",
        ),
        ("seconds", f"{result.seconds:.1f}"),
    ]
    lines = [f"{name:10} {value}" for name, value in rows] + [f"warning: {warning}" for warning in warnings]
    return "\n".join(lines)
