"""The streaming probe: both distributions can be sampled without limit.

The base learners are fitted on one large draw, the network on a fresh minibatch at every update, the combination and
the score on independent draws. Nothing can be overfitted, so the only bias is what the classifier cannot resolve.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from ganrun.evaluation.divergence.classifier import network, stack
from ganrun.evaluation.divergence.classifier.classifier import Classifier
from ganrun.evaluation.divergence.classifier.combination import combine
from ganrun.evaluation.divergence.coordinates import Coordinates
from ganrun.evaluation.divergence.estimate import Estimate

LIMIT = 12.0  # log-odds are clipped to ±LIMIT: 1e5 examples per distribution support no larger ones

# draw(n, seed) -> (n, d): fresh examples, different for every seed.
Draw = Callable[[int, int], np.ndarray]


class Source:
    """Both distributions; every request returns new examples."""

    def __init__(self, real: Draw, fake: Draw, seed: int) -> None:
        self._draws, self._seed, self._requests = (real, fake), seed, 0
        self.dimensions = 0

    def pair(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ``n`` fresh examples of each distribution."""
        self._requests += 1
        words = np.random.SeedSequence([self._seed, self._requests]).generate_state(2)
        real, fake = (draw(n, int(word)) for draw, word in zip(self._draws, words, strict=True))
        self.dimensions = real.shape[1]
        return real, fake

    def labelled(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ``n`` fresh examples of each distribution in random order, and which of them are real."""
        real, fake = self.pair(n)
        order = np.random.default_rng([self._seed, self._requests]).permutation(2 * n)
        return np.concatenate([real, fake])[order], order < n


@dataclass(frozen=True)
class Plan:
    """The amount of work for a budget.

    Attributes:
        learned: examples per distribution that the parametric base learners are fitted on.
        neighbours: those that the nearest-neighbour base learners search.
        combined: those that the combination is fitted on.
        scored: those that are scored.
        updates: of the network.
    """

    learned: int
    neighbours: int
    combined: int
    scored: int
    updates: int

    @classmethod
    def of(cls, budget: float) -> Plan:
        return cls(
            learned=int(np.clip(30_000 * budget, 6_000, 60_000)),
            neighbours=int(np.clip(300_000 * budget, 10_000, 2_000_000)),
            combined=int(np.clip(8_000 * budget, 2_000, 20_000)),
            scored=int(np.clip(50_000 * budget, 10_000, 400_000)),
            updates=int(np.clip(3_000 * budget, 200, 100_000)),
        )


SMALLEST = Plan(learned=400, neighbours=600, combined=100, scored=1, updates=1)


def prepare(real: Draw, fake: Draw, budget: float) -> None:
    """Load the libraries and compile the programs that :func:`estimate` needs for such data."""
    fit(Source(real, fake, 0), SMALLEST, 0, budget)


def estimate(
    real: Draw, fake: Draw, seed: int = 0, budget: float = 1.0, scored: int | None = None, workers: int = 1
) -> Estimate:
    """Estimate the Jensen-Shannon divergence between the distributions that ``real`` and ``fake`` sample, in nats."""
    plan = Plan.of(budget)
    source = Source(real, fake, seed)
    classifier = fit(source, plan, seed, budget, workers)
    on_real, on_fake = (classifier(rows) for rows in source.pair(scored or plan.scored))
    return stack.summarise(on_real, on_fake, LIMIT, estimator="streaming", d=source.dimensions)


def fit(source: Source, plan: Plan, seed: int, budget: float, workers: int = 1) -> Classifier:
    """Return the classifier of examples ``(n, d)`` trained with the amount of work in ``plan``.

    ``workers`` base learners are fitted in parallel; the result does not depend on their number.
    """
    x, is_real = source.labelled(plan.learned)
    transform = Coordinates.fit(x)
    transformed = transform(x)

    def stream(n: int) -> tuple[np.ndarray, np.ndarray]:
        rows, labels = source.labelled(n // 2)
        return transform(rows), labels

    held, combined = stream(2 * plan.combined), stream(2 * plan.combined)
    neighbour_learners = stack.neighbour_learners(transformed.shape[1], max(200, plan.updates // 3), workers)
    nearest = stream(2 * plan.neighbours) if neighbour_learners else None
    # From here on only the network draws, so the order of the draws does not depend on the threads' timing.
    tasks = [lambda: network.learn(stream, held, seed, plan.updates)]
    tasks += [partial(learn, *nearest, seed) for learn in neighbour_learners if nearest is not None]
    tasks += [
        partial(learn, transformed, is_real, seed) for learn in stack.parametric_learners(transformed.shape[1], budget)
    ]
    with ThreadPoolExecutor(workers) as pool:
        classifiers = list(pool.map(lambda task: task(), tasks))
    classifier = combine(classifiers, *combined)
    return lambda rows: classifier(transform(rows))
