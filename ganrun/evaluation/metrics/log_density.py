"""The mean log density of held-out data under the model, or bounds on it, for methods that can compute one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ganrun.config.registry import number, register
from ganrun.config.settings import Train
from ganrun.datasets.sampler import Cursor
from ganrun.evaluation.metrics.base import EvalContext, Measure, Metric
from ganrun.keys import key_for
from ganrun.methods.experiment import Experiment
from ganrun.methods.method_option import TagFamily
from ganrun.methods.metric_spec import MetricSpec

BITS = "bits_per_dim/"  # prefix of the tags in bits per dimension
BATCH = 100  # examples per call of the compiled program


@register("metric", "log_density")
@dataclass(frozen=True)
class LogDensity(Metric):
    """The mean of log p(x) over held-out examples, or of the bounds that a method computes, with a standard error.

    The tags are those of the method, such as ``elbo``; see ``ganrun list method``. The standard error covers the choice
    of examples and the method's own random draws, also those that all examples share, such as an estimate of the
    normalising constant. Densities of vectors are those in the units of the data. For images, the same in bits per
    pixel and channel.

    Formula: bits per dimension = -log p(x) / (d log 2) for d numbers per example

    Attributes:
        examples: held-out examples per snapshot; the same at every snapshot.
        final_examples: held-out examples at the last step.
    """

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        MetricSpec(f"{BITS}*", "the negative log density of an image per pixel and channel", "bits", "lower"),
    )

    name: str = "log_density"
    examples: int = number(1_000, low=2, high=10_000_000)
    final_examples: int = number(10_000, low=2, high=10_000_000)

    def tag_families(self, config: Train) -> Iterator[TagFamily]:
        method = config.method.build(config, config.dataset.shape)
        for spec in method.densities:
            yield (spec.name, f"{spec.name}_se"), ""
            if len(config.dataset.shape) == 3:
                yield (BITS + spec.name,), ""
        if method.normaliser_specs:
            yield tuple(spec.name for spec in method.normaliser_specs), ""

    def prepare(self, experiment: Experiment) -> Measure:
        rows = getattr(experiment.data.held_out, "flat", None)

        def measure(context: EvalContext) -> dict[str, float]:
            n = self.final_examples if context.is_last else self.examples
            # Drawn anew and not kept: every member of a population would hold a copy.
            x = np.asarray(_draw(experiment, n if rows is None else min(n, len(rows))))
            key = key_for(jax.random.key(np.uint32(context.noise)), "log density")
            variables = experiment.with_normaliser(context.variables, key_for(key, "normaliser"))
            shared = experiment.method.shared_errors
            scalars = {
                spec.name: float(variables["normaliser"][spec.name]) for spec in experiment.method.normaliser_specs
            }
            for name, estimate in log_densities(experiment, variables, key, x).items():
                scalars[name] = float(estimate.mean()) - experiment.data.log_volume
                error = float(estimate.std(ddof=1) / np.sqrt(len(estimate)))
                scalars[f"{name}_se"] = math.hypot(error, scalars[shared[name]] if name in shared else 0.0)
                if x.ndim == 4:
                    scalars[BITS + name] = -scalars[name] / (math.prod(x.shape[1:]) * math.log(2.0))
            return scalars

        return measure


def log_densities(experiment: Experiment, variables: Any, key: jax.Array, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return the estimates of log p(x) in nats of all ``x`` ``(n, *shape)``, by name: float64 ``(n,)``."""
    variables = experiment.with_normaliser(variables, key_for(key, "normaliser"))
    parts = []
    for i, start in enumerate(range(0, len(x), BATCH)):
        rows = np.resize(x[start : start + BATCH], (BATCH, *x.shape[1:]))  # compiled for one shape
        estimates = experiment.log_density(variables, key_for(key, "batch", i), jnp.asarray(rows, jnp.float32))
        parts.append({name: np.asarray(array)[: len(x) - start] for name, array in estimates.items()})
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float64) for name in parts[0]}


def _draw(experiment: Experiment, n: int) -> jax.Array:
    """Return ``n`` held-out examples, the same at every snapshot of a run."""
    held_out = experiment.data.held_out
    assert held_out is not None
    return held_out.minibatch(key_for(jax.random.key(0), "held-out examples"), Cursor.start(), n)[0]
