"""The stack probe: how well do classifiers separate two finite samples on examples that they were not trained on?

Cross-fitted stacking. The examples are split into five folds; for each fold the base learners are fitted on three
others and the combination on the fourth, and the fold itself is scored. Every example is scored once, by a classifier
that was fitted without it, and the mean score is a lower bound of the divergence in expectation: it excludes
differences that no base learner detects.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from ganrun.evaluation.divergence.classifier import base_learners, network
from ganrun.evaluation.divergence.classifier.classifier import Classifier
from ganrun.evaluation.divergence.classifier.combination import combine
from ganrun.evaluation.divergence.classifier.confidence import lower_bound, standard_error
from ganrun.evaluation.divergence.coordinates import Coordinates
from ganrun.evaluation.divergence.estimate import Estimate, scores

FOLDS = 5
NEAR = 4  # maximum dimension for nearest neighbours: beyond, they are far away and slow to find


@dataclass(frozen=True)
class Scored:
    """Held-out log-odds by the classifier of each fold, and the classifiers themselves."""

    real: np.ndarray
    fake: np.ndarray
    classifiers: tuple[Classifier, ...]


def parametric_learners(d: int, budget: float) -> list[base_learners.BaseLearner]:
    """Return the base learners with global models for ``d`` dimensions; a small ``budget`` leaves out the slow ones."""
    sizes = (4, 10, 25, 60) if d <= 3 else (1, 4, 12) if d <= 16 else (1, 3)
    rounds = 40
    if budget < 1.0:
        sizes, rounds = sizes[:3], 25
    learners: list[base_learners.BaseLearner] = [
        partial(base_learners.mixture, components=k, rounds=rounds) for k in sizes
    ]
    learners.append(base_learners.quadratic)
    if budget >= 0.5:
        learners.append(base_learners.kernel)
    return learners


def neighbour_learners(d: int, updates: int, workers: int = 1) -> list[base_learners.BaseLearner]:
    """Return the nearest-neighbour base learners, which resolve the finest differences in few dimensions.

    Their classifiers search in ``workers`` threads.
    """
    if d > NEAR:
        return []
    return [
        partial(base_learners.neighbours, workers=workers),
        partial(base_learners.distances, updates=updates, workers=workers),
    ]


def classifier(
    x: np.ndarray, is_real: np.ndarray, held_x: np.ndarray, held_is_real: np.ndarray, seed: int, budget: float
) -> Classifier:
    """Return the ensemble: base learners fitted on ``x``, their combination on ``held_x`` (disjoint from it)."""
    transform = Coordinates.fit(x)
    transformed = transform(x)
    d, updates = transformed.shape[1], round(1000 * min(budget, 1.0))
    learners = [
        *parametric_learners(d, budget),
        *neighbour_learners(d, updates),
        partial(network.on_examples, updates=updates),
    ]
    classifiers = [learn(transformed, is_real, seed) for learn in learners]
    combined = combine(classifiers, transform(held_x), held_is_real)
    return lambda rows: combined(transform(rows))


def prepare(real: np.ndarray, fake: np.ndarray, budget: float) -> None:
    """Load the libraries and compile the programs that :func:`estimate` needs for such data."""
    x, is_real = _together([real], [fake])
    classifier(x, is_real, x, is_real, 0, min(budget, 0.1))


def cross_fit(real: np.ndarray, fake: np.ndarray, seed: int, budget: float, workers: int = 1) -> Scored:
    """Score every example of ``real`` and ``fake`` ``(n, d)`` by a classifier that was fitted without it.

    ``workers`` folds are fitted in parallel; the result does not depend on their number.
    """
    rng = np.random.default_rng(seed)
    folds = [[part[chosen] for chosen in np.array_split(rng.permutation(len(part)), FOLDS)] for part in (real, fake)]

    def fit(i: int) -> tuple[Classifier, np.ndarray, np.ndarray]:
        held = (i + 1) % FOLDS
        rest = [j for j in range(FOLDS) if j not in (i, held)]
        x, is_real = _together([folds[0][j] for j in rest], [folds[1][j] for j in rest])
        order = np.random.default_rng([seed, i]).permutation(len(x))
        fitted = classifier(x[order], is_real[order], *_together([folds[0][held]], [folds[1][held]]), seed + i, budget)
        return fitted, fitted(folds[0][i]), fitted(folds[1][i])

    with ThreadPoolExecutor(workers) as pool:
        classifiers, on_real, on_fake = zip(*pool.map(fit, range(FOLDS)), strict=True)
    return Scored(np.concatenate(on_real), np.concatenate(on_fake), classifiers)


def _together(real: list[np.ndarray], fake: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    x = np.concatenate([*real, *fake])
    return x, np.arange(len(x)) < sum(len(part) for part in real)


def estimate(real: np.ndarray, fake: np.ndarray, seed: int = 0, budget: float = 1.0, workers: int = 1) -> Estimate:
    """Estimate the Jensen-Shannon divergence of the samples ``real`` ``(n, d)`` and ``fake`` ``(m, d)``, in nats."""
    scored = cross_fit(real, fake, seed, budget, workers)
    limit = float(np.log(min(len(real), len(fake)))) + 1.0  # so many examples support no larger log-odds
    return summarise(scored.real, scored.fake, limit, estimator="stack", d=real.shape[1])


def summarise(real: np.ndarray, fake: np.ndarray, limit: float, *, estimator: str, d: int) -> Estimate:
    """Return the estimate from held-out log-odds, clipped to ±``limit`` so that scores are bounded."""
    on_real, on_fake = scores(np.clip(real, -limit, limit), np.clip(fake, -limit, limit))
    worst, best = (float(end[0]) for end in scores(np.array([-limit]), np.array([-limit])))
    return Estimate(
        estimate=0.5 * float(on_real.mean() + on_fake.mean()),
        se=standard_error(on_real, on_fake),
        lower=lower_bound(on_real, on_fake, worst, best),
        estimator=estimator,
        n=min(len(real), len(fake)),
        d=d,
    )
