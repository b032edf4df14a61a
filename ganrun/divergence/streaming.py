"""The streaming probe: both sides can be drawn from without end, so nothing has to be saved on.

The experts learn from one large draw, the network from a fresh minibatch at every update, the combination and the
score from draws of their own. With nothing to learn by heart, what is left is what the classifier cannot resolve.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from ganrun.divergence import network, stack
from ganrun.divergence.combination import combine
from ganrun.divergence.coordinates import Coordinates
from ganrun.divergence.estimate import Estimate
from ganrun.divergence.judge import Judge

LIMIT = 12.0  # log-odds are cut off here: with 1e5 examples a side nothing beyond can be known

# draw(n, seed) -> (n, d): fresh examples, other ones for every seed.
Draw = Callable[[int, int], np.ndarray]


class Source:
    """Both sides, where every request gets examples that no other request got."""

    def __init__(self, real: Draw, fake: Draw, seed: int) -> None:
        self._sides, self._seed, self._requests = (real, fake), seed, 0
        self.dimensions = 0

    def sides(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ``n`` fresh examples of each side."""
        self._requests += 1
        words = np.random.SeedSequence([self._seed, self._requests]).generate_state(2)
        real, fake = (draw(n, int(word)) for draw, word in zip(self._sides, words, strict=True))
        self.dimensions = real.shape[1]
        return real, fake

    def labelled(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ``n`` fresh examples of each side in random order, and which of them are real."""
        real, fake = self.sides(n)
        order = np.random.default_rng([self._seed, self._requests]).permutation(2 * n)
        return np.concatenate([real, fake])[order], order < n


@dataclass(frozen=True)
class Plan:
    """How much a budget buys: examples a side to learn shapes from, to search for neighbours, to combine on and to
    score, and the networks' updates.
    """

    learned: int
    crowd: int
    combined: int
    scored: int
    updates: int

    @classmethod
    def of(cls, budget: float) -> Plan:
        return cls(
            learned=int(np.clip(30_000 * budget, 6_000, 60_000)),
            crowd=int(np.clip(300_000 * budget, 10_000, 2_000_000)),
            combined=int(np.clip(8_000 * budget, 2_000, 20_000)),
            scored=int(np.clip(50_000 * budget, 10_000, 400_000)),
            updates=int(np.clip(3_000 * budget, 200, 100_000)),
        )


def estimate(
    real: Draw, fake: Draw, seed: int = 0, budget: float = 1.0, scored: int | None = None, workers: int = 1
) -> Estimate:
    """Estimate the Jensen-Shannon divergence between what ``real`` and ``fake`` draw, in nats."""
    plan = Plan.of(budget)
    source = Source(real, fake, seed)
    judge = fit(source, plan, seed, budget, workers)
    on_real, on_fake = (judge(rows) for rows in source.sides(scored or plan.scored))
    return stack.summarise(on_real, on_fake, LIMIT, method="streaming", d=source.dimensions)


def fit(source: Source, plan: Plan, seed: int, budget: float, workers: int = 1) -> Judge:
    """Return the classifier of examples ``(n, d)`` that ``plan`` pays for.

    ``workers`` experts learn at the same time; their number changes nothing.
    """
    x, is_real = source.labelled(plan.learned)
    see = Coordinates.fit(x)
    seen = see(x)

    def stream(n: int) -> tuple[np.ndarray, np.ndarray]:
        rows, labels = source.labelled(n // 2)
        return see(rows), labels

    held, combined = stream(2 * plan.combined), stream(2 * plan.combined)
    crowd = stack.crowd(seen.shape[1], max(200, plan.updates // 3))
    nearest = stream(2 * plan.crowd) if crowd else None
    # From here on the network alone draws, so that the order of the draws is the same whoever is done first.
    tasks = [lambda: network.learn(stream, held, seed, plan.updates)]
    tasks += [partial(learn, *nearest, seed) for learn in crowd if nearest is not None]
    tasks += [partial(learn, seen, is_real, seed) for learn in stack.panel(seen.shape[1], budget)]
    with ThreadPoolExecutor(workers) as pool:
        judges = list(pool.map(lambda task: task(), tasks))
    judge = combine(judges, *combined)
    return lambda rows: judge(see(rows))
