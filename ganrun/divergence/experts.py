"""The opinions that a probe combines: each learns log p(x)/q(x) from labelled examples in its own way.

An expert is a function ``(x, is_real, seed) -> judge``: it learns from ``x`` ``(n, d)``, in the coordinates of
:mod:`ganrun.divergence.coordinates`, and ``is_real`` ``(n,)``, and returns the function from new ``(m, d)`` to logits
``(m,)``. None of them need be good everywhere: a sharp ring, a heavy tail and 32 correlated numbers each have an
expert, and the combination of :mod:`ganrun.divergence.combination` learns whom to believe.
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

from ganrun.divergence import network
from ganrun.divergence.judge import LOGIT, Judge

Expert = Callable[[np.ndarray, np.ndarray, int], Judge]

MODELLED = 50_000  # most examples a side that a mixture is fitted to; a third of it above four dimensions
LEARNED = 40_000  # most examples a side that the network on distances learns from
SHOWN = 40  # examples a side per update that it makes: more it would hardly see


def quadratic(x: np.ndarray, is_real: np.ndarray, seed: int) -> Judge:
    """Logistic regression on all monomials up to degree two: exact for any two Gaussians."""
    upper = np.triu_indices(x.shape[1])

    def features(rows: np.ndarray) -> np.ndarray:
        return np.concatenate([rows, rows[:, upper[0]] * rows[:, upper[1]]], axis=1)

    return _logistic(features, x, is_real, ridge=1.0)


def kernel(x: np.ndarray, is_real: np.ndarray, seed: int) -> Judge:
    """Kernel logistic regression by random Fourier features (Rahimi & Recht 2007), as wide as local data allow.

    The bandwidth is four times the distance to the 30th neighbour, so that it resolves thin rings and spirals where
    there are examples enough, and is smooth where there are few.
    """
    rng = np.random.default_rng(seed)
    shown = x[rng.permutation(len(x))[:20_000]]
    distance, _ = KDTree(shown).query(shown[:1000], k=min(30, len(shown)))
    width = 4.0 * max(float(np.median(distance[:, -1])), 1e-6)
    frequency = rng.standard_normal((x.shape[1], 600)) / width
    phase = rng.uniform(0.0, 2.0 * np.pi, 600)
    wave = partial(_wave, frequency=frequency.astype(np.float32), phase=phase.astype(np.float32))
    return _logistic(wave, x[:40_000], is_real[:40_000], ridge=3.0)


def _wave(rows: np.ndarray, frequency: np.ndarray, phase: np.ndarray) -> np.ndarray:
    return np.sqrt(2.0, dtype=np.float32) * np.cos(rows.astype(np.float32) @ frequency + phase)


def _tree(x: np.ndarray) -> KDTree:
    # Compact nodes are no quicker, and twenty times slower where one side fills a slanted line and the other is off it.
    return KDTree(x, compact_nodes=False)


def neighbours(x: np.ndarray, is_real: np.ndarray, seed: int, counts: tuple[int, ...] = (8, 25, 80, 250)) -> Judge:
    """Log-odds among the nearest 8, 25, 80 and 250 examples: sees any boundary that is denser than the examples.

    Returns one column per count.
    """
    counts = tuple(k for k in counts if k <= len(x) // 4) or (max(1, len(x) // 4),)
    tree = _tree(x)

    def judge(rows: np.ndarray) -> np.ndarray:
        _, nearest = tree.query(rows, k=max(counts))
        real = np.cumsum(is_real[nearest.reshape(len(rows), -1)], axis=1)
        columns = [np.log((real[:, k - 1] + 0.5) / (k - real[:, k - 1] + 0.5)) for k in counts]
        return np.stack(columns, axis=1)

    return judge


def distances(x: np.ndarray, is_real: np.ndarray, seed: int, updates: int = 1500) -> Judge:
    """A small network on how far the nearest examples of each side are, from the first to the 64th.

    Sharper than counting them: a thin filament of samples shows in the ratio of the distances at its own scale. The
    network learns from examples whose own place in the sample is left out.
    """
    ranks = np.array([k for k in (1, 2, 4, 8, 16, 32, 64) if 4 * k <= min(is_real.sum(), (~is_real).sum())])
    reach = np.unique(ranks[:, None] + np.arange(3))
    trees = {side: _tree(x[is_real == side]) for side in (True, False)}

    def features(rows: np.ndarray, inside: bool | None = None) -> np.ndarray:
        """``inside``: the side that ``rows`` belong to, whose nearest example is the row itself."""
        logs = []
        for side, tree in trees.items():
            distance, _ = tree.query(rows, k=list(reach))  # type: ignore[arg-type]
            own = int(inside is side)
            # An exact copy tells which examples were drawn, not from where: it is passed over like the row itself.
            passed = own + (distance[:, own] < 1e-6)
            place = np.searchsorted(reach, ranks + passed[:, None])
            logs.append(np.log(np.take_along_axis(distance, place, axis=1) + 1e-9))
        return np.concatenate([x.shape[1] * (logs[1] - logs[0]), *logs], axis=1)

    rng = np.random.default_rng(seed)
    table, label = [], []
    for side in (True, False):
        rows = x[is_real == side]
        rows = rows[rng.permutation(len(rows))[: min(LEARNED, SHOWN * max(updates, 100))]]
        table.append(features(rows, inside=side))
        label.append(np.full(len(rows), side))
    learned = np.concatenate(table)
    mean, scale = learned.mean(axis=0), learned.std(axis=0) + 1e-6
    judge = network.on_examples((learned - mean) / scale, np.concatenate(label), seed, updates)
    return lambda rows: judge((features(rows) - mean) / scale)


def mixture(x: np.ndarray, is_real: np.ndarray, seed: int, components: int = 4, rounds: int = 60) -> Judge:
    """The ratio of two densities, each a mixture of ``components`` Gaussians fitted by expectation-maximisation."""
    from sklearn.mixture import GaussianMixture  # takes a second to import

    densities = []
    for side in (True, False):
        rows = x[is_real == side]
        # A start from k-means++ centres, without the k-means itself: as good here and several times faster.
        model = GaussianMixture(
            n_components=max(1, min(components, len(rows) // (4 * x.shape[1] + 4))),
            reg_covar=1e-6,
            max_iter=rounds,
            init_params="k-means++",
            random_state=seed % 2**32,
        )
        densities.append(_fit_quietly(model, rows[: MODELLED if x.shape[1] <= 4 else MODELLED // 3]))
    real, fake = densities
    return lambda rows: np.clip(real.score_samples(rows) - fake.score_samples(rows), -LOGIT, LOGIT)


class _Quiet:
    """No warnings of rounds that were too few: they are a budget, not a hope.

    Which warnings are shown is one setting for all threads: the first to come in changes it, the last to leave puts it
    back.
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


def _logistic(features: Callable[[np.ndarray], np.ndarray], x: np.ndarray, is_real: np.ndarray, ridge: float) -> Judge:
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
