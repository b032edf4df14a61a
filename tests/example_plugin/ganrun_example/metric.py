"""A metric of samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ganrun.config.registry import register
from ganrun.config.settings import Train
from ganrun.evaluation.metrics.base import EvalContext, Measure, Metric
from ganrun.methods.experiment import Experiment
from ganrun.methods.method_option import TagFamily
from ganrun.methods.metric_spec import MetricSpec


@register("metric", "norm")
@dataclass(frozen=True)
class Norm(Metric):
    """The mean Euclidean norm of the samples."""

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        MetricSpec("samples/norm", "mean Euclidean norm of the samples", "", "lower"),
    )

    name: str = "norm"

    def tag_families(self, config: Train) -> Iterator[TagFamily]:
        yield ("samples/norm",), ""

    def prepare(self, experiment: Experiment) -> Measure:
        def measure(context: EvalContext) -> dict[str, float]:
            rows = context.samples.reshape(len(context.samples), -1)
            return {"samples/norm": float(np.linalg.norm(rows, axis=1).mean())}

        return measure
