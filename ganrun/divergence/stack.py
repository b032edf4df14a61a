"""The frozen probe: how well can classifiers tell two finite sets of examples apart that they have not seen?

Cross-fitted stacking. The examples are dealt into five folds; for each fold the experts learn from three others, the
combination from the fourth, and the fold itself is scored. So every example is scored once, by a classifier that
never saw it, and the mean score is a lower bound of the divergence in expectation: what no expert can see is missing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from ganrun.divergence import experts, network
from ganrun.divergence.combination import combine
from ganrun.divergence.confidence import lower_bound, standard_error
from ganrun.divergence.coordinates import Coordinates
from ganrun.divergence.estimate import Estimate, scores
from ganrun.divergence.judge import Judge

FOLDS = 5
NEAR = 4  # dimensions up to which the nearest examples are near, and quick to find


@dataclass(frozen=True)
class Scored:
    """Held-out log-odds by the classifier of each fold, and the classifiers themselves."""

    real: np.ndarray
    fake: np.ndarray
    judges: tuple[Judge, ...]


def panel(d: int, budget: float) -> list[experts.Expert]:
    """Return the experts on shapes for ``d`` dimensions; a small ``budget`` leaves out the slow ones."""
    sizes = (4, 10, 25, 60) if d <= 3 else (1, 4, 12) if d <= 16 else (1, 3)
    rounds = 40
    if budget < 1.0:
        sizes, rounds = sizes[:3], 25
    members: list[experts.Expert] = [partial(experts.mixture, components=k, rounds=rounds) for k in sizes]
    members.append(experts.quadratic)
    if budget >= 0.5:
        members.append(experts.kernel)
    return members


def crowd(d: int, updates: int) -> list[experts.Expert]:
    """Return the experts on nearest neighbours, which see the finest differences where dimensions are few."""
    if d > NEAR:
        return []
    return [experts.neighbours, partial(experts.distances, updates=updates)]


def classifier(
    x: np.ndarray, is_real: np.ndarray, held_x: np.ndarray, held_is_real: np.ndarray, seed: int, budget: float
) -> Judge:
    """Return the combined classifier: experts learn from ``x``, the combination from ``held_x`` (disjoint from it)."""
    see = Coordinates.fit(x)
    seen = see(x)
    d, updates = seen.shape[1], round(1000 * min(budget, 1.0))
    members = [*panel(d, budget), *crowd(d, updates), partial(network.on_examples, updates=updates)]
    judges = [learn(seen, is_real, seed) for learn in members]
    judge = combine(judges, see(held_x), held_is_real)
    return lambda rows: judge(see(rows))


def cross_fit(real: np.ndarray, fake: np.ndarray, seed: int, budget: float, workers: int = 1) -> Scored:
    """Score every example of ``real`` and ``fake`` ``(n, d)`` by a classifier that was fitted without it.

    ``workers`` folds are fitted at the same time; their number changes nothing.
    """
    rng = np.random.default_rng(seed)
    folds = [[part[chosen] for chosen in np.array_split(rng.permutation(len(part)), FOLDS)] for part in (real, fake)]

    def fit(i: int) -> tuple[Judge, np.ndarray, np.ndarray]:
        held = (i + 1) % FOLDS
        rest = [j for j in range(FOLDS) if j not in (i, held)]
        x, is_real = _together([folds[0][j] for j in rest], [folds[1][j] for j in rest])
        order = np.random.default_rng([seed, i]).permutation(len(x))
        judge = classifier(x[order], is_real[order], *_together([folds[0][held]], [folds[1][held]]), seed + i, budget)
        return judge, judge(folds[0][i]), judge(folds[1][i])

    with ThreadPoolExecutor(workers) as pool:
        judges, on_real, on_fake = zip(*pool.map(fit, range(FOLDS)), strict=True)
    return Scored(np.concatenate(on_real), np.concatenate(on_fake), judges)


def _together(real: list[np.ndarray], fake: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    x = np.concatenate([*real, *fake])
    return x, np.arange(len(x)) < sum(len(part) for part in real)


def estimate(real: np.ndarray, fake: np.ndarray, seed: int = 0, budget: float = 1.0, workers: int = 1) -> Estimate:
    """Estimate the Jensen-Shannon divergence of the samples ``real`` ``(n, d)`` and ``fake`` ``(m, d)``, in nats."""
    scored = cross_fit(real, fake, seed, budget, workers)
    limit = float(np.log(min(len(real), len(fake)))) + 1.0  # more cannot be known from so many examples
    return summarise(scored.real, scored.fake, limit, method="stack", d=real.shape[1])


def summarise(real: np.ndarray, fake: np.ndarray, limit: float, *, method: str, d: int) -> Estimate:
    """Turn held-out log-odds into an estimate; log-odds are cut off at ±``limit`` so that scores are bounded."""
    on_real, on_fake = scores(np.clip(real, -limit, limit), np.clip(fake, -limit, limit))
    worst, best = (float(end[0]) for end in scores(np.array([-limit]), np.array([-limit])))
    return Estimate(
        estimate=0.5 * float(on_real.mean() + on_fake.mean()),
        se=standard_error(on_real, on_fake),
        lower=lower_bound(on_real, on_fake, worst, best),
        method=method,
        n=min(len(real), len(fake)),
        d=d,
    )
