"""All families of metrics of ``ganrun eval``, and the choice of some of them by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ganrun.errors import ConfigError, did_you_mean, instead, shown
from ganrun.evaluation.measurements import classification, copies, likelihood, of_model, two_samples
from ganrun.evaluation.measurements.base import Family, Measurement, Sets, Settings
from ganrun.evaluation.measurements.specs import DISTANCES
from ganrun.evaluation.metrics.spec import LIST_TAGS

FAMILIES: tuple[Family, ...] = (
    *two_samples.FAMILIES,
    *copies.FAMILIES,
    *likelihood.FAMILIES,
    *of_model.FAMILIES,
    *classification.FAMILIES,
)


def family(name: str) -> Family:
    """Return the family ``name``."""
    return next(family for family in FAMILIES if family.name == name)


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        measurements: in the order of the families.
        left_out: reasons why chosen families do not apply, by family, and why chosen tags were not measured, by tag.
    """

    measurements: tuple[Measurement, ...]
    left_out: dict[str, str]


def names() -> tuple[str, ...]:
    """Return the names that ``metrics=[...]`` understands: families, and single tags."""
    return tuple(dict.fromkeys([*(f.name for f in FAMILIES), *(tag for f in FAMILIES for tag in f.tags)]))


def require_known(metrics: Sequence[str]) -> None:
    """Raise :class:`ConfigError` if one of ``metrics`` is neither a family nor a tag."""
    for name in metrics:
        if name not in names():
            families = instead("", (family.name for family in FAMILIES), "There are", LIST_TAGS)
            raise ConfigError(f"metrics: there is no '{shown(name)}'.{did_you_mean(name, names())}{families}")


def evaluate(
    sets: Sets, metrics: Sequence[str], settings: Settings, show: Callable[[str], None] = lambda name: None
) -> Result:
    """Measure ``sets``.

    Args:
        sets: samples and real examples.
        metrics: names of families and tags; none: all that apply.
        settings: how to measure.
        show: is called with the name of each family before it is measured.
    """
    found, left_out = [], {}
    for family, tags in _chosen(metrics):
        if reason := family.missing(sets):
            left_out[family.name] = reason
            continue
        show(family.name)
        measured = family.measure(sets, settings)
        found += [one for one in measured if not tags or one.tag in tags]
        there = [one.tag for one in measured]
        left_out |= {tag: _instead(family, there) for tag in family.tags if tag in tags and tag not in there}
    return Result(tuple(found), left_out)


def _instead(family: Family, there: Sequence[str]) -> str:
    """Return why a tag of ``family`` was not measured, where ``there`` are those that were."""
    if family.name in DISTANCES and there:
        return f"with these features it is '{there[0]}'"
    return f"{family.name} has only {', '.join(there)} here" if there else f"{family.name} measured nothing here"


def _chosen(metrics: Sequence[str]) -> Iterator[tuple[Family, frozenset[str]]]:
    """Yield the chosen families, each with the tags that are shown of it; no tags: all."""
    for family in FAMILIES:
        tags = frozenset(family.tags).intersection(metrics) if family.name not in metrics else frozenset()
        if not metrics or family.name in metrics or tags:
            yield family, tags
