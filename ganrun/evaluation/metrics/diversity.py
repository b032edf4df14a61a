"""Distances between samples, and from samples to the training set, relative to those of held-out examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np

from ganrun.config.registry import register
from ganrun.config.settings import Train
from ganrun.datasets.rows import spaced
from ganrun.datasets.sampler import Cursor, Pixels
from ganrun.evaluation.metrics.base import Measure, Metric
from ganrun.evaluation.metrics.neighbours import nearest, spread, to_float
from ganrun.keys import key_for
from ganrun.methods.experiment import Experiment
from ganrun.methods.method_option import TagFamily
from ganrun.methods.metric_spec import AT_LEAST_0, MetricSpec

COMPARED = 256  # maximum number of samples, and of examples
MAX_BYTES = 1 << 28  # of the training examples compared, evenly spaced if there are more
TRACE = 1e-6  # a spread below this counts as that of a single point


@register("metric", "diversity")
@dataclass(frozen=True)
class SampleDiversity(Metric):
    """Distances between samples, and from samples to the training set, relative to those of held-out examples."""

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        MetricSpec(
            "samples/diversity",
            "distance between samples relative to that between held-out examples; 1 is ideal",
            bounds=AT_LEAST_0,
        ),
        MetricSpec(
            "samples/nearest_training",
            "distance to the training data relative to held-out examples; 0 is copying",
            bounds=AT_LEAST_0,
        ),
    )

    name: str = "diversity"

    def tag_families(self, config: Train) -> Iterator[TagFamily]:
        dataset = config.dataset
        constant = f"all examples of dataset={dataset.name} are the same" if hasattr(dataset, "source") else ""
        yield ("samples/diversity",), constant
        endless = hasattr(dataset, "density") or hasattr(dataset, "source")
        yield ("samples/nearest_training",), f"dataset={dataset.name} is not a finite set" if endless else ""

    def prepare(self, experiment: Experiment) -> Measure:
        diversity = Diversity(experiment.data.train, experiment.data.held_out)
        return lambda context: diversity.of(context.samples)


class Diversity:
    """Compares samples with the examples of ``train`` and ``held_out``, the sources of a run's data."""

    def __init__(self, train: Any, held_out: Any) -> None:
        examples = COMPARED
        if isinstance(held_out, Pixels):
            examples = min(examples, len(held_out.flat))
        key = key_for(jax.random.key(0), "examples")  # the same examples for every run
        drawn, _ = held_out.minibatch(key, Cursor.start(), examples)
        self._held_out = np.asarray(drawn, np.float32).reshape(examples, -1)
        self._spread = spread(self._held_out) if examples > 1 else 0.0
        flat = getattr(train, "flat", None)
        self._training = None if flat is None else np.asarray(flat[spaced(flat, MAX_BYTES)])
        self._usual = 0.0
        if self._training is not None:
            self._usual = float(np.median(nearest(self._held_out, self._training)[0]))

    def of(self, samples: np.ndarray) -> dict[str, float]:
        """Return ``samples/diversity`` and, for a finite training set, ``samples/nearest_training``.

        Both are ratios to the same quantity of held-out examples, so 1 is ideal: the mean distance between two samples,
        and the median distance from a sample to its nearest training example.

        Args:
            samples: ``(n, *shape)``, n at least 2.
        """
        rows = to_float(np.asarray(samples[:COMPARED], np.float32)).reshape(min(len(samples), COMPARED), -1)
        metrics = {}
        if self._spread > TRACE:
            metrics["samples/diversity"] = spread(rows) / self._spread
        if self._training is not None and self._usual > TRACE:
            metrics["samples/nearest_training"] = float(np.median(nearest(rows, self._training)[0])) / self._usual
        return metrics
