"""The exact divergences of a model from data with a known density."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ganrun.config.registry import register
from ganrun.config.settings import Train
from ganrun.evaluation.divergence.estimate import LOG_2, withheld
from ganrun.evaluation.divergence.exact.model import of_model
from ganrun.evaluation.metrics.base import EvalContext, Measure, Metric, known_density
from ganrun.methods.experiment import Experiment
from ganrun.methods.method_option import TagFamily
from ganrun.methods.metric_spec import AT_LEAST_0, SHARE, MetricSpec

DURING_TRAINING, AT_THE_END = (256, 1 << 14), (512, 1 << 16)  # grid nodes and query points for a latent plane


@register("metric", "exact")
@dataclass(frozen=True)
class ExactDivergences(Metric):
    """The divergences of the model from a known density on the line or in the plane, computed and not estimated.

    Formula: JSD(p, q) = KL(p, m) / 2 + KL(q, m) / 2 with m = (p + q) / 2
    Paper: Goodfellow et al. 2014, "Generative adversarial nets", section 4.1.
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        MetricSpec(
            "jsd/exact",
            "Jensen-Shannon divergence of data and model, from the known density",
            "nats",
            "lower",
            bounds=(0.0, LOG_2),
        ),
        MetricSpec(
            "jsd/exact_error",
            "error bound of jsd/exact; logged without it where it exceeds the value",
            "nats",
            bounds=AT_LEAST_0,
        ),
        MetricSpec(
            "jsd/smoothed",
            "the same with noise of half a mode's width added to data and model",
            "nats",
            "lower",
            bounds=(0.0, LOG_2),
        ),
        MetricSpec("jsd/smoothed_error", "error bound of jsd/smoothed", "nats", bounds=AT_LEAST_0),
        MetricSpec("kl/forward", "KL(data, model)", "nats", "lower", bounds=AT_LEAST_0),
        MetricSpec("kl/reverse", "KL(model, data)", "nats", "lower", bounds=AT_LEAST_0),
        MetricSpec("w1", "Wasserstein-1 distance on the line, in the data's units", "", "lower", bounds=AT_LEAST_0),
        MetricSpec("data_missed", "share of the data where the model has no density", "", "lower", bounds=SHARE),
    )

    name: str = "exact"

    def tag_families(self, config: Train) -> Iterator[TagFamily]:
        dataset, without = config.dataset, known_density(config)
        yield ("jsd/exact", "jsd/exact_error", "kl/forward", "kl/reverse"), without
        line = "" if dataset.shape == (1,) else f"dataset={dataset.name} is not on the line"
        yield ("w1",), without or line
        method = config.method.build(config, dataset.shape)
        singular = 0 < method.rank < math.prod(dataset.shape)
        yield (
            ("jsd/smoothed", "jsd/smoothed_error"),
            without or ("" if singular else f"its {method.MODEL} can fill all dimensions of the data"),
        )
        pushes = "push" in method.capabilities and not method.classes
        known = "exact_density" in method.capabilities
        followed = dataset.shape == (2,) and pushes and method.prior is not None and method.prior.dim == 2 and not known
        unknown = "density has no gaps" if known else "density cannot be computed"
        cannot = "" if singular or followed else f"its {method.MODEL}'s {unknown}"
        yield ("data_missed",), without or cannot

    def prepare(self, experiment: Experiment) -> Measure:
        return _divergences


def _divergences(context: EvalContext) -> dict[str, float]:
    assert context.density is not None
    nodes, points = AT_THE_END if context.is_last else DURING_TRAINING
    divergences = of_model(context.density, context.model, lambda: context.dense, nodes, points, context.noise)
    exact = divergences.exact
    scalars = values("jsd/exact", exact.jsd, exact.error)
    scalars |= {"kl/forward": exact.kl_forward, "kl/reverse": exact.kl_reverse}
    if exact.w1 is not None:
        scalars["w1"] = exact.w1
    if divergences.missed is not None:
        scalars["data_missed"] = divergences.missed
    if divergences.smoothed is not None:
        scalars |= values("jsd/smoothed", divergences.smoothed.jsd, divergences.smoothed.error)
    return scalars


def values(tag: str, value: float, error: float) -> dict[str, float]:
    """Return ``tag`` with its error; only the error where it is so large that the value is withheld."""
    scalars = {f"{tag}_error": error}
    return scalars if withheld(value, error) else {tag: value} | scalars
