"""The specifications of all metrics: unit, direction and a one-line description, each written where it is measured.

``compare``, searches, ``checkpoint.best`` and pruning use the direction; the table at the end of a run and the text
page in TensorBoard use the description.
"""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import Any

from ganrun.config.registry import options
from ganrun.methods.metric_spec import AT_LEAST_0, Direction, MetricSpec, Place

LIST_TAGS = "ganrun list tags"  # the command that lists all
GROUPS = ("metric", "probe", "method")  # groups whose options declare metrics, in the order of tables
OF_TRAINING = (MetricSpec("steps_per_second", "steps of training per second", "steps/s", "higher", bounds=AT_LEAST_0),)
OF_EVALUATION = (
    MetricSpec("evaluate/seconds", "time of this evaluation: metrics, pictures and probe", "s", bounds=AT_LEAST_0),
)


def specs() -> tuple[MetricSpec, ...]:
    """Return the specs of all metrics of all options, each once."""
    found: dict[str, MetricSpec] = {}
    for group in GROUPS:
        # By module, and not by which module happens to be imported first.
        for option in sorted(options(group).values(), key=lambda option: option.__module__):
            for spec in _specs(option):
                found.setdefault(spec.name, spec)
    return (*found.values(), *OF_TRAINING, *OF_EVALUATION)


def shown_at(place: Place) -> tuple[str, ...]:
    """Return the names of the specs that are printed at ``place``, those of methods first."""
    found = [spec for group in reversed(GROUPS) for option in options(group).values() for spec in _specs(option)]
    return tuple(dict.fromkeys(spec.name for spec in found if place in spec.shown))


def _specs(option: type) -> tuple[MetricSpec, ...]:
    return getattr(option, "SPECS", ())


def spec_of(tag: str) -> MetricSpec | None:
    """Return the spec of ``tag``, preferring an exact name to a family; None for an unknown tag."""
    known = specs()
    exact = next((spec for spec in known if spec.name == tag), None)
    return exact or next((spec for spec in known if spec.name.endswith("*") and fnmatchcase(tag, spec.name)), None)


def latest(last: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """Return the latest value of each metric after ``row`` follows ``last``.

    A metric that ``row`` withholds (``TAG_error`` without ``TAG``) has no latest value any more.
    """
    stale = {tag.removesuffix("_error") for tag in row if tag.endswith("_error")}
    return {tag: value for tag, value in last.items() if tag not in stale} | row


def better(tag: str) -> Direction | None:
    """Return the direction in which ``tag`` improves; None if it has none, or the tag is unknown."""
    spec = spec_of(tag)
    return spec.better if spec else None


def bounds(tag: str) -> tuple[float, float]:
    """Return the lowest and the highest value that ``tag`` can have; infinite where it has no bound."""
    spec = spec_of(tag)
    return (-math.inf, math.inf) if spec is None or spec.bounds is None else spec.bounds


def rating(tag: str, value: float, best_is: str | None = None) -> float:
    """Return a rating of ``value`` of the metric ``tag``; lower is better.

    ``best_is`` (``lowest`` or ``highest``) overrides the metric's own direction.
    """
    highest = best_is == "highest" or (best_is is None and better(tag) == "higher")
    return -value if highest else value
