"""The base learners of the probe's ensemble: each estimates log p(x)/q(x) from labelled examples.

A base learner is a function ``(x, is_real, seed) -> classifier``: it is fitted on ``x`` ``(n, d)``, in the coordinates
of :mod:`~ganrun.evaluation.divergence.coordinates`, and ``is_real`` ``(n,)``, and returns a function from ``(m, d)`` to
logits ``(m,)``. None needs to be accurate everywhere: they cover sharp rings, heavy tails and 32 correlated
dimensions between them, and :mod:`ganrun.evaluation.divergence.classifier.combination` learns how to weight them.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.optimize import minimize
from scipy.spatial import KDTree
from scipy.special import expit

from ganrun.evaluation.divergence.classifier import network
from ganrun.evaluation.divergence.classifier.classifier import LOGIT, Classifier
from ganrun.evaluation.divergence.classifier.nearest import Nearest

BaseLearner = Callable[[np.ndarray, np.ndarray, int], Classifier]

MIXTURE_EXAMPLES = 50_000  # maximum examples per class for a mixture fit; a third of it above four dimensions
DISTANCE_EXAMPLES = 40_000  # maximum training examples per class of the network on distances
EXAMPLES_PER_UPDATE = 40  # its training examples per class and update: further ones would hardly be sampled


def quadratic(x: np.ndarray, is_real: np.ndarray, seed: int) -> Classifier:
    """Logistic regression on all monomials up to degree two: well specified for any two Gaussians."""
    upper = np.triu_indices(x.shape[1])

    def features(rows: np.ndarray) -> np.ndarray:
        return np.concatenate([rows, rows[:, upper[0]] * rows[:, upper[1]]], axis=1)

    return _logistic(features, x, is_real, ridge=1.0)


def kernel(x: np.ndarray, is_real: np.ndarray, seed: int) -> Classifier:
    """Kernel logistic regression on random Fourier features (Rahimi & Recht 2007), with a data-dependent bandwidth.

    The bandwidth is four times the median distance to the 30th neighbour: it resolves thin rings and spirals given
    enough examples, and is smooth given few.
    """
    rng = np.random.default_rng(seed)
    subset = x[rng.permutation(len(x))[:20_000]]
    distance, _ = KDTree(subset).query(subset[:1000], k=min(30, len(subset)))
    width = 4.0 * max(float(np.median(distance[:, -1])), 1e-6)
    frequency = rng.standard_normal((x.shape[1], 600)) / width
    phase = rng.uniform(0.0, 2.0 * np.pi, 600)
    wave = partial(_wave, frequency=frequency.astype(np.float32), phase=phase.astype(np.float32))
    return _logistic(wave, x[:40_000], is_real[:40_000], ridge=3.0)


def _wave(rows: np.ndarray, frequency: np.ndarray, phase: np.ndarray) -> np.ndarray:
    return np.sqrt(2.0, dtype=np.float32) * np.cos(rows.astype(np.float32) @ frequency + phase)


def neighbours(
    x: np.ndarray, is_real: np.ndarray, seed: int, counts: tuple[int, ...] = (8, 25, 80, 250), workers: int = 1
) -> Classifier:
    """Log-odds among the nearest 8, 25, 80 and 250 examples: resolves any boundary coarser than the examples' spacing.

    The classifier returns one column per count. It searches in ``workers`` threads.
    """
    counts = tuple(k for k in counts if k <= len(x) // 4) or (max(1, len(x) // 4),)
    examples = Nearest(x, leaf=32, workers=workers)

    def classifier(rows: np.ndarray) -> np.ndarray:
        _, nearest = examples.query(rows, max(counts))
        real = np.cumsum(is_real[nearest], axis=1)
        columns = [np.log((real[:, k - 1] + 0.5) / (k - real[:, k - 1] + 0.5)) for k in counts]
        return np.stack(columns, axis=1)

    return classifier


def distances(x: np.ndarray, is_real: np.ndarray, seed: int, updates: int = 1500, workers: int = 1) -> Classifier:
    """A small network on the log distances to the nearest examples of each class, from the first to the 64th.

    Sharper than neighbour counts: a thin filament of samples shows in the ratio of the distances at its own
    scale. The distances of a training example leave out the example itself. It searches in ``workers`` threads.
    """
    ranks = np.array([k for k in (1, 2, 4, 8, 16, 32, 64) if 4 * k <= min(is_real.sum(), (~is_real).sum())])
    queried_ranks = np.unique(ranks[:, None] + np.arange(3))
    examples = {label: Nearest(x[is_real == label], workers=workers) for label in (True, False)}

    def features(rows: np.ndarray, own_label: bool | None = None) -> np.ndarray:
        """``own_label``: the class that ``rows`` belong to, where the nearest example is the row itself."""
        logs = []
        for label, nearest in examples.items():
            distance, _ = nearest.query(rows, queried_ranks.tolist())
            offset = int(own_label is label)
            # An exact copy identifies a drawn example, not its distribution: skip it like the row itself.
            skipped = offset + (distance[:, offset] < 1e-6)
            index = np.searchsorted(queried_ranks, ranks + skipped[:, None])
            logs.append(np.log(np.take_along_axis(distance, index, axis=1) + 1e-9))
        return np.concatenate([x.shape[1] * (logs[1] - logs[0]), *logs], axis=1)

    rng = np.random.default_rng(seed)
    tables, labels = [], []
    for label in (True, False):
        rows = x[is_real == label]
        rows = rows[rng.permutation(len(rows))[: min(DISTANCE_EXAMPLES, EXAMPLES_PER_UPDATE * max(updates, 100))]]
        tables.append(features(rows, own_label=label))
        labels.append(np.full(len(rows), label))
    training = np.concatenate(tables)
    mean, scale = training.mean(axis=0), training.std(axis=0) + 1e-6
    classifier = network.on_examples((training - mean) / scale, np.concatenate(labels), seed, updates)
    return lambda rows: classifier((features(rows) - mean) / scale)


def mixture(x: np.ndarray, is_real: np.ndarray, seed: int, components: int = 4, rounds: int = 60) -> Classifier:
    """The log ratio of two densities, each a mixture of ``components`` Gaussians fitted by EM."""
    from sklearn.mixture import GaussianMixture  # the import takes a second

    densities = []
    for label in (True, False):
        rows = x[is_real == label]
        # Initialise from k-means++ centres without running k-means: as good here and several times faster.
        model = GaussianMixture(
            n_components=max(1, min(components, len(rows) // (4 * x.shape[1] + 4))),
            reg_covar=1e-6,
            max_iter=rounds,
            init_params="k-means++",
            random_state=seed % 2**32,
        )
        densities.append(_fit_quietly(model, rows[: MIXTURE_EXAMPLES if x.shape[1] <= 4 else MIXTURE_EXAMPLES // 3]))
    real, fake = densities
    return lambda rows: np.clip(real.score_samples(rows) - fake.score_samples(rows), -LOGIT, LOGIT)


class _Quiet:
    """Suppresses scikit-learn's ConvergenceWarning: the number of EM iterations is a budget here.

    Warning filters are shared by all threads: the first thread to enter changes them, the last to leave restores them.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        from sklearn.exceptions import ConvergenceWarning

        with self._lock:
            if self._inside == 0:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("ignore", ConvergenceWarning)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._before.__exit__(None, None, None)


_QUIET = _Quiet()


def _fit_quietly(model, rows):  # type: ignore[no-untyped-def]
    with _QUIET:
        return model.fit(rows)


def _logistic(
    features: Callable[[np.ndarray], np.ndarray], x: np.ndarray, is_real: np.ndarray, ridge: float
) -> Classifier:
    """Fit ridge-penalised logistic regression on standardised ``features``; the intercept is free."""
    table = features(x).astype(np.float32)
    mean, scale = table.mean(axis=0), table.std(axis=0) + 1e-6
    table = (table - mean) / scale
    target = is_real.astype(np.float64)

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = (table @ weights[1:].astype(np.float32)).astype(np.float64) + weights[0]
        loss = np.sum(np.logaddexp(0.0, logits) - target * logits) + 0.5 * ridge * weights[1:] @ weights[1:]
        error = expit(logits) - target
        slope = table.T @ error.astype(np.float32) + ridge * weights[1:]
        return float(loss), np.concatenate([[error.sum()], slope])

    start = np.zeros(table.shape[1] + 1)
    weights = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 40}).x
    inner, offset = (weights[1:] / scale).astype(np.float32), weights[0] - mean @ (weights[1:] / scale)
    return lambda rows: np.clip(features(rows) @ inner + offset, -LOGIT, LOGIT)
