"""The probe of a run: classifiers independent of the training discriminator that measure how far G is from the data.

Its randomness is a function of (seed, step) and it keeps no state between evaluations, so a run that was stopped and
resumed logs the same values.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from ganrun.config.registry import number, register
from ganrun.errors import ConfigError
from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.evaluation.divergence.estimate import Estimate
from ganrun.methods.metric_spec import AT_LEAST_0, MetricSpec

FINITE = 2_000  # examples per distribution at a budget of 1, for finite datasets


@dataclass(frozen=True)
class Probe:
    """When a probe runs, and its amount of work.

    Attributes:
        times: evaluations per run, evenly spaced, the last one at the end.
        every: steps between evaluations, rounded to rows of metrics; 0: derived from ``times``.
        budget: work per evaluation; 1 is the default of ``ganrun jsd``, and larger budgets resolve more.
    """

    name: str = ""
    times: int = number(4, low=1, high=100_000)
    every: int = number(0, low=0, high=2**31 - 1)
    budget: float = number(0.2, low=0.05, high=1000.0)

    def check(self, dataset: Any) -> None:
        """Raise :class:`ConfigError` if this probe does not support ``dataset``."""

    def prepare(self, data: Distribution, model: Distribution) -> None:
        """Load the libraries and compile the programs that :meth:`measure` needs."""

    def measure(
        self, data: Distribution, model: Distribution, seed: int, step: int, workers: int = 1
    ) -> dict[str, float]:
        """Return the metrics of one evaluation of ``model`` by tag; empty without a probe.

        ``workers`` threads share the work; the result does not depend on their number.
        """
        del data, model, seed, step, workers
        return {}


@dataclass(frozen=True)
class Measuring(Probe, ABC):
    """A probe that measures; subclasses define the estimator."""

    SPECS: ClassVar[tuple[MetricSpec, ...]] = (
        MetricSpec(
            "jsd/probe", "what classifiers detect of the divergence: a lower bound, on average", "nats", "lower"
        ),
        MetricSpec("jsd/probe_se", "standard error of jsd/probe, from sampling only", "nats", bounds=AT_LEAST_0),
        MetricSpec("jsd/probe_lower", "95 % lower confidence bound of what the classifiers detect", "nats", "lower"),
        MetricSpec("probe/seconds", "wall time of one probe", "s", bounds=AT_LEAST_0),
    )

    def check(self, dataset: Any) -> None:
        if hasattr(dataset, "source"):
            raise ConfigError(f"{dataset.name} has no density, so no divergence can be measured: use probe=off.")

    def measure(
        self, data: Distribution, model: Distribution, seed: int, step: int, workers: int = 1
    ) -> dict[str, float]:
        """Return ``jsd/probe``, its lower bound and standard error (nats), and the wall time in seconds."""
        begun = time.perf_counter()
        # Training continues in parallel: more threads than cores would slow down both.
        with threadpool_limits(1):
            words = np.random.SeedSequence([seed, step]).generate_state(1)
            result = self.estimate(data, model, int(words[0]), workers)
        assert result.lower is not None  # classifier-based estimates have a lower bound
        return {
            "jsd/probe": result.estimate,
            "jsd/probe_lower": result.lower,
            "jsd/probe_se": result.se,
            "probe/seconds": time.perf_counter() - begun,
        }

    @abstractmethod
    def estimate(self, data: Distribution, model: Distribution, seed: int, workers: int = 1) -> Estimate:
        """Return the estimate between ``data`` and ``model``, a function of the seed."""


@register("probe", "off")
@dataclass(frozen=True)
class Off(Probe):
    """No probe; ``times``, ``every`` and ``budget`` are kept, so that a run can be resumed with one."""

    name: str = "off"


@register("probe", "streaming")
@dataclass(frozen=True)
class Streaming(Measuring):
    """Classifiers D trained and scored on fresh examples of data and model: for data that can be sampled without limit.

    Formula: JSD(data, model) ≥ log 2 + E log D(x) / 2 + E log(1 - D(G(z))) / 2 for any D
    Paper: Goodfellow et al. 2014, "Generative adversarial nets", section 4.1.
    """

    name: str = "streaming"

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        if not hasattr(dataset, "density"):
            raise ConfigError(
                f"probe=streaming needs a known density, and {dataset.name} is a finite set: use probe=stack."
            )

    def prepare(self, data: Distribution, model: Distribution) -> None:
        assert data.draw is not None and model.draw is not None
        from ganrun.evaluation.divergence.classifier import streaming

        streaming.prepare(data.draw, model.draw, self.budget)

    def estimate(self, data: Distribution, model: Distribution, seed: int, workers: int = 1) -> Estimate:
        assert data.draw is not None and model.draw is not None
        from ganrun.evaluation.divergence.classifier import streaming

        return streaming.estimate(data.draw, model.draw, seed, self.budget, workers=workers)


@register("probe", "stack")
@dataclass(frozen=True)
class Stack(Measuring):
    """Classifiers D cross-fitted on held-out data and as many samples: for finite datasets.

    Formula: JSD(data, model) ≥ log 2 + E log D(x) / 2 + E log(1 - D(G(z))) / 2, with each example scored by a D that
    was fitted without it
    Paper: Goodfellow et al. 2014, "Generative adversarial nets", section 4.1; the combination of the classifiers:
    Wolpert 1992, "Stacked generalization", and Breiman 1996, "Stacked regressions".

    The data are held out from training, but memorisation is detected only in part: a few rows repeated often show as a
    divergence, while replaying the whole training set is indistinguishable from fresh data. ``ganrun jsd`` searches for
    copies.
    """

    name: str = "stack"

    def prepare(self, data: Distribution, model: Distribution) -> None:
        from ganrun.evaluation.divergence.classifier import stack

        assert model.draw is not None
        real = self._examples(data, 0)[:200]
        stack.prepare(real, model.draw(len(real), 1), self.budget)

    def _examples(self, data: Distribution, seed: int) -> np.ndarray:
        count = max(200, round(FINITE * self.budget))
        if data.rows is None:
            assert data.draw is not None
            return data.draw(count, seed)
        return data.rows[np.random.default_rng(seed).permutation(len(data.rows))[:count]]

    def estimate(self, data: Distribution, model: Distribution, seed: int, workers: int = 1) -> Estimate:
        from ganrun.evaluation.divergence.classifier import stack

        assert model.draw is not None
        real = self._examples(data, seed)
        return stack.estimate(real, model.draw(len(real), seed + 1), seed, self.budget, workers)
