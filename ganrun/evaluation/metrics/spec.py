"""The specification of every metric: unit, direction and a one-line description, defined only here.

``compare``, searches, ``checkpoint.best`` and pruning use the direction; the table at the end of a run and the text
page in TensorBoard use the description.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

Direction = Literal["lower", "higher"]


@dataclass(frozen=True)
class MetricSpec:
    """One metric, or a family of metrics.

    Attributes:
        name: the tag in TensorBoard and metrics.jsonl; a trailing ``*`` matches the tags of a family.
        meaning: a one-line description for tables.
        unit: nats, steps/s, ...; empty for counts, shares and scores without a unit.
        better: the direction of improvement; None if neither direction is better.
    """

    name: str
    meaning: str
    unit: str = ""
    better: Direction | None = None


SPECS = (
    MetricSpec("jsd/exact", "Jensen-Shannon divergence of data and model, from the known density", "nats", "lower"),
    MetricSpec("jsd/exact_error", "error bound of jsd/exact; logged without it where it exceeds the value", "nats"),
    MetricSpec("jsd/smoothed", "the same with noise of half a mode's width added to data and model", "nats", "lower"),
    MetricSpec("jsd/smoothed_error", "error bound of jsd/smoothed", "nats"),
    MetricSpec("jsd/probe", "what classifiers detect of the divergence: a lower bound, on average", "nats", "lower"),
    MetricSpec("jsd/probe_se", "standard error of jsd/probe, from sampling only", "nats"),
    MetricSpec("jsd/probe_lower", "95 % lower confidence bound of what the classifiers detect", "nats", "lower"),
    MetricSpec("jsd/online", "(V + log 4)/2 of the training discriminator; not a divergence", "nats"),
    MetricSpec("kl/forward", "KL(data, model)", "nats", "lower"),
    MetricSpec("kl/reverse", "KL(model, data)", "nats", "lower"),
    MetricSpec("w1", "Wasserstein-1 distance on the line, in the data's units", "", "lower"),
    MetricSpec("data_missed", "share of the data where the model has no density", "", "lower"),
    MetricSpec("modes/covered", "modes with at least a fifth of their share of samples", "", "higher"),
    MetricSpec("modes/high_quality_data", "modes/high_quality of as many examples of the data"),
    MetricSpec("modes/kl_data", "modes/kl of as many examples of the data", "nats"),
    MetricSpec("modes/high_quality", "share of samples within three standard deviations of a mode", "", "higher"),
    MetricSpec("modes/kl", "KL(samples, data) over the modes", "nats", "lower"),
    MetricSpec("samples/diversity", "distance between samples relative to that between held-out examples; 1 is ideal"),
    MetricSpec("samples/nearest_training", "distance to the training data relative to held-out examples; 0 is copying"),
    MetricSpec("D(x)", "mean probability of being real that D assigns to data"),
    MetricSpec("D(G(z))", "mean probability of being real that D assigns to samples"),
    MetricSpec("D(x)/*", "D(x), by class or calibrated"),
    MetricSpec("D(G(z))/*", "D(G(z)), by class or calibrated"),
    MetricSpec("value", "the game value V", "nats"),
    MetricSpec("value/pair", "the game value over pairs of data and samples", "nats"),
    MetricSpec("critic/real", "mean output of the critic on data"),
    MetricSpec("critic/fake", "mean output of the critic on samples"),
    MetricSpec("critic/real/*", "mean output of the critic on data of a class"),
    MetricSpec("critic/fake/*", "mean output of the critic on samples of a class"),
    MetricSpec("loss/*", "loss that the network minimises"),
    MetricSpec("grad_norm/*", "Euclidean norm of the gradient"),
    MetricSpec("penalty/*", "term that the penalty adds to the discriminator's loss"),
    MetricSpec("schedule/k", "discriminator updates per step"),
    MetricSpec("probe/seconds", "wall time of one probe", "s"),
    MetricSpec("steps_per_second", "generator updates per second", "steps/s", "higher"),
)


def spec_of(tag: str) -> MetricSpec | None:
    """Return the spec of ``tag``, preferring an exact name to a family; None for an unknown tag."""
    exact = next((spec for spec in SPECS if spec.name == tag), None)
    return exact or next((spec for spec in SPECS if spec.name.endswith("*") and fnmatchcase(tag, spec.name)), None)


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


def rating(tag: str, value: float, best_is: str | None = None) -> float:
    """Return a rating of ``value`` of the metric ``tag``; lower is better.

    ``best_is`` (``lowest`` or ``highest``) overrides the metric's own direction.
    """
    highest = best_is == "highest" or (best_is is None and better(tag) == "higher")
    return -value if highest else value
