"""The probe of a run: a classifier independent of the training discriminator that measures how far G is from the data.

Its randomness is a function of (seed, step), and it keeps nothing between two looks, so a run that was stopped and
continued logs the same numbers.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ganrun.divergence.estimate import Estimate
from ganrun.divergence.side import Side
from ganrun.errors import ConfigError
from ganrun.registry import number, register

FINITE = 2_000  # examples a side of a finite dataset that a budget of 1 pays for


@dataclass(frozen=True)
class Probe:
    """When a probe works, and how much.

    Attributes:
        times: looks in a run, evenly spaced, the last one at the end.
        every: steps between looks, to the nearest row of metrics; 0 means ``times`` of them.
        budget: work in one look; 1 is what ``ganrun jsd`` spends, and more resolves more.
    """

    name: str = ""
    times: int = number(4, low=1, high=100_000)
    every: int = number(0, low=0, high=2**31 - 1)
    budget: float = number(0.2, low=0.05, high=1000.0)

    def check(self, dataset: Any) -> None:
        """Raise :class:`ConfigError` where this probe cannot work on ``dataset``."""

    def measure(self, data: Side, model: Side, seed: int, step: int) -> dict[str, float]:
        """Return the tags of one look at ``model``; none where there is no probe."""
        del data, model, seed, step
        return {}


@dataclass(frozen=True)
class Measuring(Probe, ABC):
    """A probe that looks: how it estimates is its own."""

    def check(self, dataset: Any) -> None:
        if hasattr(dataset, "source"):
            raise ConfigError(f"{dataset.name} has no density, so no divergence can be measured: use probe=off.")

    def measure(self, data: Side, model: Side, seed: int, step: int) -> dict[str, float]:
        """Return the tags of one look: ``jsd/probe`` and what belongs to it, in nats, and the seconds it took."""
        begun = time.perf_counter()
        # The run trains on meanwhile: more threads than cores would slow down both.
        with threadpool_limits(1):
            found = self.estimate(data, model, int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))
        assert found.lower is not None  # classifiers have a bound
        return {
            "jsd/probe": found.estimate,
            "jsd/probe_lower": found.lower,
            "jsd/probe_se": found.se,
            "probe/seconds": time.perf_counter() - begun,
        }

    @abstractmethod
    def estimate(self, data: Side, model: Side, seed: int) -> Estimate:
        """Return what one look finds between ``data`` and ``model``; the same seed finds the same."""


@register("probe", "off")
@dataclass(frozen=True)
class Off(Probe):
    """No probe; the numbers are kept, so that a run may be resumed with one."""

    name: str = "off"


@register("probe", "streaming")
@dataclass(frozen=True)
class Streaming(Measuring):
    """Classifiers D that learn and are scored on fresh examples of both sides: for data that can be drawn without end.

    Formula: JSD(data, model) ≥ log 2 + E log D(x) / 2 + E log(1 - D(G(z))) / 2 for any D
    Paper: Goodfellow et al. 2014, "Generative adversarial nets", section 4.1.
    """

    name: str = "streaming"

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        if not hasattr(dataset, "density"):
            raise ConfigError(
                f"probe=streaming needs data without end, and {dataset.name} is a finite set: use probe=stack."
            )

    def estimate(self, data: Side, model: Side, seed: int) -> Estimate:
        assert data.draw is not None and model.draw is not None
        from ganrun.divergence import streaming

        return streaming.estimate(data.draw, model.draw, seed, self.budget)


@register("probe", "stack")
@dataclass(frozen=True)
class Stack(Measuring):
    """Classifiers D cross-fitted on held-out data and as many samples: for finite datasets.

    Formula: JSD(data, model) ≥ log 2 + E log D(x) / 2 + E log(1 - D(G(z))) / 2, with each example judged by a D that
    has not seen it
    Paper: Goodfellow et al. 2014, "Generative adversarial nets", section 4.1; the combination of the classifiers:
    Wolpert 1992, "Stacked generalization", and Breiman 1996, "Stacked regressions".

    A model that has learned its training data by heart is compared with data that it has not seen. Few rows repeated
    often show as a divergence; the whole training set replayed looks like fresh data, which is all that it can look
    like: ``ganrun jsd`` searches for copies.
    """

    name: str = "stack"

    def estimate(self, data: Side, model: Side, seed: int) -> Estimate:
        from ganrun.divergence import stack

        assert model.draw is not None
        wanted = max(200, round(FINITE * self.budget))
        if data.rows is None:
            assert data.draw is not None
            real = data.draw(wanted, seed)
        else:
            real = data.rows[np.random.default_rng(seed).permutation(len(data.rows))[:wanted]]
        return stack.estimate(real, model.draw(len(real), seed + 1), seed, self.budget)
