"""The estimators of a divergence by name, for any two distributions that they support."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from ganrun.evaluation.divergence import knn
from ganrun.evaluation.divergence.classifier import stack, streaming
from ganrun.evaluation.divergence.distribution import Distribution
from ganrun.evaluation.divergence.estimate import Estimate, withheld
from ganrun.evaluation.divergence.exact import densities
from ganrun.evaluation.divergence.exact.model import of_model
from ganrun.machine.cores import usable_cores

SAMPLES = 10_000  # drawn from a distribution that can be sampled without limit, by default
DENSE = 1 << 21  # samples for an exact value, where the model can only be sampled
NODES = 1024  # grid nodes along each axis of a latent plane


def estimate(
    a: Distribution, b: Distribution, estimator: str, *, n: int | None = None, seed: int = 0, budget: float = 1.0
) -> Estimate:
    """Estimate the Jensen-Shannon divergence of ``a``, such as the data, and ``b``, the model, in nats.

    ``n`` is the number of examples used per distribution (for streaming: scored), ``budget`` the work relative to the
    default. The distributions must have passed
    :func:`ganrun.evaluation.divergence.pairs.check_pair`, and the estimator must support them.
    """
    begun = time.perf_counter()
    with threadpool_limits(1):  # base learners and folds run in parallel, which is faster than threads within each
        result = _ESTIMATORS[estimator](a, b, n, seed, budget)
    return replace(result, seconds=time.perf_counter() - begun)


def floor(a: Distribution, estimator: str, *, n: int | None = None, seed: int = 0, budget: float = 1.0) -> float:
    """Return the estimate of ``estimator`` between ``a`` and itself: two disjoint halves, or two independent draws.

    The true value is 0, so estimates of this size are indistinguishable from 0.
    """
    if a.rows is None:
        return estimate(a, a, estimator, n=n, seed=seed + 1, budget=budget).estimate
    order = np.random.default_rng(seed).permutation(len(a.rows))[: 2 * n if n else None]
    half, other = (replace(a, rows=a.rows[part]) for part in np.array_split(order, 2))
    return estimate(half, other, estimator, seed=seed, budget=budget).estimate


def _stack(a: Distribution, b: Distribution, n: int | None, seed: int, budget: float) -> Estimate:
    return stack.estimate(*_finite(a, b, n, seed), seed, budget, workers=usable_cores())


def _knn(a: Distribution, b: Distribution, n: int | None, seed: int, budget: float) -> Estimate:
    return knn.estimate(*_finite(a, b, n, seed), seed)


def _streaming(a: Distribution, b: Distribution, n: int | None, seed: int, budget: float) -> Estimate:
    if a.draw is None or b.draw is None:
        raise ValueError("streaming needs two distributions that can be sampled without limit")
    return streaming.estimate(a.draw, b.draw, seed, budget, scored=n, workers=usable_cores())


def _finite(a: Distribution, b: Distribution, n: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return up to ``n`` examples of each distribution; by default as many as the finite ones have."""
    sizes = [len(distribution.rows) for distribution in (a, b) if distribution.rows is not None]
    count = n or (max(sizes) if sizes else SAMPLES)
    rng = np.random.default_rng(seed)
    samples = []
    for distribution in (a, b):
        if distribution.rows is not None:
            samples.append(distribution.rows[rng.permutation(len(distribution.rows))[:count]])
        elif distribution.draw is not None:
            samples.append(distribution.draw(count, int(rng.integers(2**32))))
    return samples[0], samples[1]


def _exact(a: Distribution, b: Distribution, n: int | None, seed: int, budget: float) -> Estimate:
    data, model = (a, b) if a.density is not None else (b, a)
    if data.density is None:
        raise ValueError("exact needs a distribution with a known density")
    if model.density is not None:
        return _bounded(densities.of_densities(data.density, model.density), 0, data.d)
    if model.draw is None and model.push is None:
        raise ValueError("exact needs a generator or a second known density")
    count = n or max(densities.FEWEST, int(DENSE * min(budget, 2.0)))
    nodes = int(np.clip(NODES * budget**0.5, 128, 2048))

    def dense() -> np.ndarray:
        assert model.draw is not None
        return model.draw(count, seed)

    result = of_model(data.density, model, dense, nodes, seed=seed)
    warnings = []
    if (smoothed := result.smoothed) is not None:
        warnings.append(
            "singular: the model has no density, so the divergence is log 2 however close it is. With noise of standard"
            f" deviation {smoothed.sigma:.3g} added to both it is {smoothed.jsd:.4f} ± {smoothed.error:.4f} nats."
        )
    if withheld(result.exact.jsd, result.exact.error):
        warnings.append(f"not known: the error, {result.exact.error:.4f}, is larger than the estimate.")
    return replace(_bounded(result.exact, result.samples, data.d), warnings=tuple(warnings))


def _bounded(exact: densities.Exact, used: int, d: int) -> Estimate:
    # The error is two standard errors plus the discretisation error of the cells.
    return Estimate(exact.jsd, 0.5 * exact.error, max(0.0, exact.jsd - exact.error), "exact", used, d)


_ESTIMATORS: dict[str, Callable[[Distribution, Distribution, int | None, int, float], Estimate]] = {
    "stack": _stack,
    "streaming": _streaming,
    "knn": _knn,
    "exact": _exact,
}
