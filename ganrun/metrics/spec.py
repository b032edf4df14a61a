"""What every metric is: its unit, its direction and one line of meaning, each written here and nowhere else.

``compare``, a search, ``checkpoint.best`` and pruning read the direction from here; the tables at the end of a run and
the text page in TensorBoard read the meaning.
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
        name: the tag in TensorBoard and metrics.jsonl; a ``*`` at its end stands for the rest of a family's tags.
        meaning: one line for a table.
        unit: nats, steps/s, ...; empty for counts, shares and scores without a unit.
        better: the direction in which a run improves; None where neither is better.
    """

    name: str
    meaning: str
    unit: str = ""
    better: Direction | None = None


SPECS = (
    MetricSpec("jsd/exact", "Jensen-Shannon divergence of data and model, from the known density", "nats", "lower"),
    MetricSpec("jsd/exact_error", "how far jsd/exact may be off; alone where that is more than the value", "nats"),
    MetricSpec("jsd/smoothed", "the same after noise of half a mode's width on both sides", "nats", "lower"),
    MetricSpec("jsd/smoothed_error", "how far jsd/smoothed may be off", "nats"),
    MetricSpec("jsd/probe", "what classifiers see of the divergence: less than it, on average", "nats", "lower"),
    MetricSpec("jsd/probe_se", "standard error of jsd/probe, of sampling alone", "nats"),
    MetricSpec(
        "jsd/probe_lower",
        "below what the classifiers see with probability 0.95",
        "nats",
        "lower",
    ),
    MetricSpec("jsd/online", "(V + log 4)/2, a game value and not a divergence", "nats"),
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
    MetricSpec("D(x)", "mean probability 'data' that D gives to data"),
    MetricSpec("D(G(z))", "mean probability 'data' that D gives to samples"),
    MetricSpec("D(x)/*", "D(x), by class or calibrated"),
    MetricSpec("D(G(z))/*", "D(G(z)), by class or calibrated"),
    MetricSpec("value", "the game value V", "nats"),
    MetricSpec("value/pair", "the game value over pairs of data and samples", "nats"),
    MetricSpec("critic/real", "mean output of the critic on data"),
    MetricSpec("critic/fake", "mean output of the critic on samples"),
    MetricSpec("critic/real/*", "mean output of the critic on data of a class"),
    MetricSpec("critic/fake/*", "mean output of the critic on samples of a class"),
    MetricSpec("loss/*", "what the network minimises"),
    MetricSpec("grad_norm/*", "Euclidean norm of the gradient"),
    MetricSpec("penalty/*", "what the penalty adds to the discriminator's loss"),
    MetricSpec("schedule/k", "discriminator updates per step"),
    MetricSpec("probe/seconds", "time that one probe took", "s"),
    MetricSpec("steps_per_second", "generator updates per second", "steps/s", "higher"),
)


def spec_of(tag: str) -> MetricSpec | None:
    """Return the spec of ``tag``, an exact name before a family; None for a tag that no metric has."""
    exact = next((spec for spec in SPECS if spec.name == tag), None)
    return exact or next((spec for spec in SPECS if spec.name.endswith("*") and fnmatchcase(tag, spec.name)), None)


def latest(last: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """Return the last value of each metric once ``row`` has followed ``last``.

    A value that is withheld, so that ``row`` has ``TAG_error`` without ``TAG``, has no last value any more.
    """
    stale = {tag.removesuffix("_error") for tag in row if tag.endswith("_error")}
    return {tag: value for tag, value in last.items() if tag not in stale} | row


def better(tag: str) -> Direction | None:
    """Return the direction in which ``tag`` improves; None where there is none, or the tag is unknown."""
    spec = spec_of(tag)
    return spec.better if spec else None
